"""Every RPC, with everything that a request of it can name."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from registrar.v1 import lifecycle_service_pb2 as lifecycle_pb
from registrar.v1 import model_version_service_pb2 as versions_pb
from registrar.v1.reference_pb2 import ModelRef, Stage
from registrar_server.transport.server import SERVICE_NAMES
from tests.end_to_end import sessions
from tests.end_to_end.api import CALL_SECONDS, Api, by_number, digest_of, manifest_of, refusal_of

FILES = {"model.pkl": b"weights that nobody else may have"}
OPEN_FILES = {"model.pkl": b"on its way"}


@dataclass(frozen=True)
class Things:
    """What a tenant has, by every name that it goes by."""

    tenant: str
    model: str
    uid: str
    alias: str
    semantic_version: str
    artifact_id: str
    manifest_digest: str
    upload_id: str
    page_token: str
    request_id: str
    approval_id: str = "0" * 32
    comment_id: str = "0" * 32


class Everything:
    """Requests of every RPC that name what somebody has; `tenant` is given each time, or left to be guessed."""

    def __init__(self, things: Things) -> None:
        self._things = things

    def requests(self, method: str) -> Iterator[Mapping[str, Any]]:
        """As JSON. A method that is not there is one that somebody forgot."""
        one = self._things
        for tenant in (one.tenant, ""):
            model = {"tenant": tenant, "name": one.model}
            for ref in self._refs(model):
                yield from self._of_version(method, ref)
                yield from self._of_review(method, ref)
                yield from self._of_card(method, ref)
            yield from self._of_model(method, model)
            yield from self._of_approval(method, model)
            yield from self._of_ids(method, tenant)
        yield from self._of_tenant(method, one.tenant)
        yield from self._of_metadata(method, one.tenant)
        yield from self._of_audit(method, one.tenant)
        yield from self._of_policies(method, one.tenant)

    def _refs(self, model: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        one = self._things
        for selector in (
            {"version": 1},
            {"alias": one.alias},
            {"stage": "STAGE_PRODUCTION"},
            {"semanticVersion": one.semantic_version},
            {"semanticVersion": "*"},
            {"uid": one.uid},
        ):
            yield {"model": model, **selector}

    def _of_version(self, method: str, ref: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        match method:
            case "GetModelVersion" | "ExportEvidence" | "VerifyArtifact" | "GetArtifact" | "CreateDownloadUrls":
                yield {"ref": ref}
            case "DownloadFile":
                yield {"ref": ref, "path": "model.pkl"}
            case "UpdateModelVersion":
                yield {"ref": ref, "description": "taken over"}
            case "DeleteModelVersion" | "UndeleteModelVersion":
                yield {"ref": ref, "requestId": self._things.request_id}
            case "CompareModelVersions":
                yield {"refs": [ref, {**ref, "version": 2} if "version" in ref else ref]}
            case "GetLineage":
                yield {"version": ref}
            case "SetAlias":
                yield {"ref": ref, "alias": "mine"}
            case "TransitionStage":
                yield {"ref": ref, "stage": "STAGE_ARCHIVED"}
            case _:
                pass

    def _of_model(self, method: str, model: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        one = self._things
        paged = {"model": model, "pageToken": one.page_token}
        match method:
            case "GetModel" | "DeleteModel" | "UndeleteModel" | "Rollback":
                yield {"model": model}
            case "CreateModel" if model["tenant"]:
                yield {"model": model}
            case "UpdateModel":
                yield {"model": model, "description": "taken over"}
            case "ListModelVersions" | "ListAliasHistory" | "ListTransitions" | "ListComments":
                yield {"model": model}
                yield paged
            case "DeleteAlias":
                yield {"model": model, "alias": one.alias}
            case "RegisterModelVersion":
                yield {"model": model, "artifactId": one.artifact_id}
                yield {"model": {**model, "name": "own-model"}, "artifactId": one.artifact_id}
                parent = {"model": {"tenant": one.tenant, "name": one.model}, "version": 1}
                yield {"model": model, "artifactId": one.artifact_id, "provenance": {"parent": parent}}
            case "GetArtifact":
                yield {"manifest": {"model": model, "manifestDigest": one.manifest_digest}}
            case "CreateUpload" | "UploadArtifact" if model["tenant"]:
                sent = {"model": model, "manifest": MessageToDict(manifest_of(FILES))}
                yield sent if method == "CreateUpload" else {"header": sent}
            case _:
                pass

    def _of_ids(self, method: str, tenant: str) -> Iterator[Mapping[str, Any]]:
        one = self._things
        session = {"uploadId": one.upload_id, "tenant": tenant}
        whole = {"file": 0}
        match method:
            case "GetArtifact" | "VerifyArtifact" | "CreateDownloadUrls":
                yield {"artifactId": one.artifact_id, "tenant": tenant}
            case "DownloadFile":
                yield {"artifactId": one.artifact_id, "tenant": tenant, "path": "model.pkl"}
            case "GetUpload" | "CommitUpload" | "AbortUpload":
                yield session
            case "CreatePartUrls":
                yield {**session, "ranges": [whole]}
            case "RecordParts":
                yield {**session, "writerEpoch": 1, "parts": [{"file": 0, "partNumber": 1, "etag": "e" * 32}]}
            case "WriteUpload":
                yield {"header": {**session, "ranges": [whole]}}
            case _:
                pass

    def _of_tenant(self, method: str, tenant: str) -> Iterator[Mapping[str, Any]]:
        match method:
            case "ListModels" | "SearchModelVersions" | "ListRoles" | "ListRoleBindings" | "ListTokens" | "GetTenant":
                yield {"tenant": tenant}
            case "CreateTenant" | "UpdateTenant" | "SuspendTenant" | "ResumeTenant" | "DeleteTenant" | "UndeleteTenant":
                yield {"tenant": tenant, "description": "mine"} if method in _DESCRIBED else {"tenant": tenant}
            case "CreateRole" | "UpdateRole":
                yield {"tenant": tenant, "name": "mine", "grants": [{"right": "RIGHT_READ"}]}
            case "GetRole" | "DeleteRole":
                yield {"tenant": tenant, "name": "reader"}
            case "CreateRoleBinding":
                yield {"tenant": tenant, "role": "reader", "member": "user:me"}
            case "DeleteRoleBinding" | "RevokeToken":
                yield {"tenant": tenant, "id": "0" * 32}
            case "CreateToken":
                yield {"tenant": tenant, "name": "mine", "role": "reader"}
            case "ListTenants":
                yield {}
            case "RevokeSessions":
                yield {"member": "user:them"}
            case _:
                pass

    def _of_metadata(self, method: str, tenant: str) -> Iterator[Mapping[str, Any]]:
        match method:
            case "GetMetadataSchema":
                yield {"tenant": tenant}
            case "UpdateMetadataSchema":
                yield {"tenant": tenant, "fields": [{"path": "tags.mine"}]}
            case "GetLineage":
                yield {"tenant": tenant, "runId": "run"}
                yield {"tenant": tenant, "datasetDigest": "sha256:1"}
                yield {"tenant": tenant, "datasetUri": "s3://data"}
            case _:
                pass

    def _of_policies(self, method: str, tenant: str) -> Iterator[Mapping[str, Any]]:
        named = {"tenant": tenant, "name": "mine"}
        scope = {"modelPatterns": [self._things.model], "targetStages": ["STAGE_PRODUCTION"]}
        match method:
            case "CreatePolicy":
                yield {**named, "scope": scope}
            case "GetPolicy" | "ListPolicyRevisions" | "DeletePolicy" | "TestPolicy":
                yield named
            case "UpdatePolicy":
                yield {**named, "description": "taken over"}
            case "ListPolicies":
                yield {"tenant": tenant}
                yield {"tenant": tenant, "model": self._things.model}
            case _:
                pass
        if method == "TestPolicy":
            yield {"tenant": tenant, "draft": {"scope": scope}, "model": self._things.model, "versions": [1]}

    def _of_review(self, method: str, ref: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        match method:
            case "RequestApproval":
                yield {"ref": ref, "alias": "mine"}
            case "CreateComment":
                yield {"ref": ref, "text": "mine", "replyTo": self._things.comment_id}
            case "ReportCheck":
                yield {"ref": ref, "name": "mine", "outcome": "CHECK_OUTCOME_PASSED"}
            case "ListChecks":
                yield {"ref": ref}
            case _:
                pass

    def _of_card(self, method: str, ref: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        match method:
            case "GetModelCard" | "ListModelCardRevisions":
                yield {"ref": ref}
            case "UpdateModelCard":
                yield {"ref": ref, "card": {"summary": "taken over"}}
            case "RenderModelCard":
                yield {"ref": ref, "format": "CARD_FORMAT_YAML"}
            case _:
                pass

    def _of_approval(self, method: str, model: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        named = {"model": model, "approvalId": self._things.approval_id}
        match method:
            case "GetApproval" | "WithdrawApproval":
                yield named
            case "DecideApproval":
                yield {**named, "approverRole": "risk", "decision": "DECISION_APPROVE"}
            case "ListApprovals" if model["tenant"]:
                yield {"tenant": model["tenant"]}
                yield {"tenant": model["tenant"], "model": model["name"], "version": 1}
            case _:
                pass

    def _of_audit(self, method: str, tenant: str) -> Iterator[Mapping[str, Any]]:
        match method:
            case "ListAuditEvents":
                yield {"tenant": tenant}
                yield {"tenant": tenant, "model": self._things.model, "version": 1}
            case "GetAuditHead" | "VerifyAudit":
                yield {"tenant": tenant}
            case "GetAuditProof":
                yield {"tenant": tenant, "position": 1}
                yield {"tenant": tenant, "earlierTreeSize": 1}
            case _:
                pass


_DESCRIBED = ("CreateTenant", "UpdateTenant")
ABOUT_NOBODY = {"GetServerInfo", "GetLoginOptions", "GetCaller", "ParseModelCard"}


def all_methods() -> list[MethodDescriptor]:
    pool = descriptor_pool.Default()
    return [m for name in SERVICE_NAMES for m in pool.FindServiceByName(name).methods_by_name.values()]


METHODS = {method.name: method for method in all_methods()}


def make_things(api: Api, tenant: str) -> Things:
    """A model with two versions, the first in production under an alias, and an upload under way."""
    name, request_id = f"secret-{secrets.token_hex(4)}", secrets.token_hex(8)
    artifact = api.upload(name, FILES)
    version = api.register(name, artifact_id=artifact.id, semantic_version="1.0.0", request_id=request_id)
    api.register(name)
    api.versions.SetAlias(versions_pb.SetAliasRequest(ref=by_number(name, 1), alias="champion"))
    api.move(name, 1, Stage.STAGE_STAGING)
    api.move(name, 1, Stage.STAGE_PRODUCTION)
    comment = lifecycle_pb.CreateCommentRequest(ref=by_number(name, 1), text="what nobody else may read")
    session = sessions.create(api, name, OPEN_FILES)
    page = api.versions.ListModelVersions(
        versions_pb.ListModelVersionsRequest(model=ModelRef(name=name), page_size=1), timeout=CALL_SECONDS
    )
    return Things(
        tenant=tenant,
        model=name,
        uid=version.uid,
        alias="champion",
        semantic_version="1.0.0",
        artifact_id=artifact.id,
        manifest_digest=digest_of(manifest_of(FILES)),
        upload_id=session.upload.id,
        page_token=page.next_page_token,
        request_id=request_id,
        approval_id=_asked_approval(api, name),
        comment_id=api.lifecycle.CreateComment(comment, timeout=CALL_SECONDS).comment.id,
    )


def _asked_approval(api: Api, name: str) -> str:
    """Of an approval that is waited for, as a policy wants it."""
    rules = {"approval": {"approvers": [{"role": "risk"}]}}
    scope = {"modelPatterns": [name], "aliasPatterns": ["reviewed"]}
    policy = ParseDict({"name": name, "scope": scope, "rules": rules}, lifecycle_pb.CreatePolicyRequest())
    api.lifecycle.CreatePolicy(policy, timeout=CALL_SECONDS)
    asked = lifecycle_pb.RequestApprovalRequest(ref=by_number(name, 1), alias="reviewed")
    return api.lifecycle.RequestApproval(asked, timeout=CALL_SECONDS).approval.id


def call(channel: grpc.Channel, method: MethodDescriptor, document: Mapping[str, Any]) -> Any:
    """What an RPC answers: its messages as JSON, or how it was refused."""
    request: Message = ParseDict(dict(document), GetMessageClass(method.input_type)())
    path = f"/{method.containing_service.full_name}/{method.name}"
    multi: Any = channel.unary_stream if method.server_streaming else channel.unary_unary
    sent: Any = request
    if method.client_streaming:
        multi, sent = channel.stream_unary, iter([request])
    stub = multi(
        path,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    try:
        answer = stub(sent, timeout=CALL_SECONDS)
        found = list(answer) if method.server_streaming else [answer]
    except grpc.RpcError as exc:
        refused = refusal_of(exc)
        return refused.code.name, refused.reason, dict(refused.metadata), refused.message, dict(refused.violations)
    return [MessageToDict(message) for message in found]
