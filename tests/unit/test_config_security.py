"""The configuration of TLS and of authentication: what holds by itself, what does not fit together."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from registrar_server.config import Config, ConfigError, load_config
from tests.fixtures.certificates import Authority, tls_settings
from tests.unit.test_config import problems

OPEN = {"REGISTRAR_LISTEN": "0.0.0.0:50051", "REGISTRAR_ALLOW_PLAINTEXT_NETWORK": "true"}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def tls(authority: Authority, tmp_path: Path) -> dict[str, str]:
    """Settings of a certificate that can be used."""
    return tls_settings(tmp_path, authority.issue())


class TestAuthentication:
    def test_nobody_is_asked_on_loopback_where_nothing_is_configured(self) -> None:
        assert load_config({}).authentication == "none"
        assert not load_config({"REGISTRAR_BULK_LISTEN": "localhost:0"}).is_authentication_required

    @pytest.mark.parametrize(
        "settings",
        [
            OPEN,
            {**OPEN, "REGISTRAR_LISTEN": "127.0.0.1:1", "REGISTRAR_BULK_LISTEN": "192.0.2.1:0"},
            {"REGISTRAR_OIDC_ISSUER": "https://login.example"},
            {"REGISTRAR_ACCESS_FILE": "/dev/null"},
            {"REGISTRAR_AUTHENTICATION": "required"},
        ],
    )
    def test_whoever_can_be_asked_or_comes_from_elsewhere_is_asked(self, settings: dict[str, str]) -> None:
        assert load_config(settings).is_authentication_required

    def test_a_port_for_client_certificates_asks_for_them(
        self, authority: Authority, tls: dict[str, str], tmp_path: Path
    ) -> None:
        settings = {"REGISTRAR_MTLS_LISTEN": "127.0.0.1:0", "REGISTRAR_TLS_CLIENT_CA": authority.write(tmp_path)}
        assert load_config({**tls, **settings}).is_authentication_required

    def test_it_counts_where_the_command_line_says_to_listen(self) -> None:
        config = load_config({}, listen="0.0.0.0:1", is_plaintext_network_allowed=True)
        assert config.authentication == "required"

    @pytest.mark.parametrize("setting", ["REGISTRAR_LISTEN", "REGISTRAR_BULK_LISTEN"])
    def test_nobody_may_remain_unknown_beyond_loopback(self, setting: str) -> None:
        environment = {"REGISTRAR_ALLOW_PLAINTEXT_NETWORK": "true", "REGISTRAR_AUTHENTICATION": "none"}
        (problem,) = problems({**environment, setting: "192.0.2.1:1"})
        assert problem.startswith("REGISTRAR_AUTHENTICATION: none, but 192.0.2.1:1 is not loopback")

    def test_means_to_authenticate_that_are_not_used_are_a_mistake(self) -> None:
        (problem,) = problems({"REGISTRAR_AUTHENTICATION": "none", "REGISTRAR_OIDC_ISSUER": "https://login.example"})
        assert "REGISTRAR_OIDC_ISSUER is set" in problem

    def test_a_child_process_is_told_what_holds(self) -> None:
        config = load_config({"REGISTRAR_OIDC_ISSUER": "https://login.example"})
        assert Config.from_json(config.to_json()) == config


class TestProvider:
    @pytest.mark.parametrize(
        "issuer",
        ["https://login.example", "https://login.example/realms/a", "http://127.0.0.1:8080/a", "http://[::1]:1"],
    )
    def test_an_issuer_is_https_or_on_loopback(self, issuer: str) -> None:
        assert load_config({"REGISTRAR_OIDC_ISSUER": issuer}).oidc_issuer == issuer

    @pytest.mark.parametrize(
        "issuer",
        [
            "login.example",
            "http://login.example",
            "https://a.example?b=c",
            "https://a.example#b",
            "https://[a",
            "ftp://a",
        ],
    )
    def test_any_other_issuer_is_refused(self, issuer: str) -> None:
        (problem,) = problems({"REGISTRAR_OIDC_ISSUER": issuer})
        assert problem.startswith("REGISTRAR_OIDC_ISSUER: ")

    def test_an_issuer_with_a_password_is_refused_without_showing_it(self) -> None:
        (problem,) = problems({"REGISTRAR_OIDC_ISSUER": "https://user:s3cret@login.example"})
        assert "s3cret" not in problem

    @pytest.mark.parametrize(
        "name", ["REGISTRAR_OIDC_CLIENT_ID", "REGISTRAR_OIDC_TENANT_CLAIM", "REGISTRAR_OIDC_CA_FILE"]
    )
    def test_what_is_said_of_no_provider_is_a_mistake(self, name: str) -> None:
        (problem,) = problems({name: "value"})
        assert problem == f"{name}: there is no provider; set REGISTRAR_OIDC_ISSUER"

    def test_scopes_are_words(self) -> None:
        config = load_config({"REGISTRAR_OIDC_SCOPES": " openid  groups "})
        assert config.oidc_scopes == ("openid", "groups")
        assert config.shown()["oidc_scopes"] == "openid groups"

    @pytest.mark.parametrize("seconds", ["-1", "301", "1.5"])
    def test_clocks_may_differ_by_five_minutes_at_most(self, seconds: str) -> None:
        (problem,) = problems({"REGISTRAR_OIDC_CLOCK_SKEW": seconds})
        assert "from 0 to 300" in problem

    def test_authorities_of_the_provider_must_be_readable_certificates(self, tmp_path: Path) -> None:
        (tmp_path / "ca.pem").write_text("nothing")
        for path, words in ((tmp_path / "ca.pem", "no certificates"), (tmp_path / "none.pem", "cannot be read")):
            issuer = {"REGISTRAR_OIDC_ISSUER": "https://login.example"}
            (problem,) = problems({**issuer, "REGISTRAR_OIDC_CA_FILE": str(path)})
            assert problem.startswith(f"REGISTRAR_OIDC_CA_FILE: {path}")
            assert words in problem


class TestTls:
    def test_a_server_with_a_certificate_may_be_anywhere(self, tls: dict[str, str]) -> None:
        config = load_config({**tls, "REGISTRAR_LISTEN": "0.0.0.0:50051"})
        assert config.is_tls
        assert config.is_authentication_required
        assert not config.warnings

    def test_a_port_for_client_certificates_does_not_encrypt_the_others(
        self, authority: Authority, tls: dict[str, str], tmp_path: Path
    ) -> None:
        clients = {"REGISTRAR_MTLS_LISTEN": "0.0.0.0:1", "REGISTRAR_TLS_CLIENT_CA": authority.write(tmp_path)}
        found = problems({**clients, "REGISTRAR_LISTEN": "192.0.2.1:1"})
        assert any("needs REGISTRAR_TLS_CERTIFICATE" in problem for problem in found)
        assert any(problem.startswith("listen: 192.0.2.1:1 is not loopback") for problem in found)
        assert load_config({**tls, **clients}).mtls_listen == "0.0.0.0:1"

    @pytest.mark.parametrize("alone", ["REGISTRAR_TLS_CERTIFICATE", "REGISTRAR_TLS_KEY"])
    def test_certificate_and_key_go_together(self, alone: str, tls: dict[str, str]) -> None:
        assert problems({alone: tls[alone]}) == ["REGISTRAR_TLS_CERTIFICATE and REGISTRAR_TLS_KEY: set both or neither"]

    def test_a_port_for_client_certificates_needs_to_know_who_signs_them(
        self, authority: Authority, tls: dict[str, str], tmp_path: Path
    ) -> None:
        for name, value in (
            ("REGISTRAR_MTLS_LISTEN", "127.0.0.1:0"),
            ("REGISTRAR_TLS_CLIENT_CA", authority.write(tmp_path)),
        ):
            (problem,) = problems({**tls, name: value})
            assert problem == "REGISTRAR_MTLS_LISTEN and REGISTRAR_TLS_CLIENT_CA: set both or neither"

    @pytest.mark.parametrize("name", ["REGISTRAR_TLS_CERTIFICATE", "REGISTRAR_TLS_KEY"])
    def test_files_must_be_there_and_be_what_they_should(self, name: str, tls: dict[str, str]) -> None:
        Path(tls[name]).write_text("-----BEGIN NOTHING-----\n")
        (problem,) = problems(tls)
        assert problem.startswith(f"{name}: {tls[name]} holds no ")
        Path(tls[name]).unlink()
        (problem,) = problems(tls)
        assert problem == f"{name}: {tls[name]} cannot be read: No such file or directory"

    def test_a_key_of_another_certificate_is_refused(self, authority: Authority, tls: dict[str, str]) -> None:
        Path(tls["REGISTRAR_TLS_KEY"]).write_bytes(authority.issue().key)
        (problem,) = problems(tls)
        assert problem.startswith("REGISTRAR_TLS_KEY: ")
        assert "is not the key of the certificate" in problem

    def test_an_encrypted_key_is_refused(self, authority: Authority, tls: dict[str, str]) -> None:
        Path(tls["REGISTRAR_TLS_KEY"]).write_bytes(authority.issue().encrypted_key(b"passphrase"))
        (problem,) = problems(tls)
        assert "is encrypted" in problem

    @pytest.mark.parametrize(
        ("begins_in", "ends_in", "words"),
        [
            (-timedelta(days=2), -timedelta(seconds=5), "has expired"),
            (timedelta(days=1), timedelta(days=2), "is valid from"),
        ],
    )
    def test_a_certificate_must_be_valid_now(
        self, begins_in: timedelta, ends_in: timedelta, words: str, authority: Authority, tmp_path: Path
    ) -> None:
        (problem,) = problems(tls_settings(tmp_path, authority.issue(begins_in=begins_in, ends_in=ends_in)))
        assert problem.startswith("REGISTRAR_TLS_CERTIFICATE: ")
        assert words in problem

    def test_a_key_that_grpc_does_not_serve_is_refused(self, authority: Authority, tmp_path: Path) -> None:
        for key in (ec.generate_private_key(ec.SECP521R1()), rsa.generate_private_key(65537, 1024)):
            (problem,) = problems(tls_settings(tmp_path, authority.issue(private_key=key)))
            assert problem.startswith("REGISTRAR_TLS_KEY: ")
        settings = tls_settings(tmp_path, authority.issue(private_key=rsa.generate_private_key(65537, 2048)))
        assert load_config(settings).is_tls

    def test_a_certificate_that_may_not_sign_is_refused(self, authority: Authority, tmp_path: Path) -> None:
        (problem,) = problems(tls_settings(tmp_path, authority.issue(may_sign=False)))
        assert "digitalSignature" in problem

    def test_a_bundle_that_breaks_off_is_refused(self, authority: Authority, tls: dict[str, str]) -> None:
        chain = Path(tls["REGISTRAR_TLS_CERTIFICATE"])
        chain.write_bytes(chain.read_bytes() + authority.pem[:200])
        (problem,) = problems(tls)
        assert "breaks off" in problem

    def test_every_problem_with_files_is_reported_at_once(self, tls: dict[str, str]) -> None:
        settings = {
            "REGISTRAR_MTLS_LISTEN": "127.0.0.1:0",
            "REGISTRAR_TLS_CLIENT_CA": "/none/ca.pem",
            "REGISTRAR_ACCESS_FILE": "/none/access.yaml",
            "REGISTRAR_OIDC_ISSUER": "http://login.example",
        }
        Path(tls["REGISTRAR_TLS_KEY"]).unlink()
        found = problems({**tls, **settings})
        for name in ("REGISTRAR_TLS_KEY", "REGISTRAR_TLS_CLIENT_CA", "REGISTRAR_ACCESS_FILE", "REGISTRAR_OIDC_ISSUER"):
            assert sum(problem.startswith(f"{name}: ") for problem in found) == 1, name

    def test_nothing_of_a_key_is_in_a_problem(self, authority: Authority, tls: dict[str, str]) -> None:
        key = authority.issue().key
        Path(tls["REGISTRAR_TLS_KEY"]).write_bytes(key[:-60])
        with pytest.raises(ConfigError) as caught:
            load_config(tls)
        assert not any(line in str(caught.value) for line in key.decode().splitlines() if line)
