"""From a reference to the one thing it names, or to the error that says why there is none."""

from __future__ import annotations

from collections.abc import Sequence

from registrar_server.application.authorization import model_not_found, tenant_not_found
from registrar_server.application.ports.database import Transaction
from registrar_server.domain.access import EVERYWHERE
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.models import Model
from registrar_server.domain.values import (
    ByAlias,
    ByNumber,
    BySemanticRange,
    BySemanticVersion,
    ByStage,
    ByUid,
    ModelKey,
    VersionRef,
    VersionState,
)
from registrar_server.domain.versions import ModelVersion


def require_tenant(transaction: Transaction, tenant: str) -> None:
    """Refuse a tenant that does not exist or is deleted."""
    if not transaction.tenants.exists(tenant):
        raise tenant_not_found(tenant)


def require_tenant_or_all(transaction: Transaction, tenant: str) -> None:
    """TENANT_NOT_FOUND, unless all tenants are meant."""
    if tenant != EVERYWHERE:
        require_tenant(transaction, tenant)


def find_model(transaction: Transaction, key: ModelKey) -> Model:
    """A living model."""
    model = transaction.models.get(key)
    if model is None:
        raise model_not_found(key)
    return model


def lock_model(transaction: Transaction, key: ModelKey) -> Model:
    """A living model, locked for this transaction."""
    model = transaction.models.lock(key)
    if model is None or model.delete_time is not None:
        raise model_not_found(key)
    return model


def find_version(transaction: Transaction, ref: VersionRef) -> ModelVersion:
    """The one version that a reference names: one statement when there is one, a second to say why not."""
    found = transaction.versions.get(ref.model, ref.selector)
    if len(found) == 1:
        return found[0]
    if found and isinstance(ref.selector, ByStage):
        raise several_holders(ref.selector, [version.number for version in found])
    find_model(transaction, ref.model)
    raise version_absent(ref)


def require_usable(version: ModelVersion) -> None:
    """Refuse what is not READY or is deleted."""
    if version.delete_time is not None:
        raise version_deleted(version)
    if version.state is not VersionState.READY:
        raise RegistrarError(
            Reason.VERSION_NOT_READY,
            f"the version of {version.model.name} is {version.state.value}",
            metadata={"model": version.model.name, "uid": version.uid, "state": version.state.value},
        )


def require_etag(etag: str, current: str) -> None:
    """Refuse when something changed since the caller read it; an empty etag asks for nothing."""
    if etag and etag != current:
        raise RegistrarError(Reason.ETAG_MISMATCH, "it changed since its etag was read", metadata={"etag": current})


def version_deleted(version: ModelVersion) -> RegistrarError:
    """That it is deleted."""
    return RegistrarError(
        Reason.VERSION_DELETED,
        f"version {version.number} of {version.model.name} is deleted",
        metadata={"model": version.model.name, "version": str(version.number)},
    )


def several_holders(selector: ByStage, numbers: Sequence[int]) -> RegistrarError:
    """That a stage does not name one version."""
    listed = ", ".join(str(number) for number in numbers)
    return RegistrarError(
        Reason.STAGE_HAS_SEVERAL_HOLDERS,
        f"several versions are in {selector.stage.value}: {listed}",
        metadata={"stage": selector.stage.value, "versions": listed},
    )


def version_absent(ref: VersionRef) -> RegistrarError:
    """That a model has nothing that a reference could name."""
    name = ref.model.name
    wanted: str
    match ref.selector:
        case ByAlias(alias):
            return RegistrarError(
                Reason.ALIAS_NOT_FOUND, f"{name} has no alias {alias}", metadata={"model": name, "alias": alias}
            )
        case ByStage(stage):
            return RegistrarError(
                Reason.STAGE_EMPTY,
                f"no version of {name} is in {stage.value}",
                metadata={"model": name, "stage": stage.value},
            )
        case ByNumber(number):
            wanted = str(number)
        case BySemanticVersion(semantic_version):
            wanted = semantic_version
        case BySemanticRange(semantic_range):
            wanted = semantic_range.text
        case ByUid(wanted):
            pass
    return RegistrarError(
        Reason.VERSION_NOT_FOUND, f"{name} has no version {wanted}", metadata={"model": name, "version": wanted}
    )
