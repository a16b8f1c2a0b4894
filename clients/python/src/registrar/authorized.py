"""A channel whose calls show a token, whichever of gRPC's two interfaces made it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import grpc

from registrar.rpc_errors import error_from_rpc
from registrar.tokens import Token, Tokens

_REFUSED = frozenset({"CREDENTIALS_EXPIRED", "CREDENTIALS_INVALID"})


class TokenReplacedError(grpc.RpcError):
    """The server refused the token, and it is worth trying with another.

    To whoever repeats calls it is what a server is that was away for a moment. Its cause is the refusal.
    """

    def code(self) -> grpc.StatusCode:
        """UNAVAILABLE."""
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        """For people."""
        return "the credentials were refused, and others are at hand"

    def trailing_metadata(self) -> Any:
        """Those of the refusal: its reason is in them."""
        cause = self.__cause__
        return cause.trailing_metadata() if isinstance(cause, grpc.RpcError) else ()


class AuthorizedChannel:
    """What this client uses of a `grpc.Channel`. Errors of its calls, beside those of gRPC: what `Tokens.get` raises."""

    def __init__(self, channel: grpc.Channel, tokens: Tokens, *, is_awaited: bool = False) -> None:
        self._channel = channel
        self._tokens = tokens
        self._unary = _AwaitedUnary if is_awaited else _Unary

    def unary_unary(self, *arguments: Any, **named: Any) -> Any:
        """A method that answers a message with a message."""
        return self._unary(self._channel.unary_unary(*arguments, **named), self._tokens)

    def unary_stream(self, *arguments: Any, **named: Any) -> Any:
        """A method that answers a message with a stream; not to be awaited."""
        return _UnaryStream(self._channel.unary_stream(*arguments, **named), self._tokens)

    def stream_unary(self, *arguments: Any, **named: Any) -> Any:
        """A method that answers a stream with a message; not to be awaited."""
        return _StreamUnary(self._channel.stream_unary(*arguments, **named), self._tokens)

    def close(self) -> None:
        """End all calls."""
        self._channel.close()


def authorized(channel: grpc.Channel, tokens: Tokens | None) -> grpc.Channel:
    """The channel, with a token for each call if there are tokens."""
    return channel if tokens is None else cast("grpc.Channel", AuthorizedChannel(channel, tokens))


def authorized_aio(channel: grpc.aio.Channel, tokens: Tokens | None) -> grpc.Channel:
    """The same for asyncio. The generated stubs are the same over both kinds; what they give here is to be awaited."""
    same = cast("grpc.Channel", channel)
    return same if tokens is None else cast("grpc.Channel", AuthorizedChannel(same, tokens, is_awaited=True))


class _Unary:
    def __init__(self, method: Any, tokens: Tokens) -> None:
        self._method = method
        self._tokens = tokens

    def __call__(self, request: Any, timeout: float | None = None) -> Any:
        token = self._tokens.get()
        try:
            return self._method(request, timeout=timeout, metadata=token.metadata)
        except grpc.RpcError as error:
            _raise_if_replaced(error, token, self._tokens)
            raise


class _AwaitedUnary:
    def __init__(self, method: Any, tokens: Tokens) -> None:
        self._method = method
        self._tokens = tokens

    async def __call__(self, request: Any, timeout: float | None = None) -> Any:  # noqa: ASYNC109  (as gRPC has it)
        # Another token may come from a file, a provider or the caller's own code: not in the event loop.
        token = self._tokens.ready
        if token is None:
            token = await asyncio.to_thread(self._tokens.get)
        try:
            return await self._method(request, timeout=timeout, metadata=token.metadata)
        except grpc.RpcError as error:
            _raise_if_replaced(error, token, self._tokens)
            raise


class _UnaryStream(_Unary):
    def __call__(self, request: Any, timeout: float | None = None) -> _Replies:
        token = self._tokens.get()
        return _Replies(self._method(request, timeout=timeout, metadata=token.metadata), token, self._tokens)


class _StreamUnary(_Unary):
    def future(self, requests: Iterator[Any], timeout: float | None = None) -> _Future:
        """Begin the call."""
        token = self._tokens.get()
        return _Future(self._method.future(requests, timeout=timeout, metadata=token.metadata), token, self._tokens)


class _Replies:
    def __init__(self, call: Any, token: Token, tokens: Tokens) -> None:
        self._call = call
        self._token = token
        self._tokens = tokens

    def __iter__(self) -> _Replies:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._call)
        except grpc.RpcError as error:
            _raise_if_replaced(error, self._token, self._tokens)
            raise

    def cancel(self) -> Any:
        return self._call.cancel()


class _Future:
    def __init__(self, call: Any, token: Token, tokens: Tokens) -> None:
        self._call = call
        self._token = token
        self._tokens = tokens

    def result(self) -> Any:
        try:
            return self._call.result()
        except grpc.RpcError as error:
            _raise_if_replaced(error, self._token, self._tokens)
            raise

    def cancel(self) -> Any:
        return self._call.cancel()


def _raise_if_replaced(error: grpc.RpcError, token: Token, tokens: Tokens) -> None:
    is_refused = error.code() is grpc.StatusCode.UNAUTHENTICATED and error_from_rpc(error).reason in _REFUSED
    if is_refused and tokens.refuse(token):
        raise TokenReplacedError from error
