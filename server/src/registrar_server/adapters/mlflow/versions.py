"""Registered models and their versions in MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from mlflow.entities import model_registry
from mlflow.exceptions import MlflowException

from registrar_server.adapters.mlflow.errors import is_absent
from registrar_server.adapters.mlflow.limits import (
    MAX_DESCRIPTION_CHARACTERS,
    MAX_RUN_ID_CHARACTERS,
    MAX_SOURCE_CHARACTERS,
    UID_TAG,
    fit_tag_keys,
    fit_tags,
    fit_text,
)
from registrar_server.adapters.mlflow.search import quoted, tag_filter
from registrar_server.adapters.mlflow.stores import Stores, TenantStores
from registrar_server.application.ports.mlflow_registry import NewVersion
from registrar_server.domain.errors import Reason, RegistrarError

# MLflow has no types here.
_entities: Any = model_registry

_PAGE_SIZE = 100
_NO_ALIAS = "_registrar_none_"

_log = structlog.get_logger(__name__)


class Versions:
    """The registry's half of `MlflowRegistry`; see there for what each method guarantees."""

    def __init__(self, stores: TenantStores) -> None:
        self._stores = stores

    def ensure_model(self, tenant: str, name: str) -> None:
        with self._stores.call("ensure_model", tenant, model=name) as stores:
            if _has_model(stores, name):
                return
            try:
                stores.registry.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise

    def find_versions(self, tenant: str, name: str, uid: str) -> Sequence[int]:
        numbers: list[int] = []
        with self._stores.call("find_versions", tenant, model=name) as stores:
            condition = f"name = {quoted(name)} and {tag_filter(UID_TAG, uid)}"
            token = None
            while True:
                page = stores.registry.search_model_versions(condition, max_results=_PAGE_SIZE, page_token=token)
                # An int from the SQL store, text from the REST store.
                numbers.extend(int(found.version) for found in page)
                token = page.token
                if not token:
                    return sorted(numbers)

    def create_version(self, tenant: str, name: str, version: NewVersion) -> int:
        _check_fits(version)
        tags = {**fit_tags(version.tags), UID_TAG: version.uid}
        with self._stores.call("create_version", tenant, model=name) as stores:
            created = stores.registry.create_model_version(
                name,
                version.source,
                run_id=version.run_id or None,
                tags=[_entities.ModelVersionTag(key, value) for key, value in tags.items()],
                description=fit_text(version.description, MAX_DESCRIPTION_CHARACTERS) or None,
            )
            return int(created.version)

    def delete_version(self, tenant: str, name: str, number: int) -> None:
        with self._stores.call("delete_version", tenant, model=name, version=str(number)) as stores:
            try:
                stores.registry.delete_model_version(name, str(number))
            except MlflowException as error:
                if not is_absent(error):
                    raise

    def set_tags(self, tenant: str, name: str, number: int, tags: Mapping[str, str], deleted: Sequence[str]) -> None:
        with self._stores.call("set_version_tags", tenant, model=name, version=str(number)) as stores:
            for key in fit_tag_keys(deleted):
                stores.registry.delete_model_version_tag(name, str(number), key)
            for key, value in fit_tags(tags).items():
                stores.registry.set_model_version_tag(name, str(number), _entities.ModelVersionTag(key, value))

    def set_description(self, tenant: str, name: str, number: int, description: str) -> None:
        fitted = fit_text(description, MAX_DESCRIPTION_CHARACTERS)
        with self._stores.call("set_version_description", tenant, model=name, version=str(number)) as stores:
            stores.registry.update_model_version(name, str(number), fitted)

    def set_stage(self, tenant: str, name: str, number: int, stage: str) -> None:
        with self._stores.call("set_version_stage", tenant, model=name, version=str(number)) as stores:
            # Never archive_existing_versions: under races it leaves several versions in the stage, and with
            # None or Archived it fails without an error code.
            stores.registry.transition_model_version_stage(name, str(number), stage, False)

    def set_alias(self, tenant: str, name: str, alias: str, number: int) -> None:
        if _is_reserved_alias(alias):
            _log.warning("mlflow.alias_skipped", tenant=tenant, model=name, alias=alias)
            return
        with self._stores.call("set_alias", tenant, model=name, version=str(number), alias=alias) as stores:
            stores.registry.set_registered_model_alias(name, alias, str(number))

    def delete_alias(self, tenant: str, name: str, alias: str) -> None:
        with self._stores.call("delete_alias", tenant, model=name, alias=alias) as stores:
            try:
                stores.registry.delete_registered_model_alias(name, alias)
            except MlflowException as error:
                if not is_absent(error):
                    raise

    def set_model_facts(
        self, tenant: str, name: str, description: str, tags: Mapping[str, str], deleted: Sequence[str]
    ) -> None:
        fitted = fit_text(description, MAX_DESCRIPTION_CHARACTERS)
        with self._stores.call("set_model_facts", tenant, model=name) as stores:
            stores.registry.update_registered_model(name, fitted)
            for key in fit_tag_keys(deleted):
                stores.registry.delete_registered_model_tag(name, key)
            for key, value in fit_tags(tags).items():
                stores.registry.set_registered_model_tag(name, _entities.RegisteredModelTag(key, value))


def _has_model(stores: Stores, name: str) -> bool:
    """Ask for an alias that no model has: two statements, and MLflow says which of the two is absent.

    Reading the model loads all of its versions, 20 ms at 1,000; searching for it is 14 ms on SQLite, and 277 ms on
    a PostgreSQL that has no statistics yet.
    """
    try:
        stores.registry.get_model_version_by_alias(name, _NO_ALIAS)
    except MlflowException as error:
        if error.error_code == "INVALID_PARAMETER_VALUE":
            return True
        if not is_absent(error):
            raise
        return False
    return True


def _check_fits(version: NewVersion) -> None:
    """An address or an id that is cut is a wrong one, so these two are refused."""
    if len(version.source) > MAX_SOURCE_CHARACTERS:
        message = f"the artifact's address is longer than the {MAX_SOURCE_CHARACTERS} characters MLflow takes"
        raise RegistrarError(
            Reason.REGISTRATION_FAILED, message, metadata={"source_characters": str(len(version.source))}
        )
    if len(version.run_id) > MAX_RUN_ID_CHARACTERS:
        raise RegistrarError(Reason.RUN_NOT_FOUND, "no run of MLflow has an id of this length")


def _is_reserved_alias(alias: str) -> bool:
    """MLflow keeps `latest` and `v<digits>` for itself, in any case of letters."""
    lowered = alias.lower()
    return lowered == "latest" or (lowered.startswith("v") and lowered[1:].isdigit())
