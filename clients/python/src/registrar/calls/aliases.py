"""Aliases: set, delete, history."""

from __future__ import annotations

from datetime import datetime

from registrar.calls.call import Call, Listing, change, new_request_id
from registrar.context import AnyModelRef, AnyVersionRef, CallContext
from registrar.convert.access import time_to_proto
from registrar.convert.policies import gates_from_proto
from registrar.convert.results import move_from_proto, version_from_proto
from registrar.convert.values import model_ref_to_proto, version_ref_to_proto
from registrar.reference import VersionRef
from registrar.types import AliasMove, AliasPointing
from registrar.v1 import model_version_service_pb2 as pb


def set_alias(
    context: CallContext,
    name: AnyModelRef,
    alias: str,
    version: int | AnyVersionRef,
    *,
    expected: int | None = None,
    comment: str = "",
    validate_only: bool = False,
    break_glass: bool = False,
    request_id: str | None = None,
) -> Call[AliasPointing]:
    """Point an alias at a version, in one step: no reader sees it absent.

    `expected` is the number it must point at now, 0 for "must not exist". `validate_only` and `break_glass`: see `promote`.
    Errors: NotFound; FailedPrecondition (POLICY_NOT_MET: `preconditions` names every gate that failed); Aborted when it
    points elsewhere than expected; InvalidArgument for reserved names (stages, `latest`, `v1`).
    """
    model = context.model_ref(name)
    ref = VersionRef(model, version=version) if isinstance(version, int) else context.version_ref(version)
    request = pb.SetAliasRequest(
        request_id="" if validate_only else request_id or new_request_id(),
        ref=version_ref_to_proto(ref),
        alias=alias,
        expected_version=expected,
        comment=comment,
        validate_only=validate_only,
        break_glass=break_glass,
    )
    if validate_only:
        return Call(context.versions.SetAlias, request, _pointing)
    return change(context, context.versions.SetAlias, request, _pointing)


def _pointing(response: pb.SetAliasResponse) -> AliasPointing:
    return AliasPointing(
        version=version_from_proto(response.model_version),
        previous_version=response.previous_version or None,
        event_sequence=response.event_sequence,
        overridden_gates=gates_from_proto(response.overridden_gates),
    )


def delete_alias(
    context: CallContext,
    name: AnyModelRef,
    alias: str,
    *,
    expected: int | None = None,
    comment: str = "",
    request_id: str | None = None,
) -> Call[int]:
    """Remove an alias; answers the number it pointed at. Errors: NotFound; Aborted, see `set_alias`."""
    request = pb.DeleteAliasRequest(
        request_id=request_id or new_request_id(),
        model=model_ref_to_proto(context.model_ref(name)),
        alias=alias,
        expected_version=expected,
        comment=comment,
    )
    return change(context, context.versions.DeleteAlias, request, lambda response: response.previous_version)


def alias_history(
    context: CallContext,
    name: AnyModelRef,
    *,
    alias: str = "",
    start_time: datetime | None = None,
    end_time: datetime | None = None,
    page_size: int = 0,
) -> Listing[AliasMove]:
    """The moves of a model's aliases, or of one, the newest first; pages are fetched as they are consumed.

    Only those at or after `start_time` and before `end_time`, both aware. Errors: NotFound, InvalidArgument.
    """
    request = pb.ListAliasHistoryRequest(
        model=model_ref_to_proto(context.model_ref(name)),
        alias=alias,
        start_time=None if start_time is None else time_to_proto(start_time),
        end_time=None if end_time is None else time_to_proto(end_time),
        page_size=page_size,
    )
    return Listing(context.versions.ListAliasHistory, request, lambda page: map(move_from_proto, page.moves))
