"""TLS of a whole server: every port of every process, certificates that are replaced, client certificates, refusals."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc

import registrar
from registrar.v1 import admin_service_pb2 as pb
from registrar.v1.admin_service_pb2_grpc import AdminServiceStub
from tests.end_to_end.test_processes import require_refused, run
from tests.fixtures.certificates import Authority, Issued, served_serial, tls_settings
from tests.fixtures.server import MakeServer, RunningServer, clean_environment, running_server
from tests.fixtures.stores import wait_until

SPIFFE = x509.UniformResourceIdentifier("spiffe://example/trainer")
ACTOR = "certificate:spiffe://example/trainer"
ACCESS = """
bindings:
  - tenant: default
    role: contributor
    member: certificate:spiffe://example/trainer
"""
_MUTUAL = re.compile(r"client certificates on (\S+)$")


@dataclass(frozen=True)
class Secured:
    """A server with TLS, who has signed its certificate, and where its files are."""

    server: RunningServer
    authority: Authority
    directory: Path

    def connect(self, **options: Any) -> registrar.Registry:
        return registrar.connect(self.server.address, credentials=self.authority.client_credentials(), **options)

    @property
    def bulk_address(self) -> str:
        with self.connect() as registry:
            return registry.server_info().bulk_endpoint

    @property
    def mutual_address(self) -> str:
        """Where client certificates are asked for."""
        wait_until(lambda: any(map(_MUTUAL.search, self.server.welcome_lines)), 10)
        return next(found[1] for line in self.server.welcome_lines if (found := _MUTUAL.search(line)))

    def renew(self) -> Issued:
        """Put a new certificate in the place of the one that is served."""
        issued = self.authority.issue()
        issued.write(self.directory)
        return issued

    def logged(self, event: str) -> list[dict[str, str]]:
        return [line for text in list(self.server.log_lines) if (line := json.loads(text))["event"] == event]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A server on loopback, so that nobody is asked who they are; with two workers and a bulk process."""
    authority, directory = Authority(), tmp_path_factory.mktemp("certificates")
    settings = {**tls_settings(directory, authority.issue()), "REGISTRAR_WORKERS": "2"}
    with running_server(tmp_path_factory.mktemp("tls"), settings, ("--bulk-listen", "127.0.0.1:0")) as started:
        yield Secured(started, authority, directory)


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A server with a port for client certificates; one authority signs all, and the trainer may register."""
    authority, directory = Authority(), tmp_path_factory.mktemp("certificates")
    (directory / "access.yaml").write_text(ACCESS)
    settings = {
        **tls_settings(directory, authority.issue()),
        "REGISTRAR_MTLS_LISTEN": "127.0.0.1:0",
        "REGISTRAR_TLS_CLIENT_CA": authority.write(directory),
        "REGISTRAR_ACCESS_FILE": str(directory / "access.yaml"),
        "REGISTRAR_WORKERS": "2",
    }
    with running_server(tmp_path_factory.mktemp("mtls"), settings, ("--bulk-listen", "127.0.0.1:0")) as started:
        yield Secured(started, authority, directory)


def health_of(address: str, credentials: grpc.ChannelCredentials) -> int:
    """What the health service says over a connection of its own; it needs no credentials but those of TLS."""
    with grpc.secure_channel(address, credentials, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        status: int = stub.Check(health_pb2.HealthCheckRequest(), timeout=10).status
        return status


def require_unauthenticated(address: str, credentials: grpc.ChannelCredentials, reason: str) -> None:
    with (
        registrar.connect(address, credentials=credentials) as registry,
        pytest.raises(registrar.Unauthenticated) as caught,
    ):
        registry.server_info()
    assert caught.value.reason == reason


class TestEncryption:
    def test_models_go_up_and_down(self, secured: Secured, unique_name: str, tmp_path: Path) -> None:
        data = os.urandom(3 << 20)
        (tmp_path / "model.bin").write_bytes(data)
        with secured.connect() as registry:
            version = registry.push(tmp_path / "model.bin", name=unique_name, progress=False)
            assert b"".join(registry.download(version, "model.bin")) == data
        # By the bulk process, which has the same certificate.
        wait_until(lambda: any(line["process"] == "bulk" for line in secured.logged("rpc.finished")), 10)

    @pytest.mark.parametrize("port", ["main", "bulk"])
    def test_tls_1_2_and_1_3_are_served_and_nothing_older(self, port: str, secured: Secured) -> None:
        address = secured.bulk_address if port == "bulk" else secured.server.address
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            assert served_serial(address, secured.authority, version)
        # The server hangs up; its own log is not for whoever knocks.
        with pytest.warns(DeprecationWarning, match="TLSv1_1"), pytest.raises(ssl.SSLEOFError):
            served_serial(address, secured.authority, ssl.TLSVersion.TLSv1_1)
        assert all(line.startswith("{") for line in list(secured.server.log_lines))

    def test_a_client_in_the_clear_is_told_that_there_is_no_such_server(self, secured: Secured) -> None:
        with secured.server.connect(connect_timeout_seconds=2) as registry:
            with pytest.raises(registrar.Unavailable) as caught:
                registry.server_info()
        assert secured.server.address in str(caught.value)

    def test_a_client_that_does_not_trust_the_authority_does_not_connect(self, secured: Secured) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            health_of(secured.server.address, Authority().client_credentials())
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    @pytest.mark.parametrize("call", ["python", "grpcurl"])
    @pytest.mark.parametrize("host", ["secured", "mutual"])
    def test_the_welcome_works_as_pasted(self, host: str, call: str, request: pytest.FixtureRequest) -> None:
        if call == "grpcurl" and shutil.which("grpcurl") is None:
            pytest.skip("no grpcurl on the PATH")
        served: Secured = request.getfixturevalue(host)
        wait_until(lambda: "END" in served.server.welcome_lines, 10)
        lines = served.server.welcome_lines
        token = [line for line in lines if line.startswith("export REGISTRAR_TOKEN=")]
        assert len(token) == (host == "mutual")
        begin = next(number for number, line in enumerate(lines) if line.endswith("<<'END'"))
        grpcurl = [line for line in lines if line.startswith("grpcurl ")]
        done = subprocess.run(
            ["bash"],
            input="\n".join([*token, *(grpcurl if call == "grpcurl" else lines[begin : lines.index("END") + 1])])
            + "\n",
            env=clean_environment(REGISTRAR_CA=served.authority.write(served.directory)),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert '"server_version"' in done.stdout or done.stdout.startswith("Registrar 0.")


class TestRenewal:
    def test_every_process_takes_the_new_certificate_and_open_connections_go_on(self, secured: Secured) -> None:
        with secured.connect() as registry:
            assert registry.is_serving()
            bulk_address = registry.server_info().bulk_endpoint
            issued = secured.renew()
            wait_until(lambda: served_serial(secured.server.address, secured.authority) == issued.serial, 10)
            wait_until(lambda: served_serial(bulk_address, secured.authority) == issued.serial, 10)
            assert registry.server_info().server_version
        # Also those that nobody has connected to since.
        wait_until(lambda: len(self._taken_by(secured, issued)) == 3, 10)
        assert self._taken_by(secured, issued) == {"worker-1", "worker-2", "bulk"}

    def test_half_a_pair_leaves_the_old_one_in_force(self, secured: Secured) -> None:
        before = secured.renew()
        wait_until(lambda: len(self._taken_by(secured, before)) == 3, 10)
        refused = len(secured.logged("tls.reload_refused"))
        after = secured.authority.issue()
        (secured.directory / "server.pem").write_bytes(after.pem)
        wait_until(lambda: len(secured.logged("tls.reload_refused")) == refused + 3, 10)
        assert {served_serial(secured.server.address, secured.authority) for _ in range(8)} == {before.serial}
        (secured.directory / "server.key").write_bytes(after.key)
        wait_until(lambda: len(self._taken_by(secured, after)) == 3, 10)
        assert {served_serial(secured.server.address, secured.authority) for _ in range(8)} == {after.serial}
        assert len(secured.logged("tls.reload_refused")) == refused + 3

    def test_nothing_of_a_key_is_in_the_log(self, secured: Secured) -> None:
        key = secured.renew().key.decode().splitlines()
        wait_until(lambda: bool(secured.logged("tls.reloaded")), 10)
        assert not any(line in text for text in list(secured.server.log_lines) for line in key)

    @staticmethod
    def _taken_by(secured: Secured, issued: Issued) -> set[str]:
        """Processes that have said so."""
        return {line["process"] for line in secured.logged("tls.reloaded") if line["serial"] == issued.serial}


class TestClientCertificates:
    def test_whoever_shows_one_is_known_by_its_name(self, mutual: Secured) -> None:
        client = mutual.authority.issue("trainer", [SPIFFE, x509.DNSName("trainer.example")])
        credentials = mutual.authority.client_credentials(client)
        with grpc.secure_channel(mutual.mutual_address, credentials) as channel:
            caller = AdminServiceStub(channel).GetCaller(pb.GetCallerRequest(), timeout=10)
        assert (caller.actor, caller.method) == (ACTOR, "certificate")

    def test_whoever_has_a_role_moves_bytes_over_the_same_port(
        self, mutual: Secured, unique_name: str, tmp_path: Path
    ) -> None:
        (tmp_path / "model.bin").write_bytes(b"model")
        client = mutual.authority.issue("trainer", [SPIFFE])
        credentials = mutual.authority.client_credentials(client)
        with registrar.connect(mutual.mutual_address, credentials=credentials) as registry:
            # The bulk process would not know them.
            assert registry.server_info().bulk_endpoint == ""
            version = registry.push(tmp_path / "model.bin", name=unique_name, progress=False)
            assert b"".join(registry.download(version, "model.bin")) == b"model"
            with pytest.raises(registrar.PermissionDenied):
                registry.promote(version, to=registrar.Stage.PRODUCTION)
        stranger = mutual.authority.issue("trainer", [x509.UniformResourceIdentifier("spiffe://example/stranger")])
        credentials = mutual.authority.client_credentials(stranger)
        with registrar.connect(mutual.mutual_address, credentials=credentials) as registry:
            with pytest.raises(registrar.NotFound):
                registry.get(version)

    def test_one_without_a_name_is_refused(self, mutual: Secured) -> None:
        client = mutual.authority.issue("administrator", [])
        credentials = mutual.authority.client_credentials(client)
        require_unauthenticated(mutual.mutual_address, credentials, "CREDENTIALS_INVALID")

    def test_none_another_authoritys_and_an_expired_one_do_not_connect(self, mutual: Secured) -> None:
        expired = mutual.authority.issue("trainer", [SPIFFE], ends_in=-timedelta(seconds=5))
        for client in (None, Authority().issue("trainer", [SPIFFE]), expired):
            with pytest.raises(grpc.RpcError) as caught:
                health_of(mutual.mutual_address, mutual.authority.client_credentials(client))
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        known = mutual.authority.issue("trainer", [SPIFFE])
        credentials = mutual.authority.client_credentials(known)
        assert health_of(mutual.mutual_address, credentials) == health_pb2.HealthCheckResponse.SERVING

    def test_the_other_ports_do_not_ask_for_one(self, mutual: Secured) -> None:
        client = mutual.authority.issue("trainer", [SPIFFE])
        credentials = mutual.authority.client_credentials(client)
        require_unauthenticated(mutual.server.address, credentials, "CREDENTIALS_MISSING")
        without = mutual.authority.client_credentials()
        assert health_of(mutual.server.address, without) == health_pb2.HealthCheckResponse.SERVING

    def test_who_may_sign_them_is_replaced_without_a_restart(self, mutual: Secured) -> None:
        other = Authority("Other")
        credentials = mutual.authority.client_credentials(other.issue("trainer", [SPIFFE]))
        taken = len(mutual.logged("tls.reloaded"))
        (mutual.directory / "ca.pem").write_bytes(mutual.authority.pem + other.pem)
        wait_until(lambda: len(mutual.logged("tls.reloaded")) == taken + 3, 10)
        # By any of the workers.
        for _ in range(8):
            assert health_of(mutual.mutual_address, credentials) == health_pb2.HealthCheckResponse.SERVING
        (mutual.directory / "ca.pem").write_bytes(mutual.authority.pem)
        wait_until(lambda: len(mutual.logged("tls.reloaded")) == taken + 6, 10)
        for _ in range(8):
            with pytest.raises(grpc.RpcError):
                health_of(mutual.mutual_address, credentials)


class TestPlaintext:
    def test_beyond_loopback_it_is_warned_of_and_callers_have_to_say_who_they_are(
        self, make_server: MakeServer
    ) -> None:
        # Of this machine alone, as is all of 127.0.0.0/8, but not one of the addresses that count as such.
        server = make_server(None, None, "--listen", "127.0.0.2:0", "--allow-plaintext-network")
        assert server.address.startswith("127.0.0.2:")
        warned = [line for line in server.log_lines if "server.plaintext_network" in line]
        assert len(warned) == 1
        assert server.address.partition(":")[0] in warned[0]
        with server.connect(token="") as registry, pytest.raises(registrar.Unauthenticated) as caught:
            registry.server_info()
        assert caught.value.reason == "CREDENTIALS_MISSING"

    def test_check_config_warns_beside_what_it_shows(self) -> None:
        settings = {"REGISTRAR_LISTEN": "192.0.2.1:1", "REGISTRAR_ALLOW_PLAINTEXT_NETWORK": "true"}
        done = run("check-config", "--json", **settings)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["authentication"] == "required"
        assert "Warning: 192.0.2.1:1 is not loopback" in " ".join(done.stderr.split())


class TestRefusals:
    def test_files_that_cannot_be_used_are_all_named_before_anything_starts(self, tmp_path: Path) -> None:
        authority = Authority()
        settings = tls_settings(tmp_path, authority.issue())
        (tmp_path / "server.key").write_bytes(authority.issue().key)
        settings |= {"REGISTRAR_MTLS_LISTEN": "127.0.0.1:0", "REGISTRAR_TLS_CLIENT_CA": str(tmp_path / "none.pem")}
        done = run("serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), **settings)
        require_refused(done, 2, "REGISTRAR_TLS_KEY", "is not the key of", "REGISTRAR_TLS_CLIENT_CA", "No such file")
        assert not (tmp_path / "data").exists()

    def test_a_taken_port_for_client_certificates(self, mutual: Secured, tmp_path: Path) -> None:
        settings = tls_settings(tmp_path, mutual.authority.issue())
        taken = mutual.mutual_address
        settings |= {"REGISTRAR_MTLS_LISTEN": taken, "REGISTRAR_TLS_CLIENT_CA": mutual.authority.write(tmp_path)}
        done = run("serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), **settings)
        require_refused(done, 1, f"cannot listen on {taken}", "Address already in use")
