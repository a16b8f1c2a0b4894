"""A token does not go where others could read it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import registrar
from registrar import aio
from registrar.channel import PLAINTEXT_VARIABLE
from registrar.connection import Connection
from registrar.settings import resolve_settings
from tests.unit.client.fake_access import Access
from tests.unit.client.fake_state import State


@pytest.mark.parametrize("target", ["registry.example:50051", "grpc://10.0.0.1:50051", "dns:///registry.example:1"])
@pytest.mark.parametrize("open_one", [registrar.connect, aio.connect])
def test_over_a_network_without_tls_it_is_refused(target: str, open_one: Callable[..., object]) -> None:
    with pytest.raises(registrar.InvalidArgument) as caught:
        open_one(target, token="secret")
    assert caught.value.reason == "INSECURE_CHANNEL"


@pytest.mark.parametrize(
    "target", ["127.0.0.1:1", "localhost:1", "[::1]:1", "unix:/run/registrar.sock", "grpcs://registry.example"]
)
def test_within_the_machine_and_over_tls_it_is_not(target: str) -> None:
    registrar.connect(target, token="secret").close()


def test_whoever_says_so_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLAINTEXT_VARIABLE, "true")
    registrar.connect("registry.example:50051", token="secret").close()


def test_without_a_token_nothing_changes() -> None:
    registrar.connect("registry.example:50051").close()


def test_the_bulk_endpoint_gets_none_either(
    target: str,
    state: State,
    access: Access,
    bundle: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    state.bulk_endpoint = "bulk.example:50052"
    with registrar.connect(target, token="secret") as registry:
        registry.pull(registry.push(bundle, name="churn"), tmp_path / "pulled")
    assert "INSECURE_CHANNEL" in caplog.text
    assert "secret" not in caplog.text
    assert set(access.tokens_of("DownloadFile")) == {"secret"}


def test_a_connection_with_tls_leads_to_one_with_tls() -> None:
    settings = resolve_settings(
        "grpcs://registry.example",
        tenant=None,
        timeout_seconds=1,
        connect_timeout_seconds=1,
        retry=None,
        credentials=None,
        token="secret",
    )
    connection = Connection(settings)
    for target in ("bulk.example:1", "grpc://bulk.example:1", "127.0.0.1:1"):
        there = connection.to_endpoint(target)
        assert there.endpoint.credentials is not None
        there.close()
    connection.close()
