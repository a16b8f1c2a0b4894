"""The audit in the object store of a whole server: what an auditor fetches with any S3 client proves itself."""

from __future__ import annotations

import secrets
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import urllib3
from minio import Minio
from minio.error import S3Error

import registrar
from registrar.cli.exits import ExitCode
from registrar.values import Stage
from tests.fixtures.server import MakeServer, RunningServer, clean_environment
from tests.fixtures.stores import wait_until

BUCKET, PREFIX = "ml-artifacts", "_audit/default"
SETTINGS = {
    "REGISTRAR_AUDIT_EXPORT_INTERVAL": "1",
    "REGISTRAR_AUDIT_RETENTION_DAYS": "1",
    "REGISTRAR_AUDIT_ORIGIN": "registry.acme.example",
}


def offline(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command line, where no server is."""
    command = [str(Path(sys.executable).parent / "registrar"), *map(str, arguments)]
    environment = clean_environment(REGISTRAR_SERVER="127.0.0.1:1")
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def store_of(server: RunningServer) -> Minio:
    """The embedded store, as whoever has its keys sees it."""
    environment = server.mlflow_environment()
    return Minio(
        environment["MLFLOW_S3_ENDPOINT_URL"].removeprefix("http://"),
        environment["AWS_ACCESS_KEY_ID"],
        environment["AWS_SECRET_ACCESS_KEY"],
        secure=False,
        region="us-east-1",
        http_client=urllib3.PoolManager(timeout=urllib3.Timeout(connect=5, read=30)),
    )


def read(store: Minio, name: str) -> bytes:
    """An object whole."""
    response = store.get_object(BUCKET, name)
    try:
        return response.read()
    finally:
        response.close()
        response.release_conn()


def test_what_is_in_the_store_outlives_the_database(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(None, SETTINGS)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.pkl").write_bytes(secrets.token_bytes(8))
    with server.connect() as registry:
        version = registry.push(folder, name="churn", progress=False)
        registry.promote(version, to=Stage.STAGING, comment="to be tried")
        size, key = registry.audit_head().tree_size, registry.audit_key()
        assert key.startswith("registry.acme.example/default+")
        store = store_of(server)

        def exported() -> list[str]:
            return sorted(str(one.object_name) for one in store.list_objects(BUCKET, f"{PREFIX}/heads/"))

        wait_until(lambda: f"{PREFIX}/heads/{size:012d}" in exported(), 60)
        assert registry.verify_audit().is_intact
        names = [str(one.object_name) for one in store.list_objects(BUCKET, f"{PREFIX}/entries/")]
        audit, head = tmp_path / "audit.jsonl", tmp_path / "head"
        audit.write_bytes(b"".join(read(store, name) for name in sorted(names)))
        head.write_bytes(read(store, f"{PREFIX}/heads/{size:012d}"))
        done = offline("audit", "verify", audit, "--head", head, "--key", key)
        assert (done.returncode, done.stdout) == (0, f"the audit of default is intact: {size} entries\n"), done.stderr
        # Who has the database takes the promotion out of it; who has the store cannot take it out of that.
        (database,) = server.data.glob("registrar*.db")
        with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
            assert connection.execute("DELETE FROM audit_entries WHERE comment = 'to be tried'").rowcount == 1
        registry.export_audit(tmp_path / "now.jsonl")
        done = offline("audit", "verify", tmp_path / "now.jsonl", "--head", head, "--key", key)
        assert done.returncode == ExitCode.DATA_LOSS
        (kept,) = store.list_objects(BUCKET, f"{PREFIX}/heads/{size:012d}", include_version=True)
        with pytest.raises(S3Error):
            store.remove_object(BUCKET, str(kept.object_name), version_id=kept.version_id)


def test_the_key_stays_when_the_server_starts_again_and_is_its_own_alone(make_server: MakeServer) -> None:
    first = make_server(None, {"REGISTRAR_AUDIT_EXPORT_INTERVAL": "0"})
    with first.connect() as registry:
        registry.create_model("churn")
        head, key = registry.audit_head(), registry.audit_key()
    file = first.data / "audit-signing-key.pem"
    assert file.stat().st_mode & 0o777 == 0o600
    assert first.stop() == 0
    with make_server(first.data).connect() as registry:
        assert (registry.audit_head(), registry.audit_key()) == (head, key)
    secret = file.read_text().splitlines()[1]
    assert not any(secret in line for line in first.log_lines)
    assert isinstance(head, registrar.AuditHead)
