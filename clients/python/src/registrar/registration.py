"""The request that a registration becomes."""

from __future__ import annotations

from registrar.convert.values import (
    documentation_to_proto,
    model_ref_to_proto,
    parameters_to_proto,
    provenance_to_proto,
    risk_to_proto,
    signature_to_proto,
    slices_to_proto,
)
from registrar.fields import VersionFields
from registrar.reference import ModelRef
from registrar.v1.model_version_service_pb2 import RegisterModelVersionRequest


def registration_request(model: ModelRef, fields: VersionFields) -> RegisterModelVersionRequest:
    """The request without its source and id."""
    request = RegisterModelVersionRequest(
        model=model_ref_to_proto(model),
        description=fields.get("description", ""),
        tags=fields.get("tags", {}),
        metrics=fields.get("metrics", {}),
        metric_slices=slices_to_proto(fields.get("metric_slices", ())),
        parameters=parameters_to_proto(fields.get("parameters", {})),
        flavors=fields.get("flavors", ()),
        semantic_version=fields.get("semantic_version", ""),
        drift_monitor_id=fields.get("drift_monitor_id", ""),
        reuse_same_content=fields.get("reuse_same_content", False),
    )
    if (signature := fields.get("signature")) is not None:
        request.signature.CopyFrom(signature_to_proto(signature))
    if (provenance := fields.get("provenance")) is not None:
        request.provenance.CopyFrom(provenance_to_proto(provenance))
    if (risk := fields.get("risk")) is not None:
        request.risk.CopyFrom(risk_to_proto(risk))
    if (documentation := fields.get("documentation")) is not None:
        request.documentation.CopyFrom(documentation_to_proto(documentation))
    return request
