"""Use cases about aliases: atomic moves under policy, and who held one when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from registrar_server.application.authorization import require_right
from registrar_server.application.governance.approval_standing import use_approval
from registrar_server.application.governance.standing import require_standing, standing_document
from registrar_server.application.mutations import Mutation, Mutations
from registrar_server.application.ports.database import Change, Database, Transaction
from registrar_server.application.resolution import find_model, find_version, lock_model, require_usable
from registrar_server.application.versions import reread
from registrar_server.domain.access import Right
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.lifecycle import ALWAYS, AliasMove, Period
from registrar_server.domain.models import Model
from registrar_server.domain.policies import FailedGate, MoveTarget
from registrar_server.domain.values import ModelKey, VersionRef
from registrar_server.domain.versions import ModelVersion


@dataclass(frozen=True, slots=True)
class AliasChanged:
    """The version an alias points at now (None: it is gone), where it pointed before (0: nowhere), the event, and what
    the move overrode.
    """

    version: ModelVersion | None
    previous: int
    sequence: int
    overridden: Sequence[FailedGate] = ()


@dataclass(frozen=True, slots=True)
class AliasRequest:
    """What SetAlias asks for. `expected`: 0 nowhere, None wherever it points."""

    ref: VersionRef
    alias: str
    expected: int | None = None
    comment: str = ""
    is_validate_only: bool = False
    is_break_glass: bool = False


class Aliases:
    """Sets, deletes and remembers aliases."""

    def __init__(self, database: Database, mutations: Mutations) -> None:
        self._database = database
        self._mutations = mutations

    def set(self, mutation: Mutation[AliasChanged], request: AliasRequest) -> bytes:
        """Point an alias at a version; ALIAS_MOVED when it does not point where expected."""
        key, alias = request.ref.model, request.alias
        if request.is_break_glass:
            require_right(mutation.caller, Right.BREAK_GLASS, key)

        def action(transaction: Transaction, now: datetime) -> AliasChanged:
            model = lock_model(transaction, key)
            version = find_version(transaction, request.ref)
            require_usable(version)
            previous = self._require_expected(transaction, model.uid, alias, request.expected)
            if previous == version.number:
                return AliasChanged(version, previous, 0)
            target = MoveTarget(alias=alias)
            standing = require_standing(transaction, version, target, now, is_break_glass=request.is_break_glass)
            transaction.aliases.set(model.uid, alias, version.uid, version.number)
            move = AliasMove(
                alias=alias,
                from_number=previous,
                to_number=version.number,
                actor=mutation.caller.actor,
                comment=request.comment,
                time=now,
                is_break_glass=request.is_break_glass,
                approval_id=standing.approval_id,
            )
            said = standing_document(standing, is_break_glass=request.is_break_glass)
            sequence = self._record(transaction, mutation, model, move, version.uid, said)
            if standing.approval_id:
                use_approval(transaction, standing.approval_id, sequence)
            return AliasChanged(reread(transaction, version.uid), previous, sequence, standing.failed)

        return self._mutations.run(mutation, action, is_validate_only=request.is_validate_only)

    def delete(
        self, mutation: Mutation[AliasChanged], key: ModelKey, alias: str, *, expected: int | None, comment: str
    ) -> bytes:
        """Remove an alias; ALIAS_NOT_FOUND when there is none."""

        def action(transaction: Transaction, now: datetime) -> AliasChanged:
            model = lock_model(transaction, key)
            previous = self._require_expected(transaction, model.uid, alias, expected)
            if not previous:
                raise RegistrarError(
                    Reason.ALIAS_NOT_FOUND,
                    f"{key.name} has no alias {alias}",
                    metadata={"model": key.name, "alias": alias},
                )
            transaction.aliases.delete(model.uid, alias)
            move = AliasMove(alias, previous, 0, mutation.caller.actor, comment, now)
            sequence = self._record(transaction, mutation, model, move)
            return AliasChanged(None, previous, sequence)

        return self._mutations.run(mutation, action)

    def history(
        self, key: ModelKey, *, alias: str, before: int, limit: int, period: Period = ALWAYS
    ) -> Sequence[AliasMove]:
        """Moves of one alias or of all within a period, the newest first, sequences below `before` only."""
        with self._database.reading() as transaction:
            model = find_model(transaction, key)
            return transaction.aliases.history(model.uid, alias=alias, before=before, limit=limit, period=period)

    def _require_expected(self, transaction: Transaction, model_uid: str, alias: str, expected: int | None) -> int:
        held = transaction.aliases.get(model_uid, alias)
        current = held[1] if held else 0
        if expected is not None and current != expected:
            where = f"points at version {current}" if current else "does not exist"
            raise RegistrarError(
                Reason.ALIAS_MOVED, f"alias {alias} {where}", metadata={"alias": alias, "version": str(current)}
            )
        return current

    def _record(
        self,
        transaction: Transaction,
        mutation: Mutation[AliasChanged],
        model: Model,
        move: AliasMove,
        version_uid: str = "",
        said: Mapping[str, object] | None = None,
    ) -> int:
        change = Change(
            action="alias.moved" if move.to_number else "alias.deleted",
            caller=mutation.caller,
            time=move.time,
            model=model.key,
            model_uid=model.uid,
            version_uid=version_uid,
            number=move.to_number,
            alias=move.alias,
            comment=move.comment,
            before={"version": move.from_number},
            after={"version": move.to_number, **(said or {})},
            request_id=mutation.request_id,
        )
        sequence = transaction.journal.record(change)
        transaction.aliases.add_move(model.uid, replace(move, sequence=sequence))
        return sequence
