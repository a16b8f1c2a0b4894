"""Registrar: a model registry that is called over gRPC.

    import registrar

    with registrar.connect() as registry:
        version = registry.push("./model", name="churn-predictor", metrics={"auc": 0.97})
        registry.promote(version, to=registrar.Stage.STAGING)

Importing this package imports nothing else: gRPC and the rest come with the first name that needs them. So a server
that only wants the generated code in `registrar.v1`, and a command line that only prints its help, do not pay for it.
"""

from __future__ import annotations

from importlib import import_module

# Type checkers know the name; importing it from typing would be nine tenths of the time.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from registrar.client import (
        Registry,
        connect,
    )
    from registrar.errors import (
        Aborted,
        AlreadyExists,
        Cancelled,
        Code,
        DataLoss,
        DeadlineExceeded,
        FailedPrecondition,
        Internal,
        InvalidArgument,
        NotFound,
        OutOfRange,
        PermissionDenied,
        Precondition,
        RegistrarError,
        ResourceExhausted,
        Unauthenticated,
        Unavailable,
        Unimplemented,
        Violation,
    )
    from registrar.progress import (
        Action,
        Progress,
        ProgressCallback,
    )
    from registrar.reference import (
        ModelRef,
        VersionRef,
    )
    from registrar.retry import (
        RetryPolicy,
    )
    from registrar.types import (
        AliasMove,
        Approval,
        Artifact,
        CacheStatus,
        Caller,
        ComparedVersion,
        Comparison,
        DownloadUrl,
        Limits,
        MetricComparison,
        MetricValue,
        MirrorStatus,
        Model,
        ModelVersion,
        Promotion,
        ServerInfo,
        Transition,
        VerifiedFile,
    )
    from registrar.upload.report import (
        UploadReport,
    )
    from registrar.values import (
        ApprovalStatus,
        ArtifactKind,
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
        TransitionKind,
        VersionState,
    )

__all__ = [
    "Aborted",
    "Action",
    "AliasMove",
    "AlreadyExists",
    "Approval",
    "ApprovalStatus",
    "Artifact",
    "ArtifactKind",
    "BundleFile",
    "CacheStatus",
    "Caller",
    "Cancelled",
    "Code",
    "ComparedVersion",
    "Comparison",
    "DataLoss",
    "Dataset",
    "DeadlineExceeded",
    "Documentation",
    "DownloadUrl",
    "Environment",
    "FailedPrecondition",
    "FileType",
    "Internal",
    "InvalidArgument",
    "Limits",
    "MetricComparison",
    "MetricGoal",
    "MetricSlice",
    "MetricValue",
    "MirrorStatus",
    "Model",
    "ModelRef",
    "ModelVersion",
    "NotFound",
    "OutOfRange",
    "Parameter",
    "PermissionDenied",
    "Precondition",
    "Progress",
    "ProgressCallback",
    "Promotion",
    "Provenance",
    "RegistrarError",
    "Registry",
    "ResourceExhausted",
    "RetryPolicy",
    "RiskAssessment",
    "RiskLevel",
    "ServerInfo",
    "Signature",
    "Stage",
    "TensorSpec",
    "Transition",
    "TransitionKind",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "UploadReport",
    "VerifiedFile",
    "VersionRef",
    "VersionState",
    "Violation",
    "connect",
]

_HOME = {
    "Registry": "client",
    "connect": "client",
    "Aborted": "errors",
    "AlreadyExists": "errors",
    "Cancelled": "errors",
    "Code": "errors",
    "DataLoss": "errors",
    "DeadlineExceeded": "errors",
    "FailedPrecondition": "errors",
    "Internal": "errors",
    "InvalidArgument": "errors",
    "NotFound": "errors",
    "OutOfRange": "errors",
    "PermissionDenied": "errors",
    "Precondition": "errors",
    "RegistrarError": "errors",
    "ResourceExhausted": "errors",
    "Unauthenticated": "errors",
    "Unavailable": "errors",
    "Unimplemented": "errors",
    "Violation": "errors",
    "Action": "progress",
    "Progress": "progress",
    "ProgressCallback": "progress",
    "ModelRef": "reference",
    "VersionRef": "reference",
    "RetryPolicy": "retry",
    "AliasMove": "types",
    "Approval": "types",
    "Artifact": "types",
    "CacheStatus": "types",
    "Caller": "types",
    "ComparedVersion": "types",
    "Comparison": "types",
    "DownloadUrl": "types",
    "Limits": "types",
    "MetricComparison": "types",
    "MetricValue": "types",
    "MirrorStatus": "types",
    "Model": "types",
    "ModelVersion": "types",
    "Promotion": "types",
    "ServerInfo": "types",
    "Transition": "types",
    "VerifiedFile": "types",
    "UploadReport": "upload.report",
    "ApprovalStatus": "values",
    "ArtifactKind": "values",
    "BundleFile": "values",
    "Dataset": "values",
    "Documentation": "values",
    "Environment": "values",
    "FileType": "values",
    "MetricGoal": "values",
    "MetricSlice": "values",
    "Parameter": "values",
    "Provenance": "values",
    "RiskAssessment": "values",
    "RiskLevel": "values",
    "Signature": "values",
    "Stage": "values",
    "TensorSpec": "values",
    "TransitionKind": "values",
    "VersionState": "values",
}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
