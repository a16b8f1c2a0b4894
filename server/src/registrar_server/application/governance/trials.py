"""Use case TestPolicy: which versions would pass a policy, and why the others would not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from registrar_server.application.governance.policies import policy_not_found
from registrar_server.application.governance.standing import failed_against, holder_of
from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import Database, Transaction
from registrar_server.application.resolution import find_model, find_version, require_tenant
from registrar_server.domain.access import EVERY_NAME, EVERYWHERE, NamePattern
from registrar_server.domain.lifecycle import AliasMove, Transition, TransitionKind
from registrar_server.domain.models import Model
from registrar_server.domain.policies import FailedGate, MoveTarget, Policy, PolicyRules, PolicyScope
from registrar_server.domain.policy_documents import write_document
from registrar_server.domain.values import ByNumber, ModelKey, Stage, VersionRef
from registrar_server.domain.versions import ModelVersion

VERSIONS = 1_000
"""So many are looked at, at most."""
GATES = 5_000
"""After so many failed gates no further version is looked at: an answer has to fit in a message."""
MOVES = 10_000
"""So many moves of each model are remembered, the newest ones."""
_MODELS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class TrialRequest:
    """What to test, on what. A draft, or the name of a policy that holds in the tenant.

    `model` empty: every model that is covered. `numbers` empty: the `newest` versions of each.
    """

    tenant: str
    name: str
    draft: tuple[PolicyScope, PolicyRules] | None
    model: str
    numbers: tuple[int, ...]
    newest: int


@dataclass(frozen=True, slots=True)
class Trial:
    """What a policy says of one version and one target: a stage, or a pattern of aliases."""

    model: str
    number: int
    target: Stage | NamePattern
    is_covered: bool
    failed: Sequence[FailedGate] = ()
    compared_with: int = 0
    was_there: bool = False


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """All trials, and whether there were more versions than are looked at."""

    trials: Sequence[Trial]
    is_truncated: bool


class Trials:
    """Tests policies; changes nothing."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def run(self, request: TrialRequest) -> TrialOutcome:
        """POLICY_NOT_FOUND, MODEL_NOT_FOUND, VERSION_NOT_FOUND. By model, the newest version first."""
        now = self._clock.now()
        with self._database.reading() as transaction:
            require_tenant(transaction, request.tenant)
            policy = _policy(transaction, request, now)
            trials: list[Trial] = []
            failed = 0
            for place, one in enumerate(_versions(transaction, request, policy)):
                if place >= VERSIONS or failed >= GATES:
                    return TrialOutcome(trials, is_truncated=True)
                made = list(_trials_of(transaction, policy, *one, now))
                failed += sum(len(trial.failed) for trial in made)
                trials += made
        return TrialOutcome(trials, is_truncated=False)


@dataclass(frozen=True, slots=True)
class _Past:
    """A model, and how its versions moved: the newest first."""

    model: Model
    transitions: Sequence[Transition]
    alias_moves: Sequence[AliasMove]
    displaced: Mapping[int, Sequence[Transition]]
    """What each move displaced, by its sequence."""

    @classmethod
    def of(cls, transaction: Transaction, model: Model) -> _Past:
        moves = [move for _, move in transaction.transitions.history(model.uid, number=0, before=None, limit=MOVES)]
        displaced: dict[int, list[Transition]] = {}
        for move in moves:
            if move.kind in (TransitionKind.DISPLACED, TransitionKind.ROLLED_BACK_FROM):
                displaced.setdefault(move.sequence, []).append(move)
        alias_moves = transaction.aliases.history(model.uid, alias="", before=0, limit=MOVES)
        return cls(model, moves, alias_moves, displaced)


def _policy(transaction: Transaction, request: TrialRequest, now: datetime) -> Policy:
    if request.draft is None:
        in_force = transaction.policies.in_force(request.tenant)
        named = {policy.tenant: policy for policy in in_force if policy.name == request.name}
        found = named.get(request.tenant) or named.get(EVERYWHERE)
        if found is None:
            raise policy_not_found(request.tenant, request.name)
        return found
    scope, rules = request.draft
    return Policy(
        tenant=request.tenant,
        name="draft",
        revision=0,
        description="",
        scope=scope,
        rules=rules,
        document=write_document(scope, rules),
        updated_by="",
        create_time=now,
        update_time=now,
    )


def _versions(transaction: Transaction, request: TrialRequest, policy: Policy) -> Iterator[tuple[_Past, ModelVersion]]:
    for model in _models(transaction, request, policy):
        past = _Past.of(transaction, model)
        if request.numbers:
            for number in sorted(request.numbers, reverse=True):
                yield past, find_version(transaction, VersionRef(model.key, ByNumber(number)))
        else:
            for version in transaction.versions.list(
                model.uid, before=0, limit=request.newest, stage=None, is_deleted_shown=False
            ):
                yield past, version


def _models(transaction: Transaction, request: TrialRequest, policy: Policy) -> Iterator[Model]:
    """The one that is named, covered or not, or all that are covered, by name."""
    if request.model:
        yield find_model(transaction, ModelKey(request.tenant, request.model))
        return
    covered, after = policy.scope.model_patterns or EVERY_NAME, ""
    while True:
        page = transaction.models.list(
            request.tenant, readable=covered, prefix="", after=after, limit=_MODELS_AT_ONCE, is_deleted_shown=False
        )
        yield from page
        if len(page) < _MODELS_AT_ONCE:
            return
        after = page[-1].key.name


def _trials_of(
    transaction: Transaction, policy: Policy, past: _Past, version: ModelVersion, now: datetime
) -> Iterator[Trial]:
    scope = policy.scope
    is_covered = scope.covers_model(version.model.name) and (
        not scope.risk_levels or version.facts.risk_level in scope.risk_levels
    )
    targets: Sequence[Stage | NamePattern] = (*scope.target_stages, *scope.alias_patterns)
    for target in targets:
        was_there, holder = (
            _under_alias(transaction, past, version, target)
            if isinstance(target, NamePattern)
            else _in_stage(transaction, past, version, target)
        )
        if not is_covered:
            yield Trial(version.model.name, version.number, target, is_covered=False, was_there=was_there)
            continue
        failed = failed_against(transaction, version, holder, [policy], now, past.model.metric_goals)
        compared_with = holder.number if holder else 0
        yield Trial(
            version.model.name,
            version.number,
            target,
            is_covered=True,
            failed=failed,
            compared_with=compared_with,
            was_there=was_there,
        )


def _in_stage(
    transaction: Transaction, past: _Past, version: ModelVersion, stage: Stage
) -> tuple[bool, ModelVersion | None]:
    """Whether it went there before, and what it is measured against: whom it displaced then, else the present holder."""
    for move in past.transitions:
        if move.number == version.number and move.to_stage is stage and move.from_stage is not stage:
            displaced = [one.number for one in past.displaced.get(move.sequence, ()) if one.from_stage is stage]
            return True, _numbered(transaction, past, max(displaced, default=0))
    return False, holder_of(transaction, version, MoveTarget(stage=stage))


def _under_alias(
    transaction: Transaction, past: _Past, version: ModelVersion, pattern: NamePattern
) -> tuple[bool, ModelVersion | None]:
    """The same of aliases. Where a pattern means several, there is no present holder."""
    for move in past.alias_moves:
        if move.to_number == version.number and pattern.matches(move.alias):
            return True, _numbered(transaction, past, move.from_number)
    meant = [alias for alias in past.model.aliases or () if pattern.matches(alias)]
    if len(meant) != 1:
        return False, None
    return False, holder_of(transaction, version, MoveTarget(alias=meant[0]))


def _numbered(transaction: Transaction, past: _Past, number: int) -> ModelVersion | None:
    found = transaction.versions.get(past.model.key, ByNumber(number)) if number else ()
    return found[0] if found else None
