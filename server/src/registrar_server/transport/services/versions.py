"""ModelVersionService."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

import grpc

from registrar.v1 import model_version_service_pb2 as pb
from registrar.v1 import model_version_service_pb2_grpc
from registrar_server.application.aliases import AliasChanged, Aliases, AliasRequest
from registrar_server.application.history import History
from registrar_server.application.registration import Registered, Registration
from registrar_server.application.reply_cache import Freshness, ReplyCache
from registrar_server.application.search.searching import Searching
from registrar_server.application.versions import NotesUpdate, VersionChanged, Versions
from registrar_server.domain import limits
from registrar_server.domain.access import Caller
from registrar_server.domain.validation import checking
from registrar_server.domain.values import VersionRef, VersionState
from registrar_server.transport.calls import current_caller, mutation_of
from registrar_server.transport.convert.masks import Mask
from registrar_server.transport.convert.policies import break_glass_from_proto, failed_gate_to_proto
from registrar_server.transport.convert.references import (
    changed_ref_from_proto,
    freshness_from_proto,
    model_from_proto,
    ref_from_proto,
    stage_from_proto,
)
from registrar_server.transport.convert.registration import register_from_proto
from registrar_server.transport.convert.times import at_time_from_proto, period_from_proto
from registrar_server.transport.convert.values import signature_change_to_proto
from registrar_server.transport.convert.versions import (
    alias_move_to_proto,
    comparison_to_proto,
    past_version_to_proto,
    version_to_proto,
)
from registrar_server.transport.paging import decode_token, encode_token, page_size
from registrar_server.transport.replies import as_sent
from registrar_server.transport.services.search import search_page
from registrar_server.transport.streams import Slots

_REQUESTS_REMEMBERED = 4_096
_REQUEST_BYTES_REMEMBERED = 1_024
_MUTABLE = ("description", "tags", "deprecation_note", "documentation", "drift_monitor_id")


class ModelVersionServicer(model_version_service_pb2_grpc.ModelVersionServiceServicer):
    """Converts, calls, converts. `waits` bounds how many threads wait for registrations at once."""

    def __init__(
        self,
        versions: Versions,
        history: History,
        searching: Searching,
        registration: Registration,
        aliases: Aliases,
        replies: ReplyCache,
        waits: Slots,
    ) -> None:
        self._versions = versions
        self._history = history
        self._searching = searching
        self._registration = registration
        self._aliases = aliases
        self._replies = replies
        self._waits = waits

    def RegisterModelVersion(
        self, request: pb.RegisterModelVersionRequest, context: grpc.ServicerContext
    ) -> pb.RegisterModelVersionResponse:
        """See the contract."""
        wanted = register_from_proto(request, current_caller(), context.time_remaining())
        mutation = mutation_of(request, request.request_id, _registered)
        with self._waits.take():
            answer = self._registration.register(mutation, wanted, is_alive=context.is_active)
        return pb.RegisterModelVersionResponse.FromString(answer)

    def GetModelVersion(
        self, request: pb.GetModelVersionRequest, context: grpc.ServicerContext
    ) -> pb.GetModelVersionResponse:
        """See the contract."""
        asked, caller = request.SerializeToString(), current_caller()
        # What is longer has fields that nobody knows here, and would be remembered with them.
        read = _asked if len(asked) <= _REQUEST_BYTES_REMEMBERED else _asked.__wrapped__
        ref, freshness, at = read(asked, caller)
        if at is not None:
            return past_version_to_proto(self._history.get(ref, at))

        def load() -> tuple[bytes, bool]:
            version = self._versions.get(ref)
            reply = pb.GetModelVersionResponse(model_version=version_to_proto(version))
            # What becomes of a PENDING version is no event of its model until it is READY.
            return reply.SerializeToString(), version.state is VersionState.READY

        return as_sent(self._replies.read(ref.model, ref.selector, freshness, load), pb.GetModelVersionResponse)

    def ListModelVersions(
        self, request: pb.ListModelVersionsRequest, context: grpc.ServicerContext
    ) -> pb.ListModelVersionsResponse:
        """See the contract."""
        with checking() as check:
            key = model_from_proto(check, "model", request.model, current_caller())
            stage = stage_from_proto(check, "stage", request.stage) if request.stage else None
        size = page_size(request.page_size)
        token = decode_token(request, request.page_token, int)
        before = int(token[0]) if token else 0
        versions = self._versions.list(
            key, before=before, limit=size + 1, stage=stage, is_deleted_shown=request.show_deleted
        )
        response = pb.ListModelVersionsResponse(model_versions=map(version_to_proto, versions[:size]))
        if len(versions) > size:
            response.next_page_token = encode_token(request, [versions[size - 1].number])
        return response

    def SearchModelVersions(
        self, request: pb.SearchModelVersionsRequest, context: grpc.ServicerContext
    ) -> pb.SearchModelVersionsResponse:
        """See the contract."""
        return search_page(self._searching, request, current_caller())

    def UpdateModelVersion(
        self, request: pb.UpdateModelVersionRequest, context: grpc.ServicerContext
    ) -> pb.UpdateModelVersionResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            ref = changed_ref_from_proto(check, "ref", request.ref, current_caller())
            mask = Mask.parse(check, request, _MUTABLE)
            description = check.text("description", request.description, limits.DESCRIPTION_CHARACTERS)
            tags = check.tags("tags", request.tags)
            note = check.text("deprecation_note", request.deprecation_note, limits.NOTE_CHARACTERS)
            documents = request.documentation
            card = check.text("documentation.model_card_uri", documents.model_card_uri, limits.URI_CHARACTERS)
            datasheet = check.text("documentation.datasheet_uri", documents.datasheet_uri, limits.URI_CHARACTERS)
            monitor = check.text("drift_monitor_id", request.drift_monitor_id, limits.LABEL_CHARACTERS)
        wanted = NotesUpdate(
            description=description if "description" in mask else None,
            tags=tags if "tags" in mask else None,
            deprecation_note=note if "deprecation_note" in mask else None,
            model_card_uri=card if "documentation" in mask else None,
            datasheet_uri=datasheet if "documentation" in mask else None,
            drift_monitor_id=monitor if "drift_monitor_id" in mask else None,
        )
        mutation = mutation_of(request, request.request_id, _updated)
        return pb.UpdateModelVersionResponse.FromString(self._versions.update(mutation, ref, request.etag, wanted))

    def DeleteModelVersion(
        self, request: pb.DeleteModelVersionRequest, context: grpc.ServicerContext
    ) -> pb.DeleteModelVersionResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            ref = changed_ref_from_proto(check, "ref", request.ref, current_caller())
        mutation = mutation_of(request, request.request_id, _deleted)
        return pb.DeleteModelVersionResponse.FromString(self._versions.delete(mutation, ref, request.etag))

    def UndeleteModelVersion(
        self, request: pb.UndeleteModelVersionRequest, context: grpc.ServicerContext
    ) -> pb.UndeleteModelVersionResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            ref = changed_ref_from_proto(check, "ref", request.ref, current_caller())
        mutation = mutation_of(request, request.request_id, _undeleted)
        return pb.UndeleteModelVersionResponse.FromString(self._versions.undelete(mutation, ref))

    def CompareModelVersions(
        self, request: pb.CompareModelVersionsRequest, context: grpc.ServicerContext
    ) -> pb.CompareModelVersionsResponse:
        """See the contract."""
        with checking() as check:
            caller = current_caller()
            refs = [ref_from_proto(check, f"refs[{i}]", ref, caller) for i, ref in enumerate(request.refs)]
            if not 2 <= len(refs) <= limits.COMPARED_VERSIONS:
                check.fail("refs", f"must name 2 to {limits.COMPARED_VERSIONS} versions")
            if len({ref.model for ref in refs}) > 1:
                check.fail("refs", "must name versions of one model")
            at = at_time_from_proto(check, request)
        if at is not None:
            return comparison_to_proto(self._history.compare(refs, at), as_of=at)
        return comparison_to_proto(self._versions.compare(refs))

    def SetAlias(self, request: pb.SetAliasRequest, context: grpc.ServicerContext) -> pb.SetAliasResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            wanted = AliasRequest(
                ref=changed_ref_from_proto(check, "ref", request.ref, current_caller()),
                alias=check.new_alias("alias", request.alias),
                expected=request.expected_version if request.HasField("expected_version") else None,
                comment=check.text("comment", request.comment, limits.COMMENT_CHARACTERS),
                is_validate_only=request.validate_only,
                is_break_glass=break_glass_from_proto(check, request),
            )
        mutation = mutation_of(request, request.request_id, _alias_set)
        return pb.SetAliasResponse.FromString(self._aliases.set(mutation, wanted))

    def DeleteAlias(self, request: pb.DeleteAliasRequest, context: grpc.ServicerContext) -> pb.DeleteAliasResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            key = model_from_proto(check, "model", request.model, current_caller())
            alias = check.alias("alias", request.alias)
            comment = check.text("comment", request.comment, limits.COMMENT_CHARACTERS)
        expected = request.expected_version if request.HasField("expected_version") else None
        mutation = mutation_of(request, request.request_id, _alias_deleted)
        answer = self._aliases.delete(mutation, key, alias, expected=expected, comment=comment)
        return pb.DeleteAliasResponse.FromString(answer)

    def ListAliasHistory(
        self, request: pb.ListAliasHistoryRequest, context: grpc.ServicerContext
    ) -> pb.ListAliasHistoryResponse:
        """See the contract."""
        with checking() as check:
            key = model_from_proto(check, "model", request.model, current_caller())
            alias = check.alias("alias", request.alias) if request.alias else ""
            period = period_from_proto(check, request)
        size = page_size(request.page_size)
        token = decode_token(request, request.page_token, int)
        before = int(token[0]) if token else 0
        moves = self._aliases.history(key, alias=alias, before=before, limit=size + 1, period=period)
        response = pb.ListAliasHistoryResponse(moves=map(alias_move_to_proto, moves[:size]))
        if len(moves) > size:
            response.next_page_token = encode_token(request, [moves[size - 1].sequence])
        return response


@lru_cache(_REQUESTS_REMEMBERED)
def _asked(request: bytes, caller: Caller) -> tuple[VersionRef, Freshness, datetime | None]:
    """What GetModelVersion asks for, and as of when. Remembered, since checking it takes longer than finding the reply in the cache."""
    message = pb.GetModelVersionRequest.FromString(request)
    with checking() as check:
        ref = ref_from_proto(check, "ref", message.ref, caller)
        freshness = freshness_from_proto(check, "consistency", message.consistency)
        at = at_time_from_proto(check, message)
    return ref, freshness, at


def _registered(registered: Registered) -> pb.RegisterModelVersionResponse:
    return pb.RegisterModelVersionResponse(
        model_version=None if registered.version is None else version_to_proto(registered.version),
        is_existing=registered.is_existing,
        event_sequence=registered.sequence,
        suggested_semantic_version=registered.advice.suggested,
        signature_changes=map(signature_change_to_proto, registered.advice.changes),
        compared_with=registered.advice.compared_with,
        missing_recommended=registered.missing_recommended,
    )


def _updated(changed: VersionChanged) -> pb.UpdateModelVersionResponse:
    return pb.UpdateModelVersionResponse(
        model_version=version_to_proto(changed.version), event_sequence=changed.sequence
    )


def _deleted(changed: VersionChanged) -> pb.DeleteModelVersionResponse:
    return pb.DeleteModelVersionResponse(
        model_version=version_to_proto(changed.version), event_sequence=changed.sequence
    )


def _undeleted(changed: VersionChanged) -> pb.UndeleteModelVersionResponse:
    return pb.UndeleteModelVersionResponse(
        model_version=version_to_proto(changed.version), event_sequence=changed.sequence
    )


def _alias_set(changed: AliasChanged) -> pb.SetAliasResponse:
    version = version_to_proto(changed.version) if changed.version else None
    return pb.SetAliasResponse(
        model_version=version,
        previous_version=changed.previous,
        event_sequence=changed.sequence,
        overridden_gates=map(failed_gate_to_proto, changed.overridden),
    )


def _alias_deleted(changed: AliasChanged) -> pb.DeleteAliasResponse:
    return pb.DeleteAliasResponse(previous_version=changed.previous, event_sequence=changed.sequence)
