"""Who calls: tokens given, asked for, refused and exchanged, over every kind of call."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import grpc
import pytest

import registrar
from registrar import aio
from registrar.download.stream import FileDownload
from registrar.retry import RetryPolicy
from registrar.tokens import SETTLED_SECONDS, Tokens, expire_time_of, tokens_of
from tests.unit.client.fake_access import Access
from tests.unit.client.fake_state import Failure, State
from tests.unit.client.fake_store import serve_part_store
from tests.unit.client.servicer import serve

AT_ONCE = RetryPolicy(initial_seconds=0.0, maximum_seconds=0.0)
STREAMS = {"DownloadFile", "WriteUpload", "VerifyArtifact"}


def jwt(seconds: float, name: str = "alice") -> str:
    """Something like a token that ends in so many seconds; nobody has signed it."""
    parts = ({"alg": "none"}, {"sub": name, "exp": time.time() + seconds})
    head, claims = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return f"{head}.{claims}.x"


class Giver:
    """A token callable that gives these one after the other, and then the last one."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = tokens
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        return self.tokens[min(self.calls, len(self.tokens)) - 1]


def connect(target: str, token: str | Callable[[], str] | None) -> registrar.Registry:
    return registrar.connect(target, token=token, retry=AT_ONCE, timeout_seconds=20)


def methods(access: Access, token: str) -> set[str]:
    """Methods that were called with a token."""
    return {method.rpartition("/")[2] for method, shown in access.seen if shown == token}


def test_every_call_shows_the_token_streams_too(
    target: str, access: Access, state: State, bundle: Path, tmp_path: Path
) -> None:
    access.accepted = {"secret"}
    with connect(target, "secret") as registry:
        version = registry.push(bundle, name="churn")
        registry.pull(version, tmp_path / "pulled")
        registry.verify(version)
        assert registry.is_serving()
    assert {shown for _, shown in access.seen} == {"secret"}
    assert methods(access, "secret") >= STREAMS | {"CreateUpload", "CommitUpload", "GetServerInfo", "GetArtifact"}


def test_what_goes_straight_to_the_store_is_asked_for_with_the_token(
    target: str, access: Access, state: State, tmp_path: Path
) -> None:
    access.accepted = {"secret"}
    (tmp_path / "large").write_bytes(bytes(5000))
    with serve_part_store(state), connect(target, "secret") as registry:
        registry.upload(tmp_path / "large", name="churn", direct=True)
    assert methods(access, "secret") >= {"CreatePartUrls", "RecordParts"}


def test_the_environment_names_the_token_of_whoever_gives_none(
    target: str, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRAR_TOKEN", "of-the-shell\n")
    for token in (None, "given", ""):
        with connect(target, token) as registry:
            registry.server_info()
    assert [shown for _, shown in access.seen] == ["of-the-shell", "given", ""]


def test_a_callable_is_asked_once_as_long_as_its_token_holds(target: str, access: Access) -> None:
    give = Giver(jwt(3600), "another")
    with connect(target, give) as registry:
        for _ in range(5):
            registry.server_info()
    assert give.calls == 1


def test_a_callable_is_asked_again_before_its_token_ends(target: str, access: Access) -> None:
    last = jwt(3600, "later")
    give = Giver(jwt(0.0), last)
    with connect(target, give) as registry:
        registry.server_info()
        registry.server_info()
        registry.server_info()
    assert access.tokens_of("GetServerInfo")[1:] == [last, last]
    assert give.calls == 2


@pytest.mark.parametrize("reason", ["CREDENTIALS_EXPIRED", "CREDENTIALS_INVALID"])
def test_a_refused_token_is_exchanged_once(target: str, access: Access, reason: str) -> None:
    access.accepted, access.reason = {"second"}, reason
    give = Giver("first", "second")
    with connect(target, give) as registry:
        registry.server_info()
        registry.server_info()
    assert access.tokens_of("GetServerInfo") == ["first", "second", "second"]
    assert give.calls == 2


def test_two_tokens_that_are_refused_in_a_row_end_the_call(target: str, access: Access) -> None:
    access.accepted = {"other"}
    give = Giver("first", "second", "third")
    with connect(target, give) as registry:
        with pytest.raises(registrar.Unauthenticated) as caught:
            registry.server_info()
        assert caught.value.reason == "CREDENTIALS_INVALID"
        assert access.tokens_of("GetServerInfo") == ["first", "second"]
        access.accepted = {"third"}
        registry.server_info()


def test_a_text_is_not_tried_again(target: str, access: Access) -> None:
    access.accepted = {"other"}
    with connect(target, "secret") as registry, pytest.raises(registrar.Unauthenticated):
        registry.server_info()
    assert access.tokens_of("GetServerInfo") == ["secret"]


def test_no_token_at_all_is_told_apart(target: str, access: Access) -> None:
    access.accepted = {"other"}
    with connect(target, None) as registry, pytest.raises(registrar.Unauthenticated) as caught:
        registry.server_info()
    assert caught.value.reason == "CREDENTIALS_MISSING"


def test_a_denial_is_not_taken_for_a_refused_token(target: str, state: State) -> None:
    give = Giver("first", "second")
    state.fail_next("GetServerInfo", Failure(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED"))
    with connect(target, give) as registry, pytest.raises(registrar.PermissionDenied):
        registry.server_info()
    assert give.calls == 1


@pytest.mark.parametrize("method", sorted(STREAMS))
def test_a_stream_whose_token_is_refused_is_begun_again(target: str, access: Access, bundle: Path, method: str) -> None:
    refused: list[str] = []
    give = Giver("first", "second")

    class Once(set[str]):
        """Refuses the first token to one method."""

        def __contains__(self, token: object) -> bool:
            is_refused = token == "first" and access.seen[-1][0].endswith(method)
            refused.extend(["first"] * is_refused)
            return not is_refused

    access.accepted = Once()
    with connect(target, give) as registry:
        version = registry.push(bundle, name="churn", streams=1)
        assert b"".join(registry.download(version, "model.pkl")) == (bundle / "model.pkl").read_bytes()
        assert registry.verify(version).file_count == len(list(registry.files(version)))
    assert refused
    assert set(access.tokens_of(method)) == {"first", "second"}
    assert give.calls == 2


def test_a_transfer_that_nobody_may_make_ends_at_once(
    target: str, access: Access, bundle: Path, tmp_path: Path
) -> None:
    with connect(target, "") as registry:
        version = registry.push(bundle, name="churn")
    give = Giver("first", "second", "third")
    with connect(target, give) as registry:
        registry.server_info()
        access.accepted = set()
        for use in (
            lambda: registry.push(bundle, name="other"),
            lambda: registry.pull(version, tmp_path / "pulled"),
            lambda: registry.verify(version),
        ):
            with pytest.raises(registrar.Unauthenticated):
                use()
    assert give.calls <= 5


def test_a_stream_that_goes_on_being_refused_ends(target: str, access: Access, bundle: Path) -> None:
    class Streams(set[str]):
        """Refuses whoever transfers."""

        def __contains__(self, token: object) -> bool:
            return access.seen[-1][0].rpartition("/")[2] not in STREAMS

    with connect(target, "") as registry:
        version = registry.push(bundle, name="churn")
        artifact = registry.artifact(version)
    access.accepted = Streams()
    numbers = count()
    with connect(target, lambda: f"token-{next(numbers)}") as registry:
        registry.server_info()
        transfers = registry._transfers()
        with pytest.raises(registrar.Unauthenticated):
            list(FileDownload(transfers, artifact, "model.pkl"))
        with pytest.raises(registrar.Unauthenticated):
            registry.push(bundle, name="other")
    assert len(access.tokens_of("DownloadFile")) == 2
    assert len(access.tokens_of("WriteUpload")) <= 3


def test_what_a_callable_raises_the_call_raises(target: str) -> None:
    def fail() -> str:
        raise LookupError("no vault today")

    with connect(target, fail) as registry, pytest.raises(LookupError, match="vault"):
        registry.server_info()


@pytest.mark.parametrize("token", ["two words", "naïve", "line\nbreak"])
def test_a_token_that_cannot_be_sent_is_refused_without_being_told(target: str, token: str) -> None:
    with pytest.raises(registrar.InvalidArgument) as caught, connect(target, lambda: token) as registry:
        registry.server_info()
    assert caught.value.reason == "TOKEN_MALFORMED"
    assert token not in str(caught.value)


def test_tokens_are_not_shown(caplog: pytest.LogCaptureFixture, target: str, access: Access) -> None:
    access.accepted = {"other"}
    with caplog.at_level(logging.DEBUG), connect(target, "very-secret") as registry:
        with pytest.raises(registrar.Unauthenticated) as caught:
            registry.server_info()
        settings = registry._connection.settings
        shown = f"{settings!r} {registry!r} {caught.value!r} {caught.value.__cause__!r} {settings.tokens!r}"
    assert "very-secret" not in shown + caplog.text


def test_the_end_of_a_token_is_its_own_word() -> None:
    assert expire_time_of(jwt(100)) == pytest.approx(time.time() + 100, abs=5)
    assert [expire_time_of(text) for text in ("rgt_abc", "a.b.c", "..", "", "a.W10.c", "a.e30.c")] == [None] * 6


def test_another_token_that_was_given_meanwhile_is_tried_whoever_was_refused() -> None:
    give = Giver("first", "second", "third")
    tokens = Tokens(lambda _refused: give())
    first = tokens.get()
    assert tokens.refuse(first)
    second = tokens.get()
    assert tokens.refuse(first)
    assert tokens.get() is second
    assert not tokens.refuse(second)


def test_a_replacement_that_has_held_for_a_while_is_replaced_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    give = Giver("first", "second", "third")
    tokens = Tokens(lambda _refused: give())
    assert tokens.refuse(tokens.get())
    second = tokens.get()
    later = time.monotonic() + SETTLED_SECONDS
    monkeypatch.setattr("registrar.tokens.time.monotonic", lambda: later)
    assert tokens.refuse(second)
    assert tokens.get().metadata == (("authorization", "Bearer third"),)


def test_an_empty_text_is_no_token() -> None:
    assert tokens_of(" ") is None


class TestAsyncio:
    """The same for an event loop."""

    def test_every_call_shows_the_token(self, target: str, access: Access, bundle: Path) -> None:
        async def calls() -> None:
            access.accepted = {"secret"}
            async with aio.connect(target, token="secret", retry=AT_ONCE) as registry:
                version = await registry.push(bundle, name="churn")
                assert [found.version async for found in registry.versions("churn")] == [version.version]
            assert {shown for _, shown in access.seen} == {"secret"}

        asyncio.run(calls())

    def test_a_refused_token_is_exchanged_once(self, target: str, access: Access) -> None:
        async def calls() -> None:
            access.accepted = {"second"}
            give = Giver("first", "second")
            async with aio.connect(target, token=give, retry=AT_ONCE) as registry:
                await registry.server_info()
                await registry.server_info()
            assert access.tokens_of("GetServerInfo") == ["first", "second", "second"]

        asyncio.run(calls())

    def test_two_in_a_row_end_the_call(self, target: str, access: Access) -> None:
        async def calls() -> None:
            access.accepted = {"other"}
            async with aio.connect(target, token=Giver("first", "second", "third"), retry=AT_ONCE) as registry:
                with pytest.raises(registrar.Unauthenticated):
                    await registry.server_info()
            assert access.tokens_of("GetServerInfo") == ["first", "second"]

        asyncio.run(calls())

    def test_a_callable_that_waits_does_not_hold_up_the_loop(self, target: str, access: Access) -> None:
        async def calls() -> None:
            loop = asyncio.get_running_loop()
            is_asked = asyncio.Event()

            def give() -> str:
                # Only a loop that runs can set this and answer.
                asyncio.run_coroutine_threadsafe(_set(is_asked), loop).result(timeout=10)
                return "secret"

            async with aio.connect(target, token=give, retry=AT_ONCE) as registry:
                await registry.server_info()
            assert is_asked.is_set()
            assert access.tokens_of("GetServerInfo") == ["secret"]

        asyncio.run(calls())


async def _set(event: asyncio.Event) -> None:
    event.set()


def test_another_registry_at_the_same_time_has_a_token_of_its_own(access: Access, target: str) -> None:
    other = Access()
    with (
        serve(State(), other) as elsewhere,
        connect(target, "one") as first,
        connect(elsewhere, "two") as second,
    ):
        first.server_info()
        second.server_info()
    assert ([shown for _, shown in access.seen], [shown for _, shown in other.seen]) == (["one"], ["two"])
