"""ModelCardService."""

from __future__ import annotations

import grpc

from registrar.v1 import model_card_service_pb2 as pb
from registrar.v1 import model_card_service_pb2_grpc
from registrar_server.application.cards.cards import CardRevised, Cards
from registrar_server.application.cards.texts import parse
from registrar_server.domain import limits
from registrar_server.domain.cards import CARD_BYTES
from registrar_server.domain.validation import Checker, checking
from registrar_server.transport.calls import current_caller, mutation_of
from registrar_server.transport.convert.cards import (
    CARD_FIELD_NAMES,
    card_from_proto,
    card_to_proto,
    format_from_proto,
    revision_to_proto,
)
from registrar_server.transport.convert.references import changed_ref_from_proto, ref_from_proto
from registrar_server.transport.paging import decode_token, encode_token, page_size


class ModelCardServicer(model_card_service_pb2_grpc.ModelCardServiceServicer):
    """Converts, calls, converts."""

    def __init__(self, cards: Cards) -> None:
        self._cards = cards

    def GetModelCard(self, request: pb.GetModelCardRequest, context: grpc.ServicerContext) -> pb.GetModelCardResponse:
        """See the contract."""
        with checking() as check:
            ref = ref_from_proto(check, "ref", request.ref, current_caller())
            _check_revision(check, request.revision)
        return pb.GetModelCardResponse(revision=revision_to_proto(self._cards.get(ref, request.revision)))

    def ListModelCardRevisions(
        self, request: pb.ListModelCardRevisionsRequest, context: grpc.ServicerContext
    ) -> pb.ListModelCardRevisionsResponse:
        """See the contract."""
        with checking() as check:
            ref = ref_from_proto(check, "ref", request.ref, current_caller())
        size = page_size(request.page_size)
        token = decode_token(request, request.page_token, int)
        before = int(token[0]) if token else 0
        revisions = self._cards.revisions(ref, before=before, limit=size + 1)
        response = pb.ListModelCardRevisionsResponse(revisions=map(revision_to_proto, revisions[:size]))
        if len(revisions) > size:
            response.next_page_token = encode_token(request, [revisions[size - 1].revision.state.revision])
        return response

    def UpdateModelCard(
        self, request: pb.UpdateModelCardRequest, context: grpc.ServicerContext
    ) -> pb.UpdateModelCardResponse:
        """See the contract."""
        with checking() as check:
            check.request_id("request_id", request.request_id)
            ref = changed_ref_from_proto(check, "ref", request.ref, current_caller())
            comment = check.text("comment", request.comment, limits.COMMENT_CHARACTERS)
            card = card_from_proto(check, "card", request.card)
            fields = list(request.update_mask.paths)
            for index, path in enumerate(fields):
                if path not in CARD_FIELD_NAMES:
                    check.fail(f"update_mask.paths[{index}]", f"must be one of {', '.join(CARD_FIELD_NAMES)}")
        mutation = mutation_of(request, request.request_id, _updated)
        answer = self._cards.update(mutation, ref, request.etag, card, fields, comment)
        return pb.UpdateModelCardResponse.FromString(answer)

    def RenderModelCard(
        self, request: pb.RenderModelCardRequest, context: grpc.ServicerContext
    ) -> pb.RenderModelCardResponse:
        """See the contract."""
        with checking() as check:
            ref = ref_from_proto(check, "ref", request.ref, current_caller())
            _check_revision(check, request.revision)
            form = format_from_proto(check, "format", request.format)
        text, shown = self._cards.render(ref, request.revision, form)
        return pb.RenderModelCardResponse(text=text, revision=revision_to_proto(shown))

    def ParseModelCard(
        self, request: pb.ParseModelCardRequest, context: grpc.ServicerContext
    ) -> pb.ParseModelCardResponse:
        """See the contract."""
        with checking() as check:
            text = check.text("text", request.text, CARD_BYTES)
            if len(text) <= CARD_BYTES < len(text.encode()):
                check.fail("text", f"has {len(text.encode())} bytes, at most {CARD_BYTES} are allowed")
            form = format_from_proto(check, "format", request.format)
        return pb.ParseModelCardResponse(card=card_to_proto(parse(text, form)))


def _check_revision(check: Checker, revision: int) -> None:
    if revision < 0:
        check.fail("revision", "must be at least 0")


def _updated(revised: CardRevised) -> pb.UpdateModelCardResponse:
    return pb.UpdateModelCardResponse(revision=revision_to_proto(revised.shown), event_sequence=revised.sequence)
