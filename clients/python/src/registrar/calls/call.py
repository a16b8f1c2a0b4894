"""A described call, and a described list."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

import grpc

from registrar.context import CallContext

Result = TypeVar("Result")
RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


class Call(Generic[Result]):
    """One RPC that is ready to be made, any number of times: `start` it, and `answer` makes the result of its reply.

    `start` takes the seconds that the attempt may take. On a synchronous channel it gives the reply, on one of
    asyncio an awaitable of it: that the method, the request and the answer fit together is checked here, where all three
    are known. `timeout_seconds` and `attempt_seconds`: see `Attempts`; None: what the connection has.
    """

    def __init__(
        self,
        method: grpc.UnaryUnaryMultiCallable[RequestT, ResponseT],
        request: RequestT,
        answer: Callable[[ResponseT], Result],
        *,
        timeout_seconds: float | None = None,
        attempt_seconds: float | None = None,
    ) -> None:
        self.start: Callable[[float | None], Any] = lambda timeout_seconds: method(request, timeout=timeout_seconds)
        self.answer: Callable[[Any], Result] = answer
        self.timeout_seconds = timeout_seconds
        self.attempt_seconds = attempt_seconds


class Change(Protocol):
    """The reply of a change."""

    @property
    def event_sequence(self) -> int:
        """Sequence of the event that it made."""


ChangeT = TypeVar("ChangeT", bound=Change)


def change(
    context: CallContext,
    method: grpc.UnaryUnaryMultiCallable[RequestT, ChangeT],
    request: RequestT,
    answer: Callable[[ChangeT], Result],
    *,
    timeout_seconds: float | None = None,
    attempt_seconds: float | None = None,
) -> Call[Result]:
    """A call that changes something: the reads after it ask for an answer that reflects it."""

    def noted(response: ChangeT) -> Result:
        context.sequence.advance(response.event_sequence)
        return answer(response)

    return Call(method, request, noted, timeout_seconds=timeout_seconds, attempt_seconds=attempt_seconds)


class PageRequest(Protocol):
    """Asks for one page."""

    page_token: str


class Page(Protocol):
    """The reply with one page."""

    @property
    def next_page_token(self) -> str:
        """Empty: this was the last."""


PageRequestT = TypeVar("PageRequestT", bound=PageRequest)
PageT = TypeVar("PageT", bound=Page)
Item = TypeVar("Item")


class Listing(Generic[Item]):
    """A list that comes in pages. `page` describes the call for one: its items, and the token of the next."""

    def __init__(
        self,
        method: grpc.UnaryUnaryMultiCallable[PageRequestT, PageT],
        request: PageRequestT,
        items: Callable[[PageT], Iterable[Item]],
    ) -> None:
        def page(token: str) -> Call[tuple[list[Item], str]]:
            request.page_token = token
            return Call(method, request, lambda response: (list(items(response)), response.next_page_token))

        self.page = page


def new_request_id() -> str:
    """An id that makes a repeated change answer as the first did."""
    return uuid.uuid4().hex
