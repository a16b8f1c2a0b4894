"""What a version has to fulfil before it is registered, beyond being well-formed."""

from __future__ import annotations

from collections.abc import Sequence

from registrar_server.application.compatibility import require_compatible
from registrar_server.application.ports.database import Transaction
from registrar_server.domain.errors import Reason, RegistrarError, Violation
from registrar_server.domain.values import ModelKey
from registrar_server.domain.versions import Facts, ModelVersion, Notes


def require_registrable(
    transaction: Transaction, model: ModelKey, model_uid: str, facts: Facts, notes: Notes, *, is_run_awaited: bool
) -> None:
    """METADATA_INCOMPLETE, with everything that the tenant's schema demands and is not there; SIGNATURE_BREAKING.

    `is_run_awaited`: a run is still to be read; what it can bring is not missing yet.
    """
    schema = transaction.metadata_schemas.current(model.tenant)
    violations = schema.violations(model.name, facts, notes, is_run_awaited=is_run_awaited)
    if violations:
        raise incomplete(model.tenant, violations)
    if facts.signature is not None or not is_run_awaited:
        require_compatible(transaction, model_uid, facts)


def require_still_complete(transaction: Transaction, version: ModelVersion, notes: Notes) -> None:
    """METADATA_INCOMPLETE for what these notes would take away or spoil; what was wrong before may stay so."""
    schema = transaction.metadata_schemas.current(version.model.tenant)
    before = set(schema.violations(version.model.name, version.facts, version.notes))
    after = schema.violations(version.model.name, version.facts, notes)
    if found := [violation for violation in after if violation not in before]:
        raise incomplete(version.model.tenant, found)


def missing_recommended(transaction: Transaction, version: ModelVersion) -> Sequence[str]:
    """Paths of what the tenant's schema recommends and the version does not say."""
    schema = transaction.metadata_schemas.current(version.model.tenant)
    return schema.missing_recommended(version.model.name, version.facts, version.notes)


def incomplete(tenant: str, violations: Sequence[Violation]) -> RegistrarError:
    """The refusal."""
    listed = "; ".join(f"{violation.field}: {violation.description}" for violation in violations)
    return RegistrarError(
        Reason.METADATA_INCOMPLETE,
        f"the metadata schema of tenant {tenant} demands: {listed}",
        metadata={"tenant": tenant},
        violations=violations,
    )
