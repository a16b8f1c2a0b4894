"""Have refused mutations written down, with what the request says of what was wanted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message

from registrar_server.application.refusals import Attempt, Refusals
from registrar_server.domain.errors import RegistrarError
from registrar_server.transport.admission import method_of
from registrar_server.transport.calls import current_call
from registrar_server.transport.handlers import Handler, behaviour_of, served_by

_WORDS = re.compile(r"(?<!^)(?=[A-Z])")
_COMMENT_CHARACTERS = 1_000
# What tells one attempt from another and is short; never what holds a payload.
_TOLD = (
    "stage",
    "role",
    "member",
    "name",
    "id",
    "upload_id",
    "artifact_id",
    "semantic_version",
    "expected_holder",
    "approval_id",
    "approver_role",
    "decision",
    "break_glass",
)


class RefusalRecorder:
    """Wraps the handlers of mutations. What only checks (`validate_only`) is none."""

    def __init__(self, refusals: Refusals) -> None:
        self._refusals = refusals

    def wrap(self, method: str, handler: Handler) -> Handler:
        """The handler, whose refusals are written down if it changes something."""
        described = method_of(method)
        if described is None or described.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS:
            return handler
        action = _WORDS.sub("_", described.name).lower()
        inner = behaviour_of(handler)

        def respond(request: Any, context: grpc.ServicerContext) -> Any:
            try:
                return inner(request, context)
            except RegistrarError as exc:
                self._note(action, request, exc)
                raise

        def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            try:
                yield from inner(request, context)
            except RegistrarError as exc:
                self._note(action, request, exc)
                raise

        def take(requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
            first = _First(requests)
            try:
                return inner(first, context)
            except RegistrarError as exc:
                self._note(action, first.message, exc)
                raise

        if handler.request_streaming:
            return served_by(take, handler)
        return served_by(stream if handler.response_streaming else respond, handler)

    def _note(self, action: str, request: Any, refusal: RegistrarError) -> None:
        if not isinstance(request, Message) or getattr(request, "validate_only", False):
            return
        caller = current_call.get().caller
        self._refusals.note(caller, attempt_of(action, request, caller.tenant), refusal)


def attempt_of(action: str, request: Any, home: str) -> Attempt:
    """What a request wanted; `home` is the tenant that an empty one stands for."""
    said = getattr(request, "header", request)
    ref, model = getattr(said, "ref", None), getattr(said, "model", None)
    model = ref.model if ref is not None else model
    return Attempt(
        action=action,
        tenant=getattr(said, "tenant", "") or (model.tenant if model is not None else "") or home,
        model=model.name if model is not None else "",
        number=ref.version if ref is not None else 0,
        alias=getattr(said, "alias", "") or (ref.alias if ref is not None else ""),
        comment=getattr(request, "comment", "")[:_COMMENT_CHARACTERS],
        request_id=getattr(request, "request_id", ""),
        wanted=_wanted(said),
    )


def _wanted(said: Any) -> Mapping[str, object]:
    """The short fields that are set, enumerations by their names."""
    told: dict[str, object] = {}
    for field in said.DESCRIPTOR.fields:
        value = getattr(said, field.name)
        if field.name in _TOLD and value and isinstance(value, str | int):
            known = field.enum_type.values_by_number.get(value) if field.enum_type is not None else None
            told[field.name] = known.name if known is not None else value
    return told


class _First:
    """A stream that remembers its first message."""

    def __init__(self, requests: Iterator[Any]) -> None:
        self._requests = requests
        self.message: Any = None

    def __iter__(self) -> _First:
        return self

    def __next__(self) -> Any:
        message = next(self._requests)
        if self.message is None:
            self.message = message
        return message
