"""Times, enums, parameters, slices, signatures, provenance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from registrar.v1 import value_pb2 as pb
from registrar_server.domain import limits
from registrar_server.domain.access import Caller
from registrar_server.domain.signatures import SignatureChange
from registrar_server.domain.validation import Checker
from registrar_server.domain.values import GIT_COMMIT, MetricGoal, Parameter, RiskLevel
from registrar_server.domain.versions import Dataset, MetricSlice, Provenance, Signature, TensorSpec
from registrar_server.transport.convert.references import changed_ref_from_proto, ref_to_proto

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GOALS = {MetricGoal.MAXIMIZE: pb.METRIC_GOAL_MAXIMIZE, MetricGoal.MINIMIZE: pb.METRIC_GOAL_MINIMIZE}
_GOALS_BACK = {message: goal for goal, message in _GOALS.items()}
_RISKS = {
    RiskLevel.LOW: pb.RISK_LEVEL_LOW,
    RiskLevel.LIMITED: pb.RISK_LEVEL_LIMITED,
    RiskLevel.HIGH: pb.RISK_LEVEL_HIGH,
}
_RISKS_BACK = {message: risk for risk, message in _RISKS.items()}


def time_to_proto(time: datetime | None) -> Timestamp | None:
    """A timestamp; None stays None, which leaves a message's field unset."""
    if time is None:
        return None
    # Not `FromDatetime`: it takes ten times as long, and a version has five times.
    since = time - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1_000)


def time_from_proto(check: Checker, field: str, message: Timestamp) -> datetime:
    """A time, to the microsecond."""
    try:
        return message.ToDatetime(UTC)
    except (ValueError, OverflowError):
        check.fail(field, "must be from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999999Z")
        return _EPOCH


def goal_to_proto(goal: MetricGoal) -> pb.MetricGoal.ValueType:
    """A metric's goal."""
    return _GOALS[goal]


def goals_from_proto(check: Checker, field: str, goals: Mapping[str, pb.MetricGoal.ValueType]) -> dict[str, MetricGoal]:
    """Goals by metric; UNSPECIFIED is refused, an absent entry says that better."""
    check.count(field, goals, limits.METRICS)
    found: dict[str, MetricGoal] = {}
    for metric, message in goals.items():
        check.text(f"{field} (key)", metric, limits.METRIC_NAME_CHARACTERS, is_required=True)
        goal = _GOALS_BACK.get(message)
        if goal is None:
            check.fail(f"{field}[{metric[:64]!r}]", "must be METRIC_GOAL_MAXIMIZE or METRIC_GOAL_MINIMIZE")
        else:
            found[metric] = goal
    return found


def parameter_to_proto(value: Parameter) -> pb.ParameterValue:
    """A typed parameter. `bool` is asked for first: in Python it is an `int`."""
    if isinstance(value, bool):
        return pb.ParameterValue(bool_value=value)
    if isinstance(value, int):
        return pb.ParameterValue(int_value=value)
    if isinstance(value, float):
        return pb.ParameterValue(double_value=value)
    return pb.ParameterValue(string_value=value)


def parameter_from_proto(message: pb.ParameterValue) -> Parameter | None:
    """A typed parameter; None when the message holds none."""
    kind = message.WhichOneof("kind")
    match kind:
        case "int_value":
            return message.int_value
        case "double_value":
            return message.double_value
        case "string_value":
            return message.string_value
        case "bool_value":
            return message.bool_value
        case None:
            return None


def slice_to_proto(part: MetricSlice) -> pb.MetricSlice:
    """Metrics of one slice."""
    return pb.MetricSlice(dimension=part.dimension, value=part.value, dataset=part.dataset, metrics=part.metrics)


def slices_from_proto(check: Checker, field: str, messages: Sequence[pb.MetricSlice]) -> tuple[MetricSlice, ...]:
    """Metrics per slice; each slice once."""
    check.count(field, messages, limits.SLICES)
    found: list[MetricSlice] = []
    for index, message in enumerate(messages):
        at = f"{field}[{index}]"
        found.append(
            MetricSlice(
                check.text(f"{at}.dimension", message.dimension, 128, is_required=True),
                check.text(f"{at}.value", message.value, limits.LABEL_CHARACTERS, is_required=True),
                check.text(f"{at}.dataset", message.dataset, limits.LABEL_CHARACTERS),
                check.metrics(f"{at}.metrics", message.metrics),
            )
        )
    check.unique(field, [(part.dimension, part.value, part.dataset) for part in found])
    return tuple(found)


def signature_to_proto(signature: Signature | None) -> pb.Signature | None:
    """Inputs and outputs."""
    if signature is None:
        return None
    return pb.Signature(
        inputs=map(_tensor_to_proto, signature.inputs), outputs=map(_tensor_to_proto, signature.outputs)
    )


def signature_from_proto(check: Checker, field: str, message: pb.Signature) -> Signature:
    """Inputs and outputs."""
    return Signature(
        inputs=_tensors_from_proto(check, f"{field}.inputs", message.inputs),
        outputs=_tensors_from_proto(check, f"{field}.outputs", message.outputs),
    )


def signature_change_to_proto(change: SignatureChange) -> pb.SignatureChange:
    """A difference between two signatures."""
    return pb.SignatureChange(place=change.place, description=change.description, is_breaking=change.is_breaking)


def dataset_to_proto(data: Dataset) -> pb.Dataset:
    """Data."""
    return pb.Dataset(name=data.name, uri=data.uri, digest=data.digest, version=data.version)


def risk_to_proto(level: RiskLevel | None, assessment_id: str) -> pb.RiskAssessment | None:
    """The assessment; None when there was none."""
    if level is None and not assessment_id:
        return None
    message = pb.RISK_LEVEL_UNSPECIFIED if level is None else _RISKS[level]
    return pb.RiskAssessment(level=message, assessment_id=assessment_id)


def risk_from_proto(check: Checker, field: str, message: pb.RiskAssessment) -> tuple[RiskLevel | None, str]:
    """Level and assessment id."""
    level = _RISKS_BACK.get(message.level)
    if level is None and message.level:
        check.fail(f"{field}.level", "is not a risk level")
    return level, check.text(f"{field}.assessment_id", message.assessment_id, limits.LABEL_CHARACTERS)


def provenance_to_proto(provenance: Provenance, run_id: str) -> pb.Provenance:
    """Where a version comes from; the run may be one that was made for it."""
    environment = None
    if provenance.image or provenance.lock_digest:
        environment = pb.Environment(image=provenance.image, lock_digest=provenance.lock_digest)
    return pb.Provenance(
        run_id=run_id,
        git_commit=provenance.git_commit,
        is_git_dirty=provenance.is_git_dirty,
        git_repository=provenance.git_repository,
        ci_build=provenance.ci_build,
        environment=environment,
        training_data=map(dataset_to_proto, provenance.training_data),
        validation_data=map(dataset_to_proto, provenance.validation_data),
        parent=ref_to_proto(provenance.parent) if provenance.parent else None,
        preprocessing=provenance.preprocessing,
    )


def provenance_from_proto(check: Checker, field: str, message: pb.Provenance, caller: Caller) -> Provenance:
    """Where a version comes from."""
    if message.git_commit:
        check.pattern(f"{field}.git_commit", message.git_commit, GIT_COMMIT, "7 to 64 lower-case hex digits")
    environment = message.environment
    return Provenance(
        # 32: the widest that MLflow's own databases take.
        run_id=check.text(f"{field}.run_id", message.run_id, 32),
        git_commit=message.git_commit,
        is_git_dirty=message.is_git_dirty if message.HasField("is_git_dirty") else None,
        git_repository=check.text(f"{field}.git_repository", message.git_repository, limits.LONG_LABEL_CHARACTERS),
        ci_build=check.text(f"{field}.ci_build", message.ci_build, limits.LABEL_CHARACTERS),
        image=check.text(f"{field}.environment.image", environment.image, limits.LONG_LABEL_CHARACTERS),
        lock_digest=check.text(f"{field}.environment.lock_digest", environment.lock_digest, limits.LABEL_CHARACTERS),
        training_data=_datasets_from_proto(check, f"{field}.training_data", message.training_data),
        validation_data=_datasets_from_proto(check, f"{field}.validation_data", message.validation_data),
        parent=changed_ref_from_proto(check, f"{field}.parent", message.parent, caller)
        if message.HasField("parent")
        else None,
        preprocessing=check.text(f"{field}.preprocessing", message.preprocessing, limits.DESCRIPTION_CHARACTERS),
    )


def _tensor_to_proto(tensor: TensorSpec) -> pb.TensorSpec:
    return pb.TensorSpec(name=tensor.name, dtype=tensor.dtype, shape=tensor.shape, is_optional=tensor.is_optional)


def _tensors_from_proto(check: Checker, field: str, messages: Sequence[pb.TensorSpec]) -> tuple[TensorSpec, ...]:
    check.count(field, messages, limits.TENSORS)
    found: list[TensorSpec] = []
    for index, message in enumerate(messages):
        at = f"{field}[{index}]"
        if any(size < -1 for size in message.shape):
            check.fail(f"{at}.shape", "must hold sizes from 0, or -1 for any size")
        check.count(f"{at}.shape", message.shape, 64)
        found.append(
            TensorSpec(
                check.text(f"{at}.name", message.name, limits.LABEL_CHARACTERS),
                check.text(f"{at}.dtype", message.dtype, limits.LABEL_CHARACTERS, is_required=True),
                tuple(message.shape),
                message.is_optional,
            )
        )
    return tuple(found)


def _datasets_from_proto(check: Checker, field: str, messages: Iterable[pb.Dataset]) -> tuple[Dataset, ...]:
    found: list[Dataset] = []
    for index, message in enumerate(messages):
        at = f"{field}[{index}]"
        found.append(
            Dataset(
                check.text(f"{at}.name", message.name, limits.LABEL_CHARACTERS),
                check.text(f"{at}.uri", message.uri, limits.URI_CHARACTERS),
                check.text(f"{at}.digest", message.digest, limits.LABEL_CHARACTERS),
                check.text(f"{at}.version", message.version, 128),
            )
        )
    check.count(field, found, limits.DATASETS)
    return tuple(found)
