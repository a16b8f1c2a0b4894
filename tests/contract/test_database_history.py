"""The past, against a plain evaluation of who held what when: whatever happened, at whatever times."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.application.aliases import AliasChanged, Aliases
from registrar_server.application.history import History, PastVersion
from registrar_server.application.lifecycle import Lifecycle, MoveRequest, RollbackRequest, StageChanged
from registrar_server.application.mutations import Mutation, Mutations
from registrar_server.application.ports.database import BundleClaim, NewModel, Transaction
from registrar_server.application.versions import Versions
from registrar_server.domain.bundles import BundleFile, FileType, Manifest
from registrar_server.domain.errors import InvalidRequest, Reason, RegistrarError
from registrar_server.domain.lifecycle import Period
from registrar_server.domain.semantic_versions import SemanticRange, SemanticVersion
from registrar_server.domain.values import (
    ByAlias,
    ByNumber,
    BySemanticRange,
    BySemanticVersion,
    ByStage,
    ByUid,
    ModelKey,
    Selector,
    Stage,
    VersionRef,
)
from registrar_server.domain.versions import ArtifactLink, Facts
from tests.fixtures.database import CALLER, NOON, add_model, add_version, at, change, listening, uid

MANIFEST = Manifest((BundleFile("model.pkl", 1, "a" * 64, FileType.MODEL),))
ALIASES = ("canary", "champion")
HELD = (Stage.STAGING, Stage.PRODUCTION)
RANGES = ("*", "^1.0", "<1.1")
MICROSECOND = timedelta(microseconds=1)
EXAMPLES = 20

_names = (f"m{index}" for index in itertools.count())


class SetClock:
    """Stands where it is set."""

    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time


class _Nothing:
    """Signals that wake nobody, and a verification that finds every file intact."""

    def wake_background(self) -> None: ...

    def verify(self, _version: object) -> None: ...


NOTHING: Any = _Nothing()


@dataclass
class Registry:
    """The use cases on one model; each call happens at a time of its own."""

    database: SqlDatabase
    model: NewModel
    bundle_uid: str
    clock: SetClock
    numbers: int = 0

    def __post_init__(self) -> None:
        mutations = Mutations(self.database, self.clock, NOTHING)
        self.aliases = Aliases(self.database, mutations)
        self.lifecycle = Lifecycle(self.database, mutations, NOTHING)
        self.versions = Versions(self.database, mutations)
        self.history = History(self.database, self.clock)

    def ref(self, selector: Selector) -> VersionRef:
        return VersionRef(self.model.key, selector)

    def register(self, semantic_version: str = "") -> int:
        """The next version, READY at once."""
        self.numbers += 1
        facts = Facts(semantic_version=semantic_version)
        with self.database.writing() as transaction:
            version = add_version(transaction, self.model, facts=facts, time=self.clock.now())
            artifact = ArtifactLink("s3://b/x", self.bundle_uid, MANIFEST.digest)
            transaction.versions.set_artifact(version, artifact, facts, f"{self.numbers:064x}")
            assert transaction.versions.set_ready(version, self.numbers, self.clock.now())
            self._record(transaction, version)
        return self.numbers

    def _record(self, transaction: Transaction, version_uid: str) -> None:
        made = change(self.model, "version.registered", version_uid=version_uid, number=self.numbers)
        transaction.journal.record(replace_time(made, self.clock.now()))

    def point(self, alias: str, number: int) -> int:
        """Where the alias points afterwards."""
        changed: list[AliasChanged] = []
        mutation = _mutation(changed)
        self.aliases.set(mutation, self.ref(ByNumber(number)), alias, expected=None, comment=f"to {number}")
        return changed[0].sequence

    def remove(self, alias: str) -> None:
        self.aliases.delete(_mutation([]), self.model.key, alias, expected=None, comment="over")

    def move(self, number: int, stage: Stage) -> StageChanged:
        changed: list[StageChanged] = []
        self.lifecycle.transition(_mutation(changed), MoveRequest(self.ref(ByNumber(number)), stage, "because"))
        return changed[0]

    def roll_back(self) -> StageChanged:
        changed: list[StageChanged] = []
        self.lifecycle.rollback(_mutation(changed), RollbackRequest(self.model.key))
        return changed[0]

    def delete(self, number: int) -> None:
        self.versions.delete(_mutation([]), self.ref(ByNumber(number)), "")

    def undelete(self, number: int) -> None:
        self.versions.undelete(_mutation([]), self.ref(ByNumber(number)))


def replace_time(made: Any, time: datetime) -> Any:
    from dataclasses import replace

    return replace(made, time=time)


def _mutation(changed: list[Any]) -> Mutation[Any]:
    def encode(result: object) -> bytes:
        changed.append(result)
        return b""

    return Mutation(CALLER, "rpc", "", "", encode)


def open_registry(database: SqlDatabase) -> Registry:
    """On a new model that holds one bundle."""
    with database.writing() as transaction:
        model = add_model(transaction, next(_names))
        claim = BundleClaim(uid(), "x")
        transaction.bundles.claim(claim, model.uid, "default", MANIFEST.digest, until=NOON)
        transaction.bundles.commit(claim.uid, MANIFEST, wipes=0, uri="s3://b/x", created_by="local", time=NOON)
    return Registry(database, model, claim.uid, SetClock())


@pytest.fixture
def registry(database: SqlDatabase) -> Registry:
    return open_registry(database)
