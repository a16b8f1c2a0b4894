"""Facts, notes, grants and maps as JSON text. A parameter carries its type, because JSON has one kind of number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from registrar_server.domain.access import Grant, NamePattern, Right
from registrar_server.domain.canonical import canonical_json
from registrar_server.domain.values import (
    ByAlias,
    ByNumber,
    BySemanticRange,
    BySemanticVersion,
    ByStage,
    ByUid,
    ModelKey,
    RiskLevel,
    Selector,
    Stage,
    VersionRef,
)
from registrar_server.domain.versions import Dataset, Facts, MetricSlice, Notes, Provenance, Signature, TensorSpec


def dump(document: Mapping[str, object]) -> str:
    """JSON with sorted keys and no white space: equal documents are equal text."""
    return canonical_json(document)


def load(text: str) -> dict[str, Any]:
    """The document of a text that `dump` wrote."""
    document: dict[str, Any] = orjson.loads(text)
    return document


def dump_grants(grants: Sequence[Grant]) -> str:
    """Grants of a role as text; limits that limit nothing are left out."""
    return dump({"grants": [_grant_document(grant) for grant in grants]})


def load_grants(text: str) -> tuple[Grant, ...]:
    """The grants that `dump_grants` wrote."""
    return tuple(map(_load_grant, load(text)["grants"]))


def dump_facts(facts: Facts) -> str:
    """Facts as text; what is empty is left out."""
    document: dict[str, object] = {
        "metrics": dict(facts.metrics),
        "slices": [[s.dimension, s.value, s.dataset, dict(s.metrics)] for s in facts.metric_slices],
        "parameters": {name: [type(value).__name__, value] for name, value in facts.parameters.items()},
        "signature": _signature_document(facts.signature),
        "flavors": list(facts.flavors),
        "semantic_version": facts.semantic_version,
        "provenance": _provenance_document(facts.provenance),
        "risk_level": facts.risk_level and facts.risk_level.value,
        "risk_assessment_id": facts.risk_assessment_id,
    }
    return dump({key: value for key, value in document.items() if value})


def load_facts(text: str) -> Facts:
    """The facts that `dump_facts` wrote. JSON keeps 200 and 200.0 apart, so values have their types already."""
    document = load(text)
    risk_level = document.get("risk_level")
    return Facts(
        metrics=document.get("metrics", {}),
        metric_slices=tuple([MetricSlice(*part) for part in document.get("slices", ())]),
        parameters={name: value for name, (_, value) in document.get("parameters", {}).items()},
        signature=_load_signature(document.get("signature")),
        flavors=tuple(document.get("flavors", ())),
        semantic_version=document.get("semantic_version", ""),
        provenance=_load_provenance(document.get("provenance", {})),
        risk_level=RiskLevel(risk_level) if risk_level else None,
        risk_assessment_id=document.get("risk_assessment_id", ""),
    )


def dump_notes(notes: Notes) -> str:
    """The notes that have no column of their own."""
    document = {
        "deprecation_note": notes.deprecation_note,
        "model_card_uri": notes.model_card_uri,
        "datasheet_uri": notes.datasheet_uri,
        "drift_monitor_id": notes.drift_monitor_id,
    }
    return dump({key: value for key, value in document.items() if value})


def load_notes(text: str, *, description: str, tags: str) -> Notes:
    """The notes that `dump_notes` wrote, with description and tags."""
    return Notes(description=description, tags=load(tags), **load(text))


def _grant_document(grant: Grant) -> dict[str, object]:
    limits = {
        "stages": [stage.value for stage in grant.stages],
        "aliases": [pattern.text for pattern in grant.alias_patterns],
        "approvers": list(grant.approver_roles),
    }
    return {"right": grant.right.value} | {name: limit for name, limit in limits.items() if limit}


def _load_grant(document: dict[str, Any]) -> Grant:
    return Grant(
        right=Right(document["right"]),
        stages=tuple(map(Stage, document.get("stages", ()))),
        alias_patterns=tuple(map(NamePattern, document.get("aliases", ()))),
        approver_roles=tuple(document.get("approvers", ())),
    )


def _signature_document(signature: Signature | None) -> dict[str, object] | None:
    if signature is None:
        return None
    return {
        "inputs": [_tensor_document(tensor) for tensor in signature.inputs],
        "outputs": [_tensor_document(tensor) for tensor in signature.outputs],
    }


def _tensor_document(tensor: TensorSpec) -> list[object]:
    return [tensor.name, tensor.dtype, list(tensor.shape), tensor.is_optional]


def _load_signature(document: dict[str, Any] | None) -> Signature | None:
    if document is None:
        return None
    return Signature(
        inputs=tuple(TensorSpec(n, d, tuple(s), o) for n, d, s, o in document["inputs"]),
        outputs=tuple(TensorSpec(n, d, tuple(s), o) for n, d, s, o in document["outputs"]),
    )


def _provenance_document(provenance: Provenance) -> dict[str, object]:
    document: dict[str, object] = {
        "run_id": provenance.run_id,
        "git_commit": provenance.git_commit,
        "git_repository": provenance.git_repository,
        "ci_build": provenance.ci_build,
        "image": provenance.image,
        "lock_digest": provenance.lock_digest,
        "training_data": [_dataset_document(data) for data in provenance.training_data],
        "validation_data": [_dataset_document(data) for data in provenance.validation_data],
        "parent": provenance.parent and _ref_document(provenance.parent),
        "preprocessing": provenance.preprocessing,
    }
    if provenance.is_git_dirty is not None:
        return {key: value for key, value in document.items() if value} | {"is_git_dirty": provenance.is_git_dirty}
    return {key: value for key, value in document.items() if value}


def _load_provenance(document: dict[str, Any]) -> Provenance:
    if not document:
        return Provenance()
    parent = document.pop("parent", None)
    training = tuple([Dataset(*fields) for fields in document.pop("training_data", ())])
    validation = tuple([Dataset(*fields) for fields in document.pop("validation_data", ())])
    return Provenance(
        parent=_load_ref(parent) if parent else None, training_data=training, validation_data=validation, **document
    )


def _dataset_document(data: Dataset) -> list[str]:
    return [data.name, data.uri, data.digest, data.version]


def _ref_document(ref: VersionRef) -> list[object]:
    selector: list[object]
    match ref.selector:
        case ByNumber(number):
            selector = ["number", number]
        case ByAlias(alias):
            selector = ["alias", alias]
        case ByStage(stage):
            selector = ["stage", stage.value]
        case BySemanticVersion(semantic_version):
            selector = ["semantic_version", semantic_version]
        case BySemanticRange():
            raise ValueError("a range is no lasting name of a version")
        case ByUid(uid):
            selector = ["uid", uid]
    return [ref.model.tenant, ref.model.name, *selector]


def _load_ref(document: list[Any]) -> VersionRef:
    tenant, name, kind, value = document
    selectors: dict[str, type[Selector]] = {
        "number": ByNumber,
        "alias": ByAlias,
        "semantic_version": BySemanticVersion,
        "uid": ByUid,
    }
    selector = ByStage(Stage(value)) if kind == "stage" else selectors[kind](value)
    return VersionRef(ModelKey(tenant, name), selector)
