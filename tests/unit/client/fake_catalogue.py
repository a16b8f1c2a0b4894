"""Models and versions of the registry of the client's tests."""

from __future__ import annotations

import grpc

from registrar.v1 import (
    model_pb2,
    model_service_pb2,
    model_service_pb2_grpc,
    model_version_pb2,
    model_version_service_pb2,
    model_version_service_pb2_grpc,
    reference_pb2,
)
from tests.unit.client.fake_governance import check_gates
from tests.unit.client.fake_state import EPOCH_SECONDS, Base, refuse


class Models(Base, model_service_pb2_grpc.ModelServiceServicer):
    def CreateModel(
        self, request: model_service_pb2.CreateModelRequest, context: grpc.ServicerContext
    ) -> model_service_pb2.CreateModelResponse:
        def change() -> model_service_pb2.CreateModelResponse:
            name = request.model.name
            if name in self.state.models:
                refuse(context, grpc.StatusCode.ALREADY_EXISTS, "MODEL_EXISTS", model=name)
            model = model_pb2.Model(tenant="default", name=name, description=request.description, tags=request.tags)
            model.metric_goals.update(request.metric_goals)
            self.state.models[name] = model
            self.state.versions[name] = []
            return model_service_pb2.CreateModelResponse(model=model, event_sequence=self.state.next_sequence())

        return self.answer(request, context, change, request.request_id)

    def DeleteModel(
        self, request: model_service_pb2.DeleteModelRequest, context: grpc.ServicerContext
    ) -> model_service_pb2.DeleteModelResponse:
        def change() -> model_service_pb2.DeleteModelResponse:
            model = self.state.models[request.model.name]
            model.delete_time.seconds = EPOCH_SECONDS
            return model_service_pb2.DeleteModelResponse(model=model, event_sequence=self.state.next_sequence())

        return self.answer(request, context, change, request.request_id)

    def UndeleteModel(
        self, request: model_service_pb2.UndeleteModelRequest, context: grpc.ServicerContext
    ) -> model_service_pb2.UndeleteModelResponse:
        def change() -> model_service_pb2.UndeleteModelResponse:
            model = self.state.models[request.model.name]
            model.ClearField("delete_time")
            return model_service_pb2.UndeleteModelResponse(model=model, event_sequence=self.state.next_sequence())

        return self.answer(request, context, change, request.request_id)

    def GetModel(
        self, request: model_service_pb2.GetModelRequest, context: grpc.ServicerContext
    ) -> model_service_pb2.GetModelResponse:
        return self.answer(request, context, lambda: self._get(request, context))

    def _get(
        self, request: model_service_pb2.GetModelRequest, context: grpc.ServicerContext
    ) -> model_service_pb2.GetModelResponse:
        model = self.state.models.get(request.model.name)
        if model is None:
            refuse(context, grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", model=request.model.name)
        return model_service_pb2.GetModelResponse(model=model)

    def ListModels(
        self, request: model_service_pb2.ListModelsRequest, context: grpc.ServicerContext
    ) -> model_service_pb2.ListModelsResponse:
        def page() -> model_service_pb2.ListModelsResponse:
            names = sorted(n for n in self.state.models if n.startswith(request.name_prefix))
            begin = int(request.page_token or 0)
            end = begin + (request.page_size or 100)
            return model_service_pb2.ListModelsResponse(
                models=[self.state.models[n] for n in names[begin:end]],
                next_page_token=str(end) if end < len(names) else "",
            )

        return self.answer(request, context, page)

    def UpdateModel(
        self, request: model_service_pb2.UpdateModelRequest, context: grpc.ServicerContext
    ) -> model_service_pb2.UpdateModelResponse:
        def change() -> model_service_pb2.UpdateModelResponse:
            model = self.state.models[request.model.name]
            model.description = request.description
            return model_service_pb2.UpdateModelResponse(model=model, event_sequence=self.state.next_sequence())

        return self.answer(request, context, change, request.request_id)


class Versions(Base, model_version_service_pb2_grpc.ModelVersionServiceServicer):
    def RegisterModelVersion(
        self, request: model_version_service_pb2.RegisterModelVersionRequest, context: grpc.ServicerContext
    ) -> model_version_service_pb2.RegisterModelVersionResponse:
        return self.answer(request, context, lambda: self._register(request, context), request.request_id)

    def _register(
        self, request: model_version_service_pb2.RegisterModelVersionRequest, context: grpc.ServicerContext
    ) -> model_version_service_pb2.RegisterModelVersionResponse:
        pb = model_version_service_pb2
        if request.artifact_id and request.artifact_id not in self.state.bundles:
            refuse(context, grpc.StatusCode.NOT_FOUND, "ARTIFACT_NOT_FOUND")
        if request.validate_only:
            return pb.RegisterModelVersionResponse()
        name = request.model.name
        versions = self.state.versions.setdefault(name, [])
        model = self.state.models.setdefault(name, model_pb2.Model(tenant="default", name=name, uid="0" * 32))
        version = model_version_pb2.ModelVersion(
            tenant="default",
            name=name,
            version=len(versions) + 1,
            uid=f"{len(versions) + 1:032x}",
            state=model_version_pb2.MODEL_VERSION_STATE_READY,
            stage=reference_pb2.STAGE_NONE,
            artifact_kind=model_version_pb2.ARTIFACT_KIND_BUNDLE,
            artifact_id=request.artifact_id,
            created_by="local",
            etag="1",
        )
        if request.artifact_id:
            version.artifact_uri = self.state.bundles[request.artifact_id].artifact.uri
            version.manifest_digest = self.state.bundles[request.artifact_id].artifact.manifest_digest
        for kept in ("description", "semantic_version", "drift_monitor_id"):
            setattr(version, kept, getattr(request, kept))
        if request.HasField("signature"):
            version.signature.CopyFrom(request.signature)
        if request.HasField("provenance"):
            version.provenance.CopyFrom(request.provenance)
        if request.HasField("risk"):
            version.risk.CopyFrom(request.risk)
        if request.HasField("documentation"):
            version.documentation.CopyFrom(request.documentation)
        version.metric_slices.extend(request.metric_slices)
        version.flavors.extend(request.flavors)
        version.metrics.update(request.metrics)
        version.tags.update(request.tags)
        for key, value in request.parameters.items():
            version.parameters[key].CopyFrom(value)
        version.create_time.seconds = version.update_time.seconds = EPOCH_SECONDS
        versions.append(version)
        model.latest_version = version.version
        model.update_time.seconds = EPOCH_SECONDS
        return pb.RegisterModelVersionResponse(model_version=version, event_sequence=self.state.next_sequence())

    def GetModelVersion(
        self, request: model_version_service_pb2.GetModelVersionRequest, context: grpc.ServicerContext
    ) -> model_version_service_pb2.GetModelVersionResponse:
        return self.answer(
            request,
            context,
            lambda: self._past(request, self.resolve(request.ref, context)),
        )

    def _past(
        self, request: model_version_service_pb2.GetModelVersionRequest, version: model_version_pb2.ModelVersion
    ) -> model_version_service_pb2.GetModelVersionResponse:
        """As if all had been so for ever."""
        response = model_version_service_pb2.GetModelVersionResponse(model_version=version)
        if request.HasField("at_time"):
            response.as_of_time.CopyFrom(request.at_time)
            for transition in self.state.transitions:
                if transition.version == version.version:
                    response.transition.CopyFrom(transition)
            for move in self.state.moves:
                if (move.alias, move.to_version) == (request.ref.alias, version.version):
                    response.alias_move.CopyFrom(move)
        return response

    def ListModelVersions(
        self, request: model_version_service_pb2.ListModelVersionsRequest, context: grpc.ServicerContext
    ) -> model_version_service_pb2.ListModelVersionsResponse:
        def page() -> model_version_service_pb2.ListModelVersionsResponse:
            if request.model.name not in self.state.models:
                refuse(context, grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", model=request.model.name)
            versions = self.state.versions[request.model.name][::-1]
            begin = int(request.page_token or 0)
            end = begin + (request.page_size or 100)
            return model_version_service_pb2.ListModelVersionsResponse(
                model_versions=versions[begin:end], next_page_token=str(end) if end < len(versions) else ""
            )

        return self.answer(request, context, page)

    def SearchModelVersions(
        self, request: model_version_service_pb2.SearchModelVersionsRequest, context: grpc.ServicerContext
    ) -> model_version_service_pb2.SearchModelVersionsResponse:
        def page() -> model_version_service_pb2.SearchModelVersionsResponse:
            if request.filter == "?":
                refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "FILTER_INVALID", field="filter", column="1")
            versions = [version for of in self.state.versions.values() for version in of][::-1]
            begin = int(request.page_token or 0)
            end = begin + (request.page_size or 100)
            return model_version_service_pb2.SearchModelVersionsResponse(
                model_versions=versions[begin:end], next_page_token=str(end) if end < len(versions) else ""
            )

        return self.answer(request, context, page)

    def UpdateModelVersion(
        self, request: model_version_service_pb2.UpdateModelVersionRequest, context: grpc.ServicerContext
    ) -> model_version_service_pb2.UpdateModelVersionResponse:
        def change() -> model_version_service_pb2.UpdateModelVersionResponse:
            version = self.resolve(request.ref, context)
            if request.etag and request.etag != version.etag:
                refuse(context, grpc.StatusCode.ABORTED, "ETAG_MISMATCH", etag=version.etag)
            for path in request.update_mask.paths:
                if path == "tags":
                    version.tags.clear()
                    version.tags.update(request.tags)
                elif path == "documentation":
                    version.documentation.CopyFrom(request.documentation)
                else:
                    setattr(version, path, getattr(request, path))
            version.etag = str(int(version.etag) + 1)
            return model_version_service_pb2.UpdateModelVersionResponse(
                model_version=version, event_sequence=self.state.next_sequence()
            )

        return self.answer(request, context, change, request.request_id)

    def DeleteModelVersion(
        self, request: model_version_service_pb2.DeleteModelVersionRequest, context: grpc.ServicerContext
    ) -> model_version_service_pb2.DeleteModelVersionResponse:
        def change() -> model_version_service_pb2.DeleteModelVersionResponse:
            version = self.resolve(request.ref, context)
            version.delete_time.seconds = EPOCH_SECONDS
            version.purge_time.seconds = EPOCH_SECONDS + 86_400
            return model_version_service_pb2.DeleteModelVersionResponse(
                model_version=version, event_sequence=self.state.next_sequence()
            )

        return self.answer(request, context, change, request.request_id)

    def UndeleteModelVersion(
        self, request: model_version_service_pb2.UndeleteModelVersionRequest, context: grpc.ServicerContext
    ) -> model_version_service_pb2.UndeleteModelVersionResponse:
        def change() -> model_version_service_pb2.UndeleteModelVersionResponse:
            version = self.resolve(request.ref, context)
            version.ClearField("delete_time")
            return model_version_service_pb2.UndeleteModelVersionResponse(
                model_version=version, event_sequence=self.state.next_sequence()
            )

        return self.answer(request, context, change, request.request_id)

    def CompareModelVersions(
        self, request: model_version_service_pb2.CompareModelVersionsRequest, context: grpc.ServicerContext
    ) -> model_version_service_pb2.CompareModelVersionsResponse:
        def compare() -> model_version_service_pb2.CompareModelVersionsResponse:
            versions = [self.resolve(ref, context) for ref in request.refs]
            names = sorted({name for version in versions for name in version.metrics})
            first = versions[0].metrics
            response = model_version_service_pb2.CompareModelVersionsResponse(
                recommendation=f"Version {versions[-1].version} shows improvement across all metrics",
                recommended_version=versions[-1].version,
            )
            for version in versions:
                response.comparison.add(
                    version=version.version,
                    stage=version.stage,
                    metrics=version.metrics,
                    parameters=version.parameters,
                )
            for name in names:
                values = {v.version: v.metrics[name] for v in versions if name in v.metrics}
                metric = response.metrics.add(metric=name, goal=1, winners=[max(values, key=values.__getitem__)])
                for number, value in values.items():
                    metric.values.add(version=number, value=value, delta=value - first[name] if name in first else None)
            return response

        return self.answer(request, context, compare)

    def SetAlias(
        self, request: model_version_service_pb2.SetAliasRequest, context: grpc.ServicerContext
    ) -> model_version_service_pb2.SetAliasResponse:
        def change() -> model_version_service_pb2.SetAliasResponse:
            version = self.resolve(request.ref, context)
            holders = [v for v in self.state.versions[request.ref.model.name] if request.alias in v.aliases]
            before = holders[0].version if holders else 0
            if request.HasField("expected_version") and request.expected_version != before:
                refuse(context, grpc.StatusCode.ABORTED, "ALIAS_MOVED", alias=request.alias, version=str(before))
            where = {"model": version.name, "version": str(version.version), "alias": request.alias}
            check_gates(self.state, context, break_glass=request.break_glass, **where)
            if request.validate_only:
                return model_version_service_pb2.SetAliasResponse(model_version=version, previous_version=before)
            for holder in holders:
                holder.aliases.remove(request.alias)
            version.aliases.append(request.alias)
            self._moved(request, before, version.version)
            return model_version_service_pb2.SetAliasResponse(
                model_version=version,
                previous_version=before,
                event_sequence=self.state.next_sequence(),
                overridden_gates=self.state.failed_gates,
            )

        return self.answer(request, context, change, request.request_id)

    def _moved(
        self,
        request: model_version_service_pb2.SetAliasRequest | model_version_service_pb2.DeleteAliasRequest,
        before: int,
        after: int,
    ) -> None:
        move = model_version_pb2.AliasMove(
            alias=request.alias, from_version=before, to_version=after, actor="local", comment=request.comment
        )
        move.move_time.seconds = EPOCH_SECONDS
        self.state.moves.insert(0, move)

    def DeleteAlias(
        self, request: model_version_service_pb2.DeleteAliasRequest, context: grpc.ServicerContext
    ) -> model_version_service_pb2.DeleteAliasResponse:
        def change() -> model_version_service_pb2.DeleteAliasResponse:  # noqa: RET503  (it raises)
            for version in self.state.versions.get(request.model.name, []):
                if request.alias in version.aliases:
                    version.aliases.remove(request.alias)
                    self._moved(request, version.version, 0)
                    return model_version_service_pb2.DeleteAliasResponse(
                        previous_version=version.version, event_sequence=self.state.next_sequence()
                    )
            refuse(context, grpc.StatusCode.NOT_FOUND, "ALIAS_NOT_FOUND", model=request.model.name, alias=request.alias)

        return self.answer(request, context, change, request.request_id)

    def ListAliasHistory(
        self, request: model_version_service_pb2.ListAliasHistoryRequest, context: grpc.ServicerContext
    ) -> model_version_service_pb2.ListAliasHistoryResponse:
        return self.answer(
            request, context, lambda: model_version_service_pb2.ListAliasHistoryResponse(moves=self.state.moves)
        )
