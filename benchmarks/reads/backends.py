"""The databases that both sides are measured on: files of SQLite, or a PostgreSQL of the run's own."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks.servers import free_port
from benchmarks.tools import MissingToolError

BACKENDS = ("sqlite", "postgresql")
NewDatabase = Callable[[str], str]
"""From a name to the URL of a database in which nothing is."""

# As Debian ships it, but for more memory and for memory instead of disk where nobody's data is at stake.
_SETTINGS = {
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "max_connections": "200",
    "synchronous_commit": "off",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
}


@contextmanager
def open_backend(name: str, directory: Path) -> Iterator[NewDatabase]:
    """`sqlite`: files below the directory. `postgresql`: databases of a cluster that is gone at the end."""
    if name == "sqlite":
        directory.mkdir(parents=True, exist_ok=True)
        yield lambda database: f"sqlite:///{directory / database}.db"
        return
    with _cluster(_binaries()) as admin_url:

        def create(database: str) -> str:
            with psycopg.connect(admin_url, autocommit=True) as connection:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
            return f"{admin_url.rpartition('/')[0]}/{database}"

        yield create


def _binaries() -> Path:
    """Debian keeps them out of PATH, in one directory for each major version: take the newest."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")]
    if not found:
        raise MissingToolError("PostgreSQL's server is missing; Debian and Ubuntu ship it in the package postgresql")
    return max(found, key=lambda path: float(path.parent.name))


@contextmanager
def _cluster(binaries: Path) -> Iterator[str]:
    """It refuses to run as root, so root runs it as user postgres, who must be able to reach the directory."""
    directory = Path(tempfile.mkdtemp(prefix="registrar-benchmark-"))
    account = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
    password, port, data = secrets.token_hex(16), free_port(), directory / "data"

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(binaries / program), "--pgdata", str(data), *arguments],
            check=True,
            user=account and account.pw_uid,
            group=account and account.pw_gid,
            extra_groups=[] if account else None,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    try:
        (directory / "password").write_text(password, encoding="ascii")
        if account:
            os.chown(directory, account.pw_uid, account.pw_gid)
            os.chown(directory / "password", account.pw_uid, account.pw_gid)
        options = ("--encoding", "UTF8", "--locale", "C", "--auth", "scram-sha-256")
        run("initdb", "--username", "postgres", "--pwfile", str(directory / "password"), *options)
        settings = " ".join(f"-c {name}='{value}'" for name, value in {**_SETTINGS, "port": str(port)}.items())
        run("pg_ctl", "--wait", "-l", str(directory / "log"), "-o", settings, "start")
        try:
            yield f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "--wait", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
