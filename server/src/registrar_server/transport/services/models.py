"""ModelService."""

from __future__ import annotations

import grpc

from registrar.v1 import model_service_pb2 as pb
from registrar.v1 import model_service_pb2_grpc
from registrar_server.application.models import ModelChanged, Models, ModelUpdate
from registrar_server.application.reply_cache import ReplyCache
from registrar_server.domain import limits
from registrar_server.domain.access import Right
from registrar_server.domain.validation import checking
from registrar_server.transport.calls import current_caller, mutation_of
from registrar_server.transport.convert.masks import Mask
from registrar_server.transport.convert.models import model_to_proto
from registrar_server.transport.convert.references import freshness_from_proto, model_from_proto, tenant_from_proto
from registrar_server.transport.convert.values import goals_from_proto
from registrar_server.transport.paging import decode_token, encode_token, page_size
from registrar_server.transport.replies import as_sent

_MUTABLE = ("description", "tags", "metric_goals")


class ModelServicer(model_service_pb2_grpc.ModelServiceServicer):
    """Converts, calls, converts."""

    def __init__(self, models: Models, replies: ReplyCache) -> None:
        self._models = models
        self._replies = replies

    def CreateModel(self, request: pb.CreateModelRequest, context: grpc.ServicerContext) -> pb.CreateModelResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            key = model_from_proto(check, "model", request.model, current_caller())
            description = check.text("description", request.description, limits.DESCRIPTION_CHARACTERS)
            tags = check.tags("tags", request.tags)
            goals = goals_from_proto(check, "metric_goals", request.metric_goals)
        mutation = mutation_of(request, request.request_id, _created)
        answer = self._models.create(mutation, key, description=description, tags=tags, metric_goals=goals)
        return pb.CreateModelResponse.FromString(answer)

    def GetModel(self, request: pb.GetModelRequest, context: grpc.ServicerContext) -> pb.GetModelResponse:
        """See the contract."""
        with checking() as check:
            key = model_from_proto(check, "model", request.model, current_caller())
            freshness = freshness_from_proto(check, "consistency", request.consistency)

        def load() -> tuple[bytes, bool]:
            reply = pb.GetModelResponse(model=model_to_proto(self._models.get(key)))
            return reply.SerializeToString(), True

        return as_sent(self._replies.read(key, "model", freshness, load), pb.GetModelResponse)

    def ListModels(self, request: pb.ListModelsRequest, context: grpc.ServicerContext) -> pb.ListModelsResponse:
        """See the contract."""
        with checking() as check:
            tenant = tenant_from_proto(check, "tenant", request.tenant, current_caller())
            prefix = check.text("name_prefix", request.name_prefix, limits.LABEL_CHARACTERS)
        size = page_size(request.page_size)
        token = decode_token(request, request.page_token, str)
        after = str(token[0]) if token else ""
        readable = current_caller().access.models(Right.READ, tenant)
        models = self._models.list(
            tenant,
            readable=readable,
            prefix=prefix,
            after=after,
            limit=size + 1,
            is_deleted_shown=request.show_deleted,
        )
        response = pb.ListModelsResponse(models=map(model_to_proto, models[:size]))
        if len(models) > size:
            response.next_page_token = encode_token(request, [models[size - 1].key.name])
        return response

    def UpdateModel(self, request: pb.UpdateModelRequest, context: grpc.ServicerContext) -> pb.UpdateModelResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            key = model_from_proto(check, "model", request.model, current_caller())
            mask = Mask.parse(check, request, _MUTABLE)
            description = check.text("description", request.description, limits.DESCRIPTION_CHARACTERS)
            tags = check.tags("tags", request.tags)
            goals = goals_from_proto(check, "metric_goals", request.metric_goals)
        wanted = ModelUpdate(
            description=description if "description" in mask else None,
            tags=tags if "tags" in mask else None,
            metric_goals=goals if "metric_goals" in mask else None,
        )
        mutation = mutation_of(request, request.request_id, _updated)
        return pb.UpdateModelResponse.FromString(self._models.update(mutation, key, request.etag, wanted))

    def DeleteModel(self, request: pb.DeleteModelRequest, context: grpc.ServicerContext) -> pb.DeleteModelResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            key = model_from_proto(check, "model", request.model, current_caller())
        mutation = mutation_of(request, request.request_id, _deleted)
        return pb.DeleteModelResponse.FromString(self._models.delete(mutation, key, request.etag))

    def UndeleteModel(
        self, request: pb.UndeleteModelRequest, context: grpc.ServicerContext
    ) -> pb.UndeleteModelResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            key = model_from_proto(check, "model", request.model, current_caller())
        mutation = mutation_of(request, request.request_id, _undeleted)
        return pb.UndeleteModelResponse.FromString(self._models.undelete(mutation, key))


def _created(changed: ModelChanged) -> pb.CreateModelResponse:
    return pb.CreateModelResponse(model=model_to_proto(changed.model), event_sequence=changed.sequence)


def _updated(changed: ModelChanged) -> pb.UpdateModelResponse:
    return pb.UpdateModelResponse(model=model_to_proto(changed.model), event_sequence=changed.sequence)


def _deleted(changed: ModelChanged) -> pb.DeleteModelResponse:
    return pb.DeleteModelResponse(model=model_to_proto(changed.model), event_sequence=changed.sequence)


def _undeleted(changed: ModelChanged) -> pb.UndeleteModelResponse:
    return pb.UndeleteModelResponse(model=model_to_proto(changed.model), event_sequence=changed.sequence)
