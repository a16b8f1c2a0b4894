"""The part of `Registry` that keeps models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from registrar.connection import AnyModelRef, Calls, new_request_id, pages
from registrar.convert.results import model_from_proto
from registrar.convert.values import goal_to_proto, model_ref_to_proto
from registrar.types import Model
from registrar.v1 import model_service_pb2 as pb
from registrar.v1 import value_pb2
from registrar.values import MetricGoal


class ModelCalls(Calls):
    """Models: create, read, list, update, delete, undelete."""

    def create_model(
        self,
        name: AnyModelRef,
        *,
        description: str = "",
        tags: Mapping[str, str] | None = None,
        metric_goals: Mapping[str, MetricGoal] | None = None,
        request_id: str | None = None,
    ) -> Model:
        """Make a model without versions; a first push makes it by itself. Errors: AlreadyExists, InvalidArgument."""
        request = pb.CreateModelRequest(
            request_id=request_id or new_request_id(),
            model=model_ref_to_proto(self._connection.model_ref(name)),
            description=description,
            tags=tags or {},
            metric_goals=_goals(metric_goals),
        )
        response = self._connection.unary(self._connection.models.CreateModel, request)
        self._connection.sequence.advance(response.event_sequence)
        return model_from_proto(response.model)

    def model(self, name: AnyModelRef, *, strong: bool = False) -> Model:
        """Read one model. Strong: the answer reflects everybody's changes before the call. Errors: NotFound."""
        request = pb.GetModelRequest(model=model_ref_to_proto(self._connection.model_ref(name)))
        self._connection.ask_fresh(request, strong=strong)
        return model_from_proto(self._connection.unary(self._connection.models.GetModel, request).model)

    def models(
        self, *, prefix: str = "", tenant: str = "", show_deleted: bool = False, page_size: int = 0
    ) -> Iterator[Model]:
        """All models whose name begins with the prefix, by name; pages are fetched as they are consumed."""
        request = pb.ListModelsRequest(
            tenant=tenant or self._connection.tenant,
            name_prefix=prefix,
            show_deleted=show_deleted,
            page_size=page_size,
        )
        self._connection.ask_fresh(request, strong=False)

        def fetch(token: str) -> tuple[list[Model], str]:
            request.page_token = token
            response = self._connection.unary(self._connection.models.ListModels, request)
            return [model_from_proto(model) for model in response.models], response.next_page_token

        return pages(fetch)

    def update_model(
        self,
        name: AnyModelRef,
        *,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        metric_goals: Mapping[str, MetricGoal] | None = None,
        etag: str = "",
        request_id: str | None = None,
    ) -> Model:
        """Change what is not None; an empty value empties it. Errors: NotFound, Aborted when the etag is old."""
        request = pb.UpdateModelRequest(
            request_id=request_id or new_request_id(),
            model=model_ref_to_proto(self._connection.model_ref(name)),
            etag=etag,
            description=description or "",
            tags=tags or {},
            metric_goals=_goals(metric_goals),
        )
        given = {"description": description, "tags": tags, "metric_goals": metric_goals}
        request.update_mask.paths.extend(path for path, value in given.items() if value is not None)
        response = self._connection.unary(self._connection.models.UpdateModel, request)
        self._connection.sequence.advance(response.event_sequence)
        return model_from_proto(response.model)

    def delete_model(self, name: AnyModelRef, *, etag: str = "", request_id: str | None = None) -> Model:
        """Hide a model and its versions; until `purge_time` it can be undeleted.

        Errors: NotFound, Aborted when the etag is old, FailedPrecondition while a version is staging or production.
        """
        request = pb.DeleteModelRequest(
            request_id=request_id or new_request_id(),
            model=model_ref_to_proto(self._connection.model_ref(name)),
            etag=etag,
        )
        response = self._connection.unary(self._connection.models.DeleteModel, request)
        self._connection.sequence.advance(response.event_sequence)
        return model_from_proto(response.model)

    def undelete_model(self, name: AnyModelRef, *, request_id: str | None = None) -> Model:
        """Bring a deleted model back as it was. Errors: NotFound."""
        request = pb.UndeleteModelRequest(
            request_id=request_id or new_request_id(), model=model_ref_to_proto(self._connection.model_ref(name))
        )
        response = self._connection.unary(self._connection.models.UndeleteModel, request)
        self._connection.sequence.advance(response.event_sequence)
        return model_from_proto(response.model)


def _goals(goals: Mapping[str, MetricGoal] | None) -> dict[str, value_pb2.MetricGoal.ValueType]:
    return {metric: goal_to_proto(goal) for metric, goal in (goals or {}).items()}
