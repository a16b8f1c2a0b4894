"""A version as an entry of the audit left it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from registrar_server.application.merkle_nodes import node_reader
from registrar_server.application.ports.database import Transaction
from registrar_server.application.resolution import (
    find_model,
    require_tenant,
    several_holders,
    version_absent,
)
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.lifecycle import AliasMove, Transition
from registrar_server.domain.merkle import root
from registrar_server.domain.models import Model
from registrar_server.domain.reviews import CheckResult, Comment
from registrar_server.domain.values import ByAlias, ByNumber, ByStage, VersionRef
from registrar_server.domain.versions import ModelVersion

Found = TypeVar("Found")

_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Moment:
    """A tree of a tenant's audit, and the version that is looked at.

    `sequence` is that of the last event that is in the tree: of what has sequences, nothing behind it is looked at.
    """

    tenant: str
    tree_size: int
    root: bytes
    sequence: int
    time: datetime
    """When the last entry was recorded."""
    model: Model
    version: ModelVersion
    """What can change about it is as it is now."""


def find_moment(transaction: Transaction, ref: VersionRef, tree_size: int) -> Moment:
    """The version that a reference named at the end of a tree; 0: of all entries. AUDIT_ENTRY_NOT_FOUND, and what is absent."""
    tenant = ref.model.tenant
    require_tenant(transaction, tenant)
    model = find_model(transaction, ref.model)
    there = transaction.audit.head(tenant).size
    size = tree_size or there
    if not 0 < size <= there:
        raise RegistrarError(
            Reason.AUDIT_ENTRY_NOT_FOUND,
            f"the audit of {tenant} has not {size} entries",
            metadata={"position": str(size), "tree_size": str(there)},
        )
    sequence, time = transaction.audit.reach(tenant, size)
    version = _resolved(transaction, model, ref, sequence)
    tree = root(size, node_reader(transaction.audit, tenant))
    return Moment(tenant, size, tree, sequence, time, model, version)


def transitions_of(transaction: Transaction, moment: Moment) -> Sequence[Transition]:
    """How the version moved through the stages, the oldest first."""
    found: list[Transition] = []
    before: tuple[int, int] | None = (moment.sequence + 1, 0)
    while before is not None:
        page = transaction.transitions.history(
            moment.model.uid, number=moment.version.number, before=before, limit=_AT_ONCE
        )
        found += [transition for _, transition in page]
        before = (page[-1][1].sequence, page[-1][0]) if len(page) == _AT_ONCE else None
    return found[::-1]


def alias_moves_of(transaction: Transaction, moment: Moment) -> Sequence[AliasMove]:
    """How aliases came to the version and left it, the oldest first."""

    def page(before: int) -> Sequence[AliasMove]:
        return transaction.aliases.history(moment.model.uid, alias="", before=before, limit=_AT_ONCE)

    number = moment.version.number
    return [
        move
        for move in _oldest_first(page, moment.sequence, lambda move: move.sequence)
        if number in (move.from_number, move.to_number)
    ]


def comments_on(transaction: Transaction, moment: Moment) -> Sequence[Comment]:
    """What was said about the version, the oldest first."""

    def page(before: int) -> Sequence[Comment]:
        return transaction.reviews.comments(
            moment.model.uid, number=moment.version.number, before=before, limit=_AT_ONCE
        )

    return _oldest_first(page, moment.sequence, lambda comment: comment.sequence)


def checks_of(transaction: Transaction, moment: Moment) -> Sequence[CheckResult]:
    """What checks found of the version, the oldest first."""

    def page(before: int) -> Sequence[CheckResult]:
        return transaction.reviews.checks(moment.version.uid, before=before, limit=_AT_ONCE)

    return _oldest_first(page, moment.sequence, lambda result: result.sequence)


def _oldest_first(
    page: Callable[[int], Sequence[Found]], until: int, sequence_of: Callable[[Found], int]
) -> Sequence[Found]:
    """All that pages hold, which come with the newest first, below a sequence."""
    found: list[Found] = []
    before = until + 1
    while before:
        newer = page(before)
        found += newer
        before = sequence_of(newer[-1]) if len(newer) == _AT_ONCE else 0
    return found[::-1]


def _resolved(transaction: Transaction, model: Model, ref: VersionRef, until: int) -> ModelVersion:
    history = transaction.history
    match ref.selector:
        case ByAlias(alias):
            move = history.alias_move(model.uid, alias, until=until)
            version = history.version(model.uid, ByNumber(move.to_number if move else 0), until=until)
        case ByStage(stage):
            holders = history.holders(model.uid, stage, until=until)
            if len(holders) > 1:
                raise several_holders(ref.selector, [holder.number for holder in holders])
            version = history.version(model.uid, ByNumber(holders[0].number if holders else 0), until=until)
        case selector:
            version = history.version(model.uid, selector, until=until)
    if version is None:
        raise version_absent(ref)
    return version
