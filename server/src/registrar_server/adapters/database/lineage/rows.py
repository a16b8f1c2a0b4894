"""The rows that an origin becomes; migrations write the same."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from registrar_server.domain.lineage import DataRole, dataset_key, uri_key
from registrar_server.domain.versions import Dataset, Provenance


def origin_row(
    version_uid: str, tenant: str, parent_uid: str, provenance: Provenance, time: datetime
) -> dict[str, Any] | None:
    """The row of `version_origins`; None: there is nothing to say."""
    if not (parent_uid or provenance.run_id or provenance.git_commit):
        return None
    return {
        "version_uid": version_uid,
        "tenant": tenant,
        "parent_uid": parent_uid or None,
        "run_id": provenance.run_id,
        "git_commit": provenance.git_commit,
        "created_at": time,
    }


def dataset_rows(version_uid: str, tenant: str, provenance: Provenance, time: datetime) -> list[dict[str, Any]]:
    """The rows of `version_datasets`."""
    named = ((DataRole.TRAINING, provenance.training_data), (DataRole.VALIDATION, provenance.validation_data))
    return [
        {
            "version_uid": version_uid,
            "role": role.value,
            "place": place,
            "tenant": tenant,
            "created_at": time,
            **_described(data),
        }
        for role, datasets in named
        for place, data in enumerate(datasets)
    ]


def _described(data: Dataset) -> dict[str, str]:
    return {
        "name": data.name,
        "uri": data.uri,
        "digest": data.digest,
        "version": data.version,
        "key": dataset_key(data),
        "uri_key": uri_key(data.uri) if data.uri else "",
    }
