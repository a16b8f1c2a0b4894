"""Certificates that change while a port is served, over real sockets: what is taken, what is refused, what is said of it."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
import structlog
from cryptography import x509

from registrar_server.application.ports.clock import Clock
from registrar_server.certificates import CertificateError
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.transport.client_certificates import certificate_names
from registrar_server.transport.tls import Certificates, TlsFiles
from tests.fixtures.certificates import Authority, Issued, served_serial

SPIFFE = x509.UniformResourceIdentifier("spiffe://example/trainer")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


class Wall(Clock):
    """A clock that a test puts forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Names(grpc.GenericRpcHandler):
    """Answers every call with the names of its caller's certificate, or the reason for which there are none."""

    def service(self, _call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        return grpc.unary_unary_rpc_method_handler(self.answer)

    def answer(self, _request: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            return "\n".join(certificate_names(context)).encode()
        except RegistrarError as exc:
            return exc.reason.value.encode()


@contextmanager
def serving(certificates: Certificates, *, is_mutual: bool = False) -> Iterator[str]:
    """The address of a server that answers with names."""
    server = grpc.server(ThreadPoolExecutor(2), handlers=[Names()])
    credentials = certificates.credentials(is_client_certificate_required=is_mutual)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def call_of(channel: grpc.Channel) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
    """Asks for the names, over this channel."""
    return channel.unary_unary("/test/Names", request_serializer=bytes, response_deserializer=bytes)


def ask(address: str, credentials: grpc.ChannelCredentials) -> Sequence[str]:
    """Over a connection of its own."""
    with grpc.secure_channel(address, credentials, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        answer = call_of(channel)(b"", timeout=10)
    return answer.decode().split("\n") if answer else []


def files_of(directory: Path, issued: Issued, client_ca: str = "") -> TlsFiles:
    return TlsFiles(*issued.write(directory), client_ca)


class TestReload:
    def test_a_connection_keeps_its_certificate_and_the_next_sees_the_new_one(
        self, authority: Authority, tmp_path: Path
    ) -> None:
        first, second = authority.issue(), authority.issue()
        certificates = Certificates(files_of(tmp_path, first), look_seconds=0)
        with serving(certificates) as address, structlog.testing.capture_logs() as logged:
            with grpc.secure_channel(address, authority.client_credentials()) as channel:
                call = call_of(channel)
                assert call(b"", timeout=10) == b""
                assert served_serial(address, authority) == first.serial
                second.write(tmp_path)
                assert served_serial(address, authority) == second.serial
                assert call(b"", timeout=10) == b""
        (line,) = [line for line in logged if line["event"] == "tls.reloaded"]
        assert (line["subject"], line["serial"]) == ("CN=localhost", second.serial)
        assert line["not_after"] == second.certificate.not_valid_after_utc.isoformat()

    def test_each_port_of_a_server_sees_the_new_one(self, authority: Authority, tmp_path: Path) -> None:
        first, second = authority.issue(), authority.issue()
        certificates = Certificates(files_of(tmp_path, first), look_seconds=0)
        with serving(certificates) as one, serving(certificates) as other:
            second.write(tmp_path)
            assert served_serial(one, authority) == served_serial(other, authority) == second.serial

    def test_half_a_pair_leaves_the_old_one_in_force_and_is_logged_once(
        self, authority: Authority, tmp_path: Path
    ) -> None:
        first, second = authority.issue(), authority.issue()
        files = files_of(tmp_path, first)
        certificates = Certificates(files, look_seconds=0)
        with serving(certificates) as address, structlog.testing.capture_logs() as logged:
            Path(files.certificate).write_bytes(second.pem)
            assert [served_serial(address, authority) for _ in range(3)] == [first.serial] * 3
            assert [line["event"] for line in logged] == ["tls.reload_refused"]
            assert logged[0]["file"] == files.key
            Path(files.key).write_bytes(second.key[:90])
            assert served_serial(address, authority) == first.serial
            Path(files.key).write_bytes(second.key)
            assert served_serial(address, authority) == second.serial
        assert [line["event"] for line in logged] == ["tls.reload_refused", "tls.reload_refused", "tls.reloaded"]
        assert not any(text in str(logged) for text in second.key.decode().splitlines())

    @pytest.mark.parametrize("name", ["certificate", "key"])
    def test_a_file_that_is_gone_leaves_the_old_one_in_force(
        self, name: str, authority: Authority, tmp_path: Path
    ) -> None:
        issued = authority.issue()
        files = files_of(tmp_path, issued)
        certificates = Certificates(files, look_seconds=0)
        with serving(certificates) as address, structlog.testing.capture_logs() as logged:
            Path(getattr(files, name)).unlink()
            assert [served_serial(address, authority) for _ in range(2)] == [issued.serial] * 2
        assert [(line["event"], line["file"]) for line in logged] == [("tls.reload_refused", getattr(files, name))]

    def test_an_expired_one_is_not_taken(self, authority: Authority, tmp_path: Path) -> None:
        first = authority.issue()
        certificates = Certificates(files_of(tmp_path, first), look_seconds=0)
        with serving(certificates) as address, structlog.testing.capture_logs() as logged:
            authority.issue(begins_in=-timedelta(days=2), ends_in=-timedelta(days=1)).write(tmp_path)
            assert served_serial(address, authority) == first.serial
        assert "has expired" in logged[0]["problem"]

    def test_one_of_tomorrow_is_taken_tomorrow(self, authority: Authority, tmp_path: Path) -> None:
        first, second = authority.issue(), authority.issue(begins_in=timedelta(hours=6))
        wall = Wall()
        certificates = Certificates(files_of(tmp_path, first), wall, look_seconds=0)
        with structlog.testing.capture_logs() as logged:
            second.write(tmp_path)
            certificates.look()
            certificates.look()
            wall.ahead = timedelta(hours=7)
            certificates.look()
        assert [line["event"] for line in logged] == ["tls.reload_refused", "tls.reloaded"]

    def test_links_that_lead_elsewhere_are_noticed(self, authority: Authority, tmp_path: Path) -> None:
        """As Kubernetes replaces the files of a mounted secret: one rename, all of them new."""
        issued = [authority.issue(), authority.issue()]
        for number, one in enumerate(issued):
            directory = tmp_path / f"version-{number}"
            directory.mkdir()
            one.write(directory)
        (tmp_path / "current").symlink_to("version-0")
        current = tmp_path / "current"
        files = TlsFiles(str(current / "server.pem"), str(current / "server.key"))
        with serving(Certificates(files, look_seconds=0)) as address:
            assert served_serial(address, authority) == issued[0].serial
            (tmp_path / "next").symlink_to("version-1")
            (tmp_path / "next").rename(current)
            assert served_serial(address, authority) == issued[1].serial

    def test_nothing_is_read_more_than_once_a_second(self, authority: Authority, tmp_path: Path) -> None:
        first = authority.issue()
        with serving(Certificates(files_of(tmp_path, first), look_seconds=3600)) as address:
            authority.issue().write(tmp_path)
            assert served_serial(address, authority) == first.serial

    def test_what_cannot_be_used_at_the_start_is_an_error(self, authority: Authority, tmp_path: Path) -> None:
        files = files_of(tmp_path, authority.issue())
        os.truncate(files.key, 0)
        with pytest.raises(CertificateError) as caught:
            Certificates(files)
        assert caught.value.path == files.key


class TestEnd:
    def test_an_end_within_a_month_is_warned_of_once_a_day(self, authority: Authority, tmp_path: Path) -> None:
        wall = Wall()
        issued = authority.issue(ends_in=timedelta(days=29, hours=2))
        with structlog.testing.capture_logs() as logged:
            certificates = Certificates(files_of(tmp_path, issued), wall, look_seconds=0)
            for hours in (1, 23, 25, 26, 49):
                wall.ahead = timedelta(hours=hours)
                certificates.look()
        assert [(line["event"], line["days_left"]) for line in logged] == [
            ("tls.certificate_ends", days) for days in (29, 28, 27)
        ]

    def test_a_later_end_is_not_and_a_new_certificate_ends_the_warnings(
        self, authority: Authority, tmp_path: Path
    ) -> None:
        wall = Wall()
        certificates = Certificates(files_of(tmp_path, authority.issue()), wall, look_seconds=0)
        with structlog.testing.capture_logs() as logged:
            wall.ahead = timedelta(days=29)
            certificates.look()
            assert not logged
            wall.ahead = timedelta(days=31)
            certificates.look()
            authority.issue(ends_in=timedelta(days=80)).write(tmp_path)
            wall.ahead = timedelta(days=33)
            certificates.look()
        assert [line["event"] for line in logged] == ["tls.certificate_ends", "tls.reloaded"]


class TestVersions:
    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_tls_1_2_and_1_3_are_served(self, version: ssl.TLSVersion, authority: Authority, tmp_path: Path) -> None:
        issued = authority.issue()
        with serving(Certificates(files_of(tmp_path, issued))) as address:
            assert served_serial(address, authority, version) == issued.serial

    @pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
    def test_older_ones_are_refused_by_the_server(
        self, version: ssl.TLSVersion, authority: Authority, tmp_path: Path
    ) -> None:
        with (
            serving(Certificates(files_of(tmp_path, authority.issue()))) as address,
            # It hangs up on what this side has offered; what this side refuses by itself is another error.
            pytest.raises(ssl.SSLEOFError),
        ):
            served_serial(address, authority, version)


class TestClientCertificates:
    @pytest.fixture
    def mutual(self, authority: Authority, tmp_path: Path) -> Iterator[str]:
        """The address of a port that requires a client certificate of the authority."""
        files = files_of(tmp_path, authority.issue(), authority.write(tmp_path))
        with serving(Certificates(files, look_seconds=0), is_mutual=True) as address:
            yield address

    def test_all_kinds_of_names_are_told_and_no_other(self, authority: Authority, mutual: str) -> None:
        names = [x509.DNSName("trainer.example"), x509.RFC822Name("trainer@example.org"), SPIFFE]
        other = x509.DirectoryName(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "administrator")]))
        client = authority.issue("administrator", [*names, other])
        told = ask(mutual, authority.client_credentials(client))
        assert told == ["spiffe://example/trainer", "trainer.example", "trainer@example.org"]

    def test_one_without_a_name_is_invalid(self, authority: Authority, mutual: str) -> None:
        client = authority.issue("administrator", [])
        assert ask(mutual, authority.client_credentials(client)) == [Reason.CREDENTIALS_INVALID.value]

    @pytest.mark.parametrize(
        "name", ["trainer.example\0.evil.example", "trainer.example\n", "t" * 300, "\u202etrainer"]
    )
    def test_a_name_that_nothing_can_be_bound_to_is_none_and_not_shortened_to_one(
        self, name: str, authority: Authority, mutual: str
    ) -> None:
        # As an authority might sign that does not look: ours would refuse some of them.
        odd = x509.UniformResourceIdentifier._init_without_validation(name)
        assert ask(mutual, authority.client_credentials(authority.issue("trainer", [odd]))) == [
            Reason.CREDENTIALS_INVALID.value
        ]

    @pytest.mark.parametrize("kind", ["none", "of another authority", "expired", "of tomorrow", "of itself"])
    def test_any_other_ends_in_the_handshake(self, kind: str, authority: Authority, mutual: str) -> None:
        client = {
            "none": None,
            # Whoever names itself like the authority is still none.
            "of another authority": Authority().issue("trainer", [SPIFFE]),
            "expired": authority.issue("trainer", [SPIFFE], ends_in=-timedelta(seconds=5)),
            "of tomorrow": authority.issue("trainer", [SPIFFE], begins_in=timedelta(hours=1)),
            "of itself": Authority("trainer").itself,
        }[kind]
        with pytest.raises(grpc.RpcError) as caught:
            ask(mutual, authority.client_credentials(client))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    def test_who_signs_them_is_replaced_like_the_certificate(self, authority: Authority, tmp_path: Path) -> None:
        old, new = Authority("Old"), Authority("New")
        clients = {one: one.issue("trainer", [SPIFFE]) for one in (old, new)}
        files = files_of(tmp_path, authority.issue(), old.write(tmp_path))
        with serving(Certificates(files, look_seconds=0), is_mutual=True) as address:
            assert ask(address, authority.client_credentials(clients[old]))
            Path(files.client_ca).write_bytes(old.pem + new.pem)
            assert all(ask(address, authority.client_credentials(client)) for client in clients.values())
            Path(files.client_ca).write_bytes(new.pem)
            assert ask(address, authority.client_credentials(clients[new]))
            with pytest.raises(grpc.RpcError):
                ask(address, authority.client_credentials(clients[old]))

    def test_one_that_ends_while_it_is_connected_is_taken_no_more(
        self, authority: Authority, mutual: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = authority.issue("trainer", [SPIFFE], ends_in=timedelta(hours=1))
        with grpc.secure_channel(mutual, authority.client_credentials(client)) as channel:
            call = call_of(channel)
            assert call(b"", timeout=10) == b"spiffe://example/trainer"
            wall = Wall()
            wall.ahead = timedelta(hours=2)
            monkeypatch.setattr("registrar_server.transport.client_certificates._CLOCK", wall)
            assert call(b"", timeout=10).decode() == Reason.CREDENTIALS_EXPIRED.value

    def test_a_port_that_does_not_ask_for_one_knows_none(self, authority: Authority, tmp_path: Path) -> None:
        files = files_of(tmp_path, authority.issue(), authority.write(tmp_path))
        with serving(Certificates(files)) as address:
            assert ask(address, authority.client_credentials(authority.issue("trainer", [SPIFFE]))) == []
