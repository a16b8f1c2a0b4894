"""No secret stands where it does not belong, however much is logged: log, errors, databases, audit, `check-config`."""

from __future__ import annotations

import hashlib
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import grpc
import pytest

from registrar.v1 import admin_service_pb2 as pb
from registrar.v1 import artifact_service_pb2 as artifacts_pb
from tests.end_to_end import sessions
from tests.end_to_end.api import CALL_SECONDS, Api, refusal_of
from tests.end_to_end.every_call import FILES, METHODS, Everything, call, make_things
from tests.fixtures.collector import Collector, running_collector
from tests.fixtures.guarded import GuardedServer, guarded_server
from tests.fixtures.oidc import OidcProvider
from tests.fixtures.server import clean_environment
from tests.fixtures.stores import wait_until

LONG_SECONDS = 20.0


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with running_collector() as started:
        yield started


@pytest.fixture(scope="module")
def talkative(
    oidc_provider: OidcProvider, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardedServer]:
    """A server that logs all it can, and sends traces of everything."""
    settings = {
        "REGISTRAR_LOG_LEVEL": "debug",
        "REGISTRAR_OIDC_ISSUER": oidc_provider.issuer,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
    }
    with guarded_server(tmp_path_factory.mktemp("talkative"), **settings) as server:
        yield server


class Told:
    """Secrets that came up, and everything that was said aloud."""

    def __init__(self) -> None:
        self.secrets: set[str] = set()
        self.said: list[str] = []

    def keep(self, secret: str) -> str:
        """A secret; of a JWT its signature is one by itself, of an URL its signature."""
        self.secrets.add(secret)
        if secret.count(".") == 2:
            self.secrets.add(secret.rpartition(".")[2])
        return secret

    def keep_url(self, url: str) -> None:
        self.secrets |= {url, *parse_qs(urlsplit(url).query)["X-Amz-Signature"]}

    def hear(self, answer: object) -> None:
        """A refusal; what is answered may hold what was asked for."""
        if isinstance(answer, tuple):
            self.said.append(repr(answer))

    def refused(self, attempt: object) -> None:
        """What a refusal says, with all its trailers."""
        with pytest.raises(grpc.RpcError) as caught:
            attempt()  # type: ignore[operator]
        self.said.append(repr(refusal_of(caught.value)))


def exercise(server: GuardedServer, oidc_provider: OidcProvider, told: Told) -> None:
    """Use everything that has a secret in it, rightly and wrongly."""
    administrator = server.create_token("acme", "administrator")
    told.keep(server.admin_secret)
    told.keep(administrator.secret)
    with server.channel(administrator.secret) as channel:
        api = Api(channel)
        things = make_things(api, "acme")
        urls = api.artifacts.CreateDownloadUrls(
            artifacts_pb.CreateDownloadUrlsRequest(artifact_id=things.artifact_id), timeout=CALL_SECONDS
        ).urls
        session = sessions.create(api, f"big-{secrets.token_hex(4)}", {"model.pkl": b"0" * (6 << 20)})
        request = artifacts_pb.CreatePartUrlsRequest(
            upload_id=session.upload.id, ranges=[sessions.file_range((0, 0, 6 << 20))]
        )
        parts = api.artifacts.CreatePartUrls(request, timeout=CALL_SECONDS).urls
        assert urls
        assert parts
        for url in (*(one.url for one in urls), *(one.url for one in parts)):
            told.keep_url(url)
        for name in sorted(METHODS):
            for document in Everything(things).requests(name):
                told.hear(call(channel, METHODS[name], document))
        made = pb.CreateTokenRequest(name="ci", role="reader", request_id=secrets.token_hex(8))
        first = api.admin.CreateToken(made, timeout=CALL_SECONDS)
        told.keep(first.secret)
        again = api.admin.CreateToken(made, timeout=CALL_SECONDS)
        assert (again.secret, again.token.id) == ("", first.token.id)
        told.said.append(repr(api.admin.ListTokens(pb.ListTokensRequest(), timeout=CALL_SECONDS)))
        revoke = pb.RevokeTokenRequest(id=first.token.id, comment="done")
        api.admin.RevokeToken(revoke, timeout=CALL_SECONDS)
    forged = oidc_provider.token("mallory").rpartition(".")[0] + "." + secrets.token_urlsafe(256)
    wrong = [
        first.secret,
        f"rgt_{secrets.token_urlsafe(32)}",
        forged,
        oidc_provider.token("mallory", audience="elsewhere"),
        oidc_provider.token("mallory", ttl_seconds=-3600),
        oidc_provider.token("mallory", claims={"sub": ""}),
        secrets.token_urlsafe(30_000),
    ]
    for secret in wrong[:-1]:
        told.keep(secret)
        with server.channel(secret) as channel:
            told.refused(
                lambda channel=channel: Api(channel).admin.GetCaller(pb.GetCallerRequest(), timeout=CALL_SECONDS)
            )
    password = told.keep(secrets.token_urlsafe(24))
    with server.channel() as channel:
        for metadata in (
            (("authorization", f"Basic {password}"),),
            (("authorization", f"Bearer {password} {password}"),),
            (("authorization", f"Bearer {password}"), ("authorization", f"Bearer {password}")),
        ):
            told.refused(
                lambda channel=channel, metadata=metadata: Api(channel).admin.GetCaller(
                    pb.GetCallerRequest(), metadata=metadata, timeout=CALL_SECONDS
                )
            )
    with server.channel(told.keep(oidc_provider.token("olivia", ["staff"]))) as channel:
        assert Api(channel).admin.GetCaller(pb.GetCallerRequest(), timeout=CALL_SECONDS).actor == "user:olivia"
        told.refused(lambda: Api(channel).register("m", "acme"))


def test_nothing_secret_is_said_aloud(
    talkative: GuardedServer, oidc_provider: OidcProvider, collector: Collector
) -> None:
    told = Told()
    exercise(talkative, oidc_provider, told)
    environment = talkative.server.mlflow_environment()
    told.keep(environment["AWS_SECRET_ACCESS_KEY"])
    told.secrets |= {data.decode() for data in FILES.values()}
    word = f"last-{secrets.token_hex(8)}"
    with talkative.channel(talkative.admin_secret) as channel:
        metadata = (("x-request-id", word),)
        Api(channel).admin.GetCaller(pb.GetCallerRequest(), metadata=metadata, timeout=CALL_SECONDS)
    wait_until(lambda: any(word in line for line in talkative.server.log_lines), LONG_SECONDS)
    wait_until(lambda: len(collector.spans()) > 10, LONG_SECONDS)
    log = "\n".join([*talkative.server.log_lines, *talkative.server.welcome_lines])
    spans = repr(collector.spans())
    assert log.count("rpc.finished") > 50
    for secret in told.secrets:
        shown = f"{secret[:12]}… ({len(secret)} characters)"
        assert secret not in log, f"the log holds {shown}"
        assert secret not in spans, f"a trace holds {shown}"
        assert not any(secret in text for text in told.said), f"an answer holds {shown}"


def test_nothing_secret_is_stored(talkative: GuardedServer, oidc_provider: OidcProvider) -> None:
    told = Told()
    exercise(talkative, oidc_provider, told)
    stored = b"".join(path.read_bytes() for path in sorted(talkative.server.data.glob("*.db*")))
    digest = hashlib.sha256(talkative.admin_secret.encode()).hexdigest()
    assert digest.encode() in stored, "tokens are kept by their digests"
    for secret in told.secrets:
        assert secret.encode() not in stored, f"a database holds {secret[:12]}… ({len(secret)} characters)"


def test_what_is_configured_is_shown_without_its_secrets(tmp_path: Path) -> None:
    words = {name: secrets.token_urlsafe(24) for name in ("database", "mlflow", "store", "traces")}
    settings = {
        "REGISTRAR_DATA_DIR": str(tmp_path),
        "REGISTRAR_DATABASE_URL": f"postgresql://registrar:{words['database']}@db.internal/registrar",
        "MLFLOW_TRACKING_URI": f"https://user:{words['mlflow']}@mlflow.internal",
        "MLFLOW_ARTIFACT_ROOT": "s3://bundles",
        "MLFLOW_S3_ENDPOINT_URL": "https://minio.internal",
        "AWS_ACCESS_KEY_ID": "registrar",
        "AWS_SECRET_ACCESS_KEY": words["store"],
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://traces.internal/v1?api_key={words['traces']}",
        "REGISTRAR_OIDC_ISSUER": "https://login.internal",
    }
    command = [str(Path(sys.executable).parent / "registrar"), "check-config"]
    done = subprocess.run(
        command, env=clean_environment(**settings), capture_output=True, text=True, timeout=60, check=False
    )
    assert "db.internal" in done.stdout
    for word in words.values():
        assert word not in done.stdout + done.stderr
