"""Rows of the catalogue, with values as the database has them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from benchmarks.reads.bulk import Row
from benchmarks.reads.catalogue import CREATOR, digest, model_name, steps, uid
from registrar_server.adapters.database.documents import dump, dump_facts, dump_notes
from registrar_server.domain.semantic_versions import SemanticVersion
from registrar_server.domain.values import DEFAULT_TENANT
from registrar_server.domain.versions import Facts, Notes

MODEL, VERSION, BUNDLE = 1, 2, 3
"""Kinds of uids."""

_BEGAN = datetime(2025, 1, 1, tzinfo=UTC)


def model_row(model: int) -> Row:
    return {
        "uid": uid(MODEL, model),
        "tenant": DEFAULT_TENANT,
        "name": model_name(model),
        "is_reserved": False,
        "description": f"What {model_name(model)} is for, in a sentence or two",
        "tags": dump({"owner": "growth"}),
        "metric_goals": dump({"loss": "minimize"}),
        "revision": 1,
        "created_by": CREATOR,
        "created_at": moment(model),
        "updated_at": moment(model),
    }


def bundle_row(model: int) -> Row:
    return {
        "uid": uid(BUNDLE, model),
        "tenant": DEFAULT_TENANT,
        "model_uid": uid(MODEL, model),
        "manifest_digest": f"sha256:{digest(model, 0, 'manifest')}",
        "state": "committed",
        "prefix": f"default/{uid(MODEL, model)}/sha256-{digest(model, 0, 'manifest')}",
        "uri": _artifact_uri(model),
        "size_bytes": 1_000_000,
        "file_count": 1,
        "created_by": CREATOR,
        "created_at": moment(model),
        "verified_at": moment(model),
        "wipes": 0,
        "writer_epoch": 0,
    }


def bundle_file_row(model: int) -> Row:
    sha256 = digest(model, 0, "file")
    return {
        "bundle_uid": uid(BUNDLE, model),
        "path": "model.pkl",
        "size_bytes": 1_000_000,
        "sha256": sha256,
        "type": 1,
    }


def version_row(model: int, version: int, about: Facts, found: Notes, stages: Mapping[int, tuple[str, int]]) -> Row:
    stage, moves = stages.get(version, ("none", 0))
    registered = moment(version * 1_000 + model)
    return {
        "uid": uid(VERSION, model, version),
        "model_uid": uid(MODEL, model),
        "number": version,
        "state": "ready",
        "failure_reason": "",
        "failure": "",
        "stage": stage,
        "stage_at": registered,
        "exclusive_stage": stage if stage in ("staging", "production") else None,
        "semantic_version": about.semantic_version,
        "semantic_version_key": SemanticVersion.parse(about.semantic_version).key,
        "facts": dump_facts(about),
        "content_digest": digest(model, version, "content"),
        "description": found.description,
        "tags": dump(found.tags),
        "notes": dump_notes(found),
        "bundle_uid": uid(BUNDLE, model),
        "artifact_uri": _artifact_uri(model),
        "manifest_digest": f"sha256:{digest(model, 0, 'manifest')}",
        "run_id": about.provenance.run_id,
        "revision": 1 + moves,
        "created_by": CREATOR,
        "created_at": registered,
        "updated_at": registered,
    }


def alias_row(model: int, version: int) -> Row:
    return {
        "model_uid": uid(MODEL, model),
        "alias": "champion",
        "version_uid": uid(VERSION, model, version),
        "number": version,
    }


def mirrored_row(model: int, sequence: int) -> Row:
    return {
        "model_uid": uid(MODEL, model),
        "is_pending": False,
        "first_pending_sequence": sequence + 1,
        "wanted_sequence": sequence,
        "mirrored_sequence": sequence,
        "attempts": 0,
        "next_attempt_at": moment(sequence),
        "failure_reason": "",
    }


def stages_after(versions: int) -> dict[int, tuple[str, int]]:
    """Stage of each version after all steps, and how often it was moved; those that never were are absent."""
    found: dict[int, tuple[str, int]] = {}
    for step in steps(versions):
        if step.kind == "stage":
            for version, stage in ((step.displaced, "archived"), (step.version, step.to_stage)):
                if version:
                    found[version] = stage, found.get(version, ("", 0))[1] + 1
    return found


def _artifact_uri(model: int) -> str:
    return f"s3://models/default/{uid(MODEL, model)}/sha256-{digest(model, 0, 'manifest')}"


def moment(seconds: int) -> int:
    """So long after the catalogue began, as a column of times holds it."""
    return int(_BEGAN.timestamp() + seconds) * 1_000_000
