"""Stages: promote, roll back, history."""

from __future__ import annotations

from datetime import datetime

from registrar.calls.call import Call, Listing, change, new_request_id
from registrar.context import AnyModelRef, AnyVersionRef, CallContext
from registrar.convert.access import time_to_proto
from registrar.convert.policies import gates_from_proto
from registrar.convert.results import transition_from_proto, version_from_proto
from registrar.convert.values import model_ref_to_proto, stage_to_proto, version_ref_to_proto
from registrar.types import Promotion, Transition
from registrar.v1 import lifecycle_service_pb2 as pb
from registrar.values import Stage

ROLLBACK_SECONDS = 600.0
"""How long a rollback is waited for: the stored files are read and verified first."""


def promote(
    context: CallContext,
    ref: AnyVersionRef,
    *,
    to: Stage,
    comment: str = "",
    expected_holder: int | None = None,
    etag: str = "",
    validate_only: bool = False,
    break_glass: bool = False,
    request_id: str | None = None,
) -> Call[Promotion]:
    """Move a version to a stage; who held staging or production is archived in the same transaction.

    `expected_holder` is the number that must hold the target now, 0 for nobody. With `validate_only` nothing
    changes, and the answer is what it would be. `break_glass` acts against the policies, in an emergency: it needs a right
    of its own and a comment, and is marked in the history and in the audit. Errors: NotFound; FailedPrecondition
    (POLICY_NOT_MET: `preconditions` names every gate that failed); Aborted when another holds it than expected.
    """
    request = pb.TransitionStageRequest(
        request_id="" if validate_only else request_id or new_request_id(),
        ref=version_ref_to_proto(context.version_ref(ref)),
        stage=stage_to_proto(to),
        comment=comment,
        expected_holder=expected_holder,
        etag=etag,
        validate_only=validate_only,
        break_glass=break_glass,
    )
    if validate_only:
        return Call(context.lifecycle.TransitionStage, request, _promotion)
    return change(context, context.lifecycle.TransitionStage, request, _promotion)


def rollback(
    context: CallContext,
    name: AnyModelRef,
    *,
    comment: str = "",
    to_version: int | None = None,
    expected_holder: int | None = None,
    validate_only: bool = False,
    break_glass: bool = False,
    request_id: str | None = None,
    timeout_seconds: float = ROLLBACK_SECONDS,
) -> Call[Promotion]:
    """Put the version that was in production before back there, or `to_version`, and archive the present one.

    Its stored files are verified first, with `break_glass` too; see `promote`. Errors: FailedPrecondition when there is
    none, or a policy that includes rollbacks is not met; Aborted when another is in production than expected; DataLoss when
    the files are not what was pushed.
    """
    request = pb.RollbackRequest(
        request_id="" if validate_only else request_id or new_request_id(),
        model=model_ref_to_proto(context.model_ref(name)),
        comment=comment,
        expected_holder=expected_holder,
        to_version=to_version or 0,
        validate_only=validate_only,
        break_glass=break_glass,
    )
    if validate_only:
        return Call(context.lifecycle.Rollback, request, _promotion, timeout_seconds=timeout_seconds)
    return change(context, context.lifecycle.Rollback, request, _promotion, timeout_seconds=timeout_seconds)


def _promotion(response: pb.TransitionStageResponse | pb.RollbackResponse) -> Promotion:
    return Promotion(
        version=version_from_proto(response.model_version),
        displaced=tuple(version_from_proto(version) for version in response.displaced),
        event_sequence=response.event_sequence,
        overridden_gates=gates_from_proto(response.overridden_gates),
    )


def transitions(
    context: CallContext,
    name: AnyModelRef,
    *,
    version: int | None = None,
    start_time: datetime | None = None,
    end_time: datetime | None = None,
    page_size: int = 0,
) -> Listing[Transition]:
    """The moves of a model's versions, or of one, the newest first; pages are fetched as they are consumed.

    Only those at or after `start_time` and before `end_time`, both aware. Errors: NotFound, InvalidArgument.
    """
    request = pb.ListTransitionsRequest(
        model=model_ref_to_proto(context.model_ref(name)),
        version=version or 0,
        start_time=None if start_time is None else time_to_proto(start_time),
        end_time=None if end_time is None else time_to_proto(end_time),
        page_size=page_size,
    )
    return Listing(
        context.lifecycle.ListTransitions, request, lambda page: map(transition_from_proto, page.transitions)
    )
