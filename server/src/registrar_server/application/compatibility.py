"""What the signature of a version means for its semantic version: a suggestion, and a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from registrar_server.application.ports.database import Transaction
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.semantic_versions import SEMANTIC_VERSION, SemanticVersion, Step
from registrar_server.domain.signatures import SignatureChange, signature_changes, step_for
from registrar_server.domain.versions import Facts, ModelVersion, Signature

_FIRST = SemanticVersion(1, 0, 0)
_LOOKED_AT = 50
_TAKEN = 100
_NAMED = 10
CHANGES = 200
"""Most changes that an answer names."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What the semantic version should be (empty: nothing can be said), and by which differences to which number (0: none)."""

    suggested: str = ""
    changes: Sequence[SignatureChange] = ()
    compared_with: int = 0


NO_ADVICE = Advice()


def advise(transaction: Transaction, model_uid: str, signature: Signature | None, *, before: int = 0) -> Advice:
    """The next semantic version of a model for a version with that signature.

    `before`: as it was when the version with that number was registered; 0: now.
    """
    highest = next(iter(transaction.versions.ranked(model_uid, before=before)), None)
    if highest is None:
        return Advice(_first_free(transaction, model_uid, _FIRST, Step.PATCH, before))
    changes = signature_changes(highest.facts.signature, signature)
    base = SemanticVersion.parse(highest.facts.semantic_version)
    step = step_for(changes, base)
    suggested = _first_free(transaction, model_uid, base.next(step), step, before)
    return Advice(suggested, sorted(changes, key=lambda one: not one.is_breaking)[:CHANGES], highest.number)


def require_compatible(transaction: Transaction, model_uid: str, facts: Facts) -> None:
    """SIGNATURE_BREAKING when the signature breaks callers of the release before, and the semantic version hides it."""
    if not facts.semantic_version:
        return
    earlier = _predecessor(transaction, model_uid, facts.semantic_version)
    if earlier is None:
        return
    before = SemanticVersion.parse(earlier.facts.semantic_version)
    changes = [one for one in signature_changes(earlier.facts.signature, facts.signature) if one.is_breaking]
    if not changes or SemanticVersion.parse(facts.semantic_version).may_break(before):
        return
    suggested = advise(transaction, model_uid, facts.signature).suggested
    what = "; ".join(change.description for change in changes[:_NAMED])
    more = f", and {len(changes) - _NAMED} more" if len(changes) > _NAMED else ""
    raise RegistrarError(
        Reason.SIGNATURE_BREAKING,
        f"{facts.semantic_version} would break callers of {before}: {what}{more}; make it {suggested}",
        metadata={"compared_with": str(earlier.number), "suggested_semantic_version": suggested},
    )


def _predecessor(transaction: Transaction, model_uid: str, semantic_version: str) -> ModelVersion | None:
    """The highest release below that has a signature. A pre-release promises nothing."""
    found = transaction.versions.ranked(model_uid, below=semantic_version, is_release=True, limit=_LOOKED_AT)
    return next((version for version in found if version.facts.signature is not None), None)


def _first_free(transaction: Transaction, model_uid: str, wanted: SemanticVersion, step: Step, before: int) -> str:
    """This one, or the next that no deleted version has, and none on its way; nothing when numbers come to an end."""
    for _ in range(_TAKEN):
        if not _is_taken(transaction, model_uid, str(wanted), before):
            break
        wanted = wanted.next(step)
    return str(wanted) if SEMANTIC_VERSION.fullmatch(str(wanted)) else ""


def _is_taken(transaction: Transaction, model_uid: str, semantic_version: str, before: int) -> bool:
    """Whether another version has it. What came with `before` or after it takes nothing from it."""
    number = transaction.versions.has_semantic_version(model_uid, semantic_version)
    return number is not None and not (before and (number == 0 or number >= before))
