"""Values and references, both ways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from registrar.errors import InvalidArgument, Violation
from registrar.reference import ModelRef, VersionRef
from registrar.v1 import artifact_pb2, reference_pb2, value_pb2
from registrar.values import (
    BundleFile,
    Dataset,
    Documentation,
    Environment,
    FileType,
    MetricGoal,
    MetricSlice,
    Parameter,
    Provenance,
    RiskAssessment,
    RiskLevel,
    Signature,
    Stage,
    TensorSpec,
)

_T = TypeVar("_T")
_STAGE_TO_PROTO = {
    Stage.NONE: reference_pb2.STAGE_NONE,
    Stage.STAGING: reference_pb2.STAGE_STAGING,
    Stage.PRODUCTION: reference_pb2.STAGE_PRODUCTION,
    Stage.ARCHIVED: reference_pb2.STAGE_ARCHIVED,
}
_STAGE_FROM_PROTO = {number: stage for stage, number in _STAGE_TO_PROTO.items()}
_GOAL_TO_PROTO = {
    MetricGoal.MAXIMIZE: value_pb2.METRIC_GOAL_MAXIMIZE,
    MetricGoal.MINIMIZE: value_pb2.METRIC_GOAL_MINIMIZE,
}
_GOAL_FROM_PROTO = {number: goal for goal, number in _GOAL_TO_PROTO.items()}
_RISK_TO_PROTO = {
    RiskLevel.LOW: value_pb2.RISK_LEVEL_LOW,
    RiskLevel.LIMITED: value_pb2.RISK_LEVEL_LIMITED,
    RiskLevel.HIGH: value_pb2.RISK_LEVEL_HIGH,
}
_RISK_FROM_PROTO = {number: level for level, number in _RISK_TO_PROTO.items()}
_INT64 = range(-(2**63), 2**63)


def time_from_proto(message: Timestamp) -> datetime:
    """An aware time in UTC."""
    return message.ToDatetime(tzinfo=UTC)


def stage_to_proto(stage: Stage) -> reference_pb2.Stage.ValueType:
    """The stage's number in the contract."""
    return _STAGE_TO_PROTO[stage]


def stage_from_proto(number: reference_pb2.Stage.ValueType) -> Stage:
    """NONE for a stage that this client does not know."""
    return _STAGE_FROM_PROTO.get(number, Stage.NONE)


def goal_to_proto(goal: MetricGoal) -> value_pb2.MetricGoal.ValueType:
    """The goal's number in the contract."""
    return _GOAL_TO_PROTO[goal]


def goal_from_proto(number: value_pb2.MetricGoal.ValueType) -> MetricGoal | None:
    """None when it was not given."""
    return _GOAL_FROM_PROTO.get(number)


def model_ref_to_proto(ref: ModelRef) -> reference_pb2.ModelRef:
    """The contract's reference to a model."""
    return reference_pb2.ModelRef(tenant=ref.tenant, name=ref.name)


def version_ref_to_proto(ref: VersionRef) -> reference_pb2.ModelVersionRef:
    """The contract's reference to a version."""
    message = reference_pb2.ModelVersionRef(model=model_ref_to_proto(ref.model))
    if ref.version is not None:
        message.version = ref.version
    elif ref.alias is not None:
        message.alias = ref.alias
    elif ref.stage is not None:
        message.stage = stage_to_proto(ref.stage)
    elif ref.semantic_version is not None:
        message.semantic_version = ref.semantic_version
    elif ref.uid is not None:
        message.uid = ref.uid
    return message


def version_ref_from_proto(message: reference_pb2.ModelVersionRef) -> VersionRef | None:
    """None when no selector is set that this client knows."""
    model = ModelRef(message.model.name, message.model.tenant)
    match message.WhichOneof("selector"):
        case "version":
            return VersionRef(model, version=message.version)
        case "alias":
            return VersionRef(model, alias=message.alias)
        case "stage":
            return VersionRef(model, stage=stage_from_proto(message.stage))
        case "semantic_version":
            return VersionRef(model, semantic_version=message.semantic_version)
        case "uid":
            return VersionRef(model, uid=message.uid)
        case _:
            return None


def parameters_to_proto(parameters: Mapping[str, Parameter]) -> dict[str, value_pb2.ParameterValue]:
    """Each by its Python type; InvalidArgument for other types and for integers that do not fit 64 bits."""
    return {name: _parameter_to_proto(name, value) for name, value in parameters.items()}


def _parameter_to_proto(name: str, value: Parameter) -> value_pb2.ParameterValue:
    # bool first: True is an int too.
    if isinstance(value, bool):
        return value_pb2.ParameterValue(bool_value=value)
    if isinstance(value, int):
        if value not in _INT64:
            raise _wrong_parameter(name, "an integer of more than 64 bits: give it as text")
        return value_pb2.ParameterValue(int_value=value)
    if isinstance(value, float):
        return value_pb2.ParameterValue(double_value=value)
    if isinstance(value, str):
        return value_pb2.ParameterValue(string_value=value)
    raise _wrong_parameter(name, f"of type {type(value).__name__}: int, float, str and bool are known")


def _wrong_parameter(name: str, problem: str) -> InvalidArgument:
    return InvalidArgument(
        f"parameter {name!r} is {problem}",
        reason="INVALID_FIELD",
        violations=[Violation(f"parameters[{name!r}]", problem)],
    )


def parameters_from_proto(parameters: Mapping[str, value_pb2.ParameterValue]) -> dict[str, Parameter]:
    """Sorted by name; a kind that this client does not know becomes an empty text."""
    return {name: _parameter_from_proto(parameters[name]) for name in sorted(parameters)}


def _parameter_from_proto(message: value_pb2.ParameterValue) -> Parameter:
    match message.WhichOneof("kind"):
        case "int_value":
            return message.int_value
        case "double_value":
            return message.double_value
        case "bool_value":
            return message.bool_value
        case _:
            return message.string_value


def slices_to_proto(slices: Iterable[MetricSlice]) -> list[value_pb2.MetricSlice]:
    """Metrics per slice."""
    return [
        value_pb2.MetricSlice(dimension=s.dimension, value=s.value, dataset=s.dataset, metrics=s.metrics)
        for s in slices
    ]


def slices_from_proto(messages: Iterable[value_pb2.MetricSlice]) -> tuple[MetricSlice, ...]:
    """Metrics per slice, each sorted by name."""
    return tuple(MetricSlice(m.dimension, m.value, sorted_map(m.metrics), m.dataset) for m in messages)


def sorted_map(values: Mapping[str, _T]) -> dict[str, _T]:
    """A plain dict in the order of its keys: protobuf's maps have no order of their own."""
    return {key: values[key] for key in sorted(values)}


def signature_to_proto(signature: Signature) -> value_pb2.Signature:
    """Inputs and outputs."""
    return value_pb2.Signature(
        inputs=[_tensor_to_proto(t) for t in signature.inputs], outputs=[_tensor_to_proto(t) for t in signature.outputs]
    )


def _tensor_to_proto(tensor: TensorSpec) -> value_pb2.TensorSpec:
    return value_pb2.TensorSpec(
        name=tensor.name, dtype=tensor.dtype, shape=tensor.shape, is_optional=tensor.is_optional
    )


def signature_from_proto(message: value_pb2.Signature) -> Signature:
    """Inputs and outputs."""
    inputs, outputs = (
        tuple(TensorSpec(t.name, t.dtype, tuple(t.shape), t.is_optional) for t in tensors)
        for tensors in (message.inputs, message.outputs)
    )
    return Signature(inputs, outputs)


def provenance_to_proto(provenance: Provenance) -> value_pb2.Provenance:
    """Where a version comes from."""
    message = value_pb2.Provenance(
        run_id=provenance.run_id,
        git_commit=provenance.git_commit,
        is_git_dirty=provenance.is_git_dirty,
        git_repository=provenance.git_repository,
        ci_build=provenance.ci_build,
        training_data=[_dataset_to_proto(d) for d in provenance.training_data],
        validation_data=[_dataset_to_proto(d) for d in provenance.validation_data],
        preprocessing=provenance.preprocessing,
    )
    if provenance.environment is not None:
        message.environment.image = provenance.environment.image
        message.environment.lock_digest = provenance.environment.lock_digest
    if provenance.parent is not None:
        message.parent.CopyFrom(version_ref_to_proto(provenance.parent))
    return message


def provenance_from_proto(message: value_pb2.Provenance) -> Provenance:
    """Where a version comes from."""
    environment = message.environment
    return Provenance(
        run_id=message.run_id,
        git_commit=message.git_commit,
        is_git_dirty=message.is_git_dirty if message.HasField("is_git_dirty") else None,
        git_repository=message.git_repository,
        ci_build=message.ci_build,
        environment=Environment(environment.image, environment.lock_digest)
        if message.HasField("environment")
        else None,
        training_data=tuple(map(dataset_from_proto, message.training_data)),
        validation_data=tuple(map(dataset_from_proto, message.validation_data)),
        parent=version_ref_from_proto(message.parent) if message.HasField("parent") else None,
        preprocessing=message.preprocessing,
    )


def dataset_from_proto(message: value_pb2.Dataset) -> Dataset:
    """Data."""
    return Dataset(message.name, message.uri, message.digest, message.version)


def _dataset_to_proto(dataset: Dataset) -> value_pb2.Dataset:
    return value_pb2.Dataset(name=dataset.name, uri=dataset.uri, digest=dataset.digest, version=dataset.version)


def risk_level_to_proto(level: RiskLevel | None) -> value_pb2.RiskLevel.ValueType:
    """The level's number in the contract; None: it was not assessed."""
    return value_pb2.RISK_LEVEL_UNSPECIFIED if level is None else _RISK_TO_PROTO[level]


def risk_level_from_proto(number: value_pb2.RiskLevel.ValueType) -> RiskLevel | None:
    """None when it was not assessed."""
    return _RISK_FROM_PROTO.get(number)


def risk_to_proto(risk: RiskAssessment) -> value_pb2.RiskAssessment:
    """Outcome of a risk assessment."""
    return value_pb2.RiskAssessment(level=risk_level_to_proto(risk.level), assessment_id=risk.assessment_id)


def risk_from_proto(message: value_pb2.RiskAssessment) -> RiskAssessment:
    """Outcome of a risk assessment."""
    return RiskAssessment(risk_level_from_proto(message.level), message.assessment_id)


def documentation_to_proto(documentation: Documentation) -> value_pb2.Documentation:
    """Documents kept elsewhere."""
    return value_pb2.Documentation(
        model_card_uri=documentation.model_card_uri, datasheet_uri=documentation.datasheet_uri
    )


def documentation_from_proto(message: value_pb2.Documentation) -> Documentation:
    """Documents kept elsewhere."""
    return Documentation(message.model_card_uri, message.datasheet_uri)


def file_to_proto(file: BundleFile) -> artifact_pb2.BundleFile:
    """One file of a manifest."""
    return artifact_pb2.BundleFile(
        path=file.path, size_bytes=file.size_bytes, sha256=file.sha256, type=artifact_pb2.FileType.ValueType(file.type)
    )


def file_from_proto(message: artifact_pb2.BundleFile) -> BundleFile:
    """One file of a manifest; OTHER for a type that this client does not know."""
    known = message.type in FileType._value2member_map_
    return BundleFile(
        message.path, message.size_bytes, message.sha256, FileType(message.type) if known else FileType.OTHER
    )
