"""Models: create, read, list, update, delete, undelete."""

from __future__ import annotations

from collections.abc import Mapping

from registrar.calls.call import Call, Listing, change, new_request_id
from registrar.context import AnyModelRef, CallContext
from registrar.convert.results import model_from_proto
from registrar.convert.values import goal_to_proto, model_ref_to_proto
from registrar.types import Model
from registrar.v1 import model_service_pb2 as pb
from registrar.v1 import value_pb2
from registrar.values import MetricGoal


def create_model(
    context: CallContext,
    name: AnyModelRef,
    *,
    description: str = "",
    tags: Mapping[str, str] | None = None,
    metric_goals: Mapping[str, MetricGoal] | None = None,
    request_id: str | None = None,
) -> Call[Model]:
    """Make a model without versions; a first push makes it by itself. Errors: AlreadyExists, InvalidArgument."""
    request = pb.CreateModelRequest(
        request_id=request_id or new_request_id(),
        model=model_ref_to_proto(context.model_ref(name)),
        description=description,
        tags=tags or {},
        metric_goals=_goals(metric_goals),
    )
    return change(context, context.models.CreateModel, request, lambda response: model_from_proto(response.model))


def model(context: CallContext, name: AnyModelRef, *, strong: bool = False) -> Call[Model]:
    """Read one model. Strong: the answer reflects everybody's changes before the call. Errors: NotFound."""
    request = pb.GetModelRequest(model=model_ref_to_proto(context.model_ref(name)))
    context.ask_fresh(request, strong=strong)
    return Call(context.models.GetModel, request, lambda response: model_from_proto(response.model))


def models(
    context: CallContext, *, prefix: str = "", tenant: str = "", show_deleted: bool = False, page_size: int = 0
) -> Listing[Model]:
    """All models whose name begins with the prefix, by name; pages are fetched as they are consumed."""
    request = pb.ListModelsRequest(
        tenant=tenant or context.tenant, name_prefix=prefix, show_deleted=show_deleted, page_size=page_size
    )
    context.ask_fresh(request, strong=False)
    return Listing(context.models.ListModels, request, lambda page: map(model_from_proto, page.models))


def update_model(
    context: CallContext,
    name: AnyModelRef,
    *,
    description: str | None = None,
    tags: Mapping[str, str] | None = None,
    metric_goals: Mapping[str, MetricGoal] | None = None,
    etag: str = "",
    request_id: str | None = None,
) -> Call[Model]:
    """Change what is not None; an empty value empties it. Errors: NotFound, Aborted when the etag is old."""
    request = pb.UpdateModelRequest(
        request_id=request_id or new_request_id(),
        model=model_ref_to_proto(context.model_ref(name)),
        etag=etag,
        description=description or "",
        tags=tags or {},
        metric_goals=_goals(metric_goals),
    )
    given = {"description": description, "tags": tags, "metric_goals": metric_goals}
    request.update_mask.paths.extend(path for path, value in given.items() if value is not None)
    return change(context, context.models.UpdateModel, request, lambda response: model_from_proto(response.model))


def delete_model(
    context: CallContext, name: AnyModelRef, *, etag: str = "", request_id: str | None = None
) -> Call[Model]:
    """Hide a model and its versions; until `purge_time` it can be undeleted.

    Errors: NotFound, Aborted when the etag is old, FailedPrecondition while a version is staging or production.
    """
    request = pb.DeleteModelRequest(
        request_id=request_id or new_request_id(), model=model_ref_to_proto(context.model_ref(name)), etag=etag
    )
    return change(context, context.models.DeleteModel, request, lambda response: model_from_proto(response.model))


def undelete_model(context: CallContext, name: AnyModelRef, *, request_id: str | None = None) -> Call[Model]:
    """Bring a deleted model back as it was. Errors: NotFound."""
    request = pb.UndeleteModelRequest(
        request_id=request_id or new_request_id(), model=model_ref_to_proto(context.model_ref(name))
    )
    return change(context, context.models.UndeleteModel, request, lambda response: model_from_proto(response.model))


def _goals(goals: Mapping[str, MetricGoal] | None) -> dict[str, value_pb2.MetricGoal.ValueType]:
    return {metric: goal_to_proto(goal) for metric, goal in (goals or {}).items()}
