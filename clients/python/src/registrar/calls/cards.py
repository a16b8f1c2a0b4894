"""Model cards: read, write, and as texts."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.field_mask_pb2 import FieldMask

from registrar.calls.call import Call, Listing, change, new_request_id
from registrar.card_types import CardFormat, ModelCard, ModelCardRevision
from registrar.context import AnyVersionRef, CallContext
from registrar.convert.cards import card_from_proto, card_to_proto, format_to_proto, revision_from_proto
from registrar.convert.values import version_ref_to_proto
from registrar.v1 import model_card_service_pb2 as pb


def card(context: CallContext, ref: AnyVersionRef, *, revision: int | None = None) -> Call[ModelCardRevision]:
    """The card of a version: its last revision, or another. Errors: NotFound, InvalidArgument."""
    request = pb.GetModelCardRequest(ref=version_ref_to_proto(context.version_ref(ref)), revision=revision or 0)
    return Call(context.cards.GetModelCard, request, lambda response: revision_from_proto(response.revision))


def card_revisions(context: CallContext, ref: AnyVersionRef, *, page_size: int = 0) -> Listing[ModelCardRevision]:
    """The revisions of a version's card, the newest first, without their cards; pages are fetched as they are consumed.

    Errors: NotFound, InvalidArgument.
    """
    request = pb.ListModelCardRevisionsRequest(ref=version_ref_to_proto(context.version_ref(ref)), page_size=page_size)
    return Listing(context.cards.ListModelCardRevisions, request, lambda page: map(revision_from_proto, page.revisions))


def update_card(
    context: CallContext,
    ref: AnyVersionRef,
    card: ModelCard,
    *,
    fields: Iterable[str] = (),
    etag: str = "",
    comment: str = "",
    request_id: str | None = None,
) -> Call[ModelCardRevision]:
    """Write a new revision of a version's card: all of it, or the named fields (`intended_use`), the others as they were.

    `etag` is that of the revision that was read before: then Aborted when somebody has written another since. A card that
    says the same as before changes nothing. Errors: NotFound, FailedPrecondition, InvalidArgument.
    """
    request = pb.UpdateModelCardRequest(
        request_id=request_id or new_request_id(),
        ref=version_ref_to_proto(context.version_ref(ref)),
        etag=etag,
        card=card_to_proto(card),
        update_mask=FieldMask(paths=fields),
        comment=comment,
    )
    return change(
        context, context.cards.UpdateModelCard, request, lambda response: revision_from_proto(response.revision)
    )


def render_card(
    context: CallContext,
    ref: AnyVersionRef,
    card_format: CardFormat = CardFormat.MARKDOWN,
    *,
    revision: int | None = None,
) -> Call[str]:
    """The card of a version as a text, for people and for other tools. Errors: NotFound, InvalidArgument."""
    request = pb.RenderModelCardRequest(
        ref=version_ref_to_proto(context.version_ref(ref)),
        revision=revision or 0,
        format=format_to_proto(card_format),
    )
    return Call(context.cards.RenderModelCard, request, lambda response: response.text)


def parse_card(context: CallContext, text: str, card_format: CardFormat = CardFormat.MARKDOWN) -> Call[ModelCard]:
    """The card that a text says, stored nowhere. Errors: InvalidArgument CARD_MALFORMED, with the line."""
    request = pb.ParseModelCardRequest(text=text, format=format_to_proto(card_format))
    return Call(context.cards.ParseModelCard, request, lambda response: card_from_proto(response.card))
