"""Certificates of this client, and of whom it talks to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

import registrar
from registrar import aio
from tests.fixtures.certificates import Authority
from tests.unit.client.fake_access import Access
from tests.unit.client.fake_state import State
from tests.unit.client.servicer import serve


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def secured(state: State, access: Access, authority: Authority) -> Iterator[str]:
    """A registry that shows a certificate, and asks for one."""
    issued = authority.issue()
    credentials = grpc.ssl_server_credentials(
        [(issued.key, issued.pem)], root_certificates=authority.pem, require_client_auth=True
    )
    with serve(state, access, credentials) as address:
        yield address


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> dict[str, str]:
    """Arguments of `tls_credentials`."""
    certificate, key = authority.issue("client").write(tmp_path, "client")
    return {"ca": authority.write(tmp_path), "certificate": certificate, "key": key}


def test_both_sides_show_their_certificates(secured: str, files: dict[str, str], access: Access) -> None:
    access.accepted = {"secret"}
    credentials = registrar.tls_credentials(**files)
    with registrar.connect(secured, credentials=credentials, token="secret") as registry:
        registry.server_info()
    assert access.tokens_of("GetServerInfo") == ["secret"]


def test_a_server_that_another_authority_has_signed_for_is_not_talked_to(
    secured: str, files: dict[str, str], tmp_path: Path, access: Access
) -> None:
    credentials = registrar.tls_credentials(**(files | {"ca": Authority().write(tmp_path, "other")}))
    with (
        registrar.connect(secured, credentials=credentials, token="secret", connect_timeout_seconds=1) as registry,
        pytest.raises(registrar.Unavailable),
    ):
        registry.server_info()
    assert not access.seen


def test_the_environment_names_the_files(secured: str, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRAR_CA", files["ca"])
    monkeypatch.setenv("REGISTRAR_CLIENT_CERTIFICATE", files["certificate"])
    monkeypatch.setenv("REGISTRAR_CLIENT_KEY", files["key"])
    with registrar.connect(secured) as registry:
        assert registry.is_serving()

    async def calls() -> bool:
        async with aio.connect(secured) as awaited:
            return await awaited.is_serving()

    assert asyncio.run(calls())


def test_transfers_over_connections_of_their_own_are_secured_too(
    secured: str, files: dict[str, str], bundle: Path, tmp_path: Path
) -> None:
    with registrar.connect(secured, credentials=registrar.tls_credentials(**files)) as registry:
        version = registry.push(bundle, name="churn", streams=3)
        assert (registry.pull(version, tmp_path / "pulled") / "model.pkl").exists()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    with pytest.raises(registrar.InvalidArgument, match=r"missing\.pem cannot be read: No such file") as caught:
        registrar.tls_credentials(ca=missing)
    assert caught.value.reason == "TLS_FILE_UNREADABLE"


def test_a_file_that_holds_something_else_is_named(files: dict[str, str]) -> None:
    with pytest.raises(registrar.InvalidArgument, match=r"client\.key has no CERTIFICATE") as caught:
        registrar.tls_credentials(ca=files["key"])
    assert caught.value.reason == "TLS_FILE_INVALID"
    with pytest.raises(registrar.InvalidArgument, match=r"client\.pem has no PRIVATE KEY"):
        registrar.tls_credentials(certificate=files["certificate"], key=files["certificate"])


@pytest.mark.parametrize("given", ["certificate", "key"])
def test_half_of_a_pair_is_refused(files: dict[str, str], given: str) -> None:
    with pytest.raises(registrar.InvalidArgument, match="together"):
        registrar.tls_credentials(**{given: files[given]})
