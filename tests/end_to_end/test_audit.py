"""The audit over the wire: who may see it, what is in it, and that whatever is done to it is found and named."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

import registrar
from registrar.audit.export import canonical
from registrar.audit.verification import verify_export
from registrar.cli.exits import ExitCode
from registrar.values import Stage
from registrar_server.domain import merkle
from tests.fixtures.guarded import GuardedServer
from tests.fixtures.server import MakeServer, RunningServer, clean_environment


def run(address: str, *arguments: str | Path, token: str = "") -> subprocess.CompletedProcess[str]:
    """The command line, as its users start it."""
    environment = clean_environment(REGISTRAR_SERVER=address, **({"REGISTRAR_TOKEN": token} if token else {}))
    command = [str(Path(sys.executable).parent / "registrar"), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def release(registry: registrar.Registry, name: str, folder: Path) -> registrar.ModelVersion:
    """A model with some history: registered, promoted, given an alias."""
    folder.mkdir(exist_ok=True)
    (folder / "model.pkl").write_bytes(secrets.token_bytes(16))
    version = registry.push(folder, name=name, progress=False)
    registry.promote(version, to=Stage.STAGING, comment="looks good")
    registry.promote(version, to=Stage.PRODUCTION, comment="better on the eu slice")
    registry.set_alias(name, "champion", version.version, comment="for serving")
    return version


class TestEntries:
    def test_each_change_says_who_what_when_and_why(
        self, registry: registrar.Registry, unique_name: str, tmp_path: Path
    ) -> None:
        version = release(registry, unique_name, tmp_path / "model")
        entries = list(registry.audit_events(model=unique_name, oldest_first=True))
        assert [entry.comment for entry in entries if entry.comment] == [
            "looks good",
            "better on the eu slice",
            "for serving",
        ]
        assert all(entry.actor == "local" and entry.outcome is registrar.AuditOutcome.DONE for entry in entries)
        assert all(one.time <= other.time for one, other in pairwise(entries))
        moved = entries[-1]
        assert (moved.alias, moved.version, moved.version_uid) == ("champion", version.version, version.uid)
        assert json.loads(moved.content)["comment"] == "for serving"
        assert moved.hash == merkle.leaf_hash(moved.content).hex()

    def test_entries_are_found_by_what_they_say(
        self, registry: registrar.Registry, unique_name: str, tmp_path: Path
    ) -> None:
        version = release(registry, unique_name, tmp_path / "model")
        about = list(registry.audit_events(model=unique_name))
        assert [entry.position for entry in about] == sorted((entry.position for entry in about), reverse=True)
        of_version = list(registry.audit_events(model=unique_name, version=version.version, page_size=1))
        assert set(of_version) <= set(about)
        assert {entry.version for entry in of_version} == {version.version}
        (first, *_) = of_version
        assert first in list(registry.audit_events(model=unique_name, action=first.action))
        assert first in list(registry.audit_events(model=unique_name, start_time=first.time))
        assert first not in list(registry.audit_events(model=unique_name, end_time=first.time))
        assert list(registry.audit_events(model=unique_name, actor="user:nobody")) == []
        assert list(registry.audit_events(model=unique_name, outcome=registrar.AuditOutcome.REFUSED)) == []

    def test_each_entry_is_proved_against_a_head_that_was_kept(
        self, registry: registrar.Registry, unique_name: str, tmp_path: Path
    ) -> None:
        release(registry, unique_name, tmp_path / "model")
        kept = registry.audit_head()
        (tmp_path / "more").mkdir()
        release(registry, f"{unique_name}-more", tmp_path / "more")
        for entry in registry.audit_events(model=unique_name):
            proof = registry.audit_proof(position=entry.position, tree_size=kept.tree_size)
            assert (proof.claimed_hash, proof.root_hash, proof.is_valid) == (entry.hash, kept.root_hash, True)
            assert not replace(proof, position=entry.position + 1).is_valid
        assert registry.verify_audit(kept=kept).is_intact
        forged = replace(kept, root_hash="00" * 32)
        assert not registry.verify_audit(kept=forged).is_intact


class TestRights:
    def test_an_auditor_may(self, guarded: GuardedServer, tmp_path: Path) -> None:
        with guarded.connect(guarded.secret("acme", "administrator")) as registry:
            release(registry, f"audited-{secrets.token_hex(4)}", tmp_path / "model")
        token = guarded.secret("acme", "auditor")
        file = tmp_path / "audit.jsonl"
        listed = run(guarded.address, "audit", "list", "--json", token=token)
        assert listed.returncode == 0, listed.stderr
        actors = {event["actor"] for event in json.loads(listed.stdout)["events"]}
        assert actors
        assert all(actor.startswith("service:") for actor in actors)
        for command in (("head",), ("verify",), ("export", file), ("proof", "1")):
            done = run(guarded.address, "audit", *command, token=token)
            assert done.returncode == 0, done.stderr
        assert run("127.0.0.1:1", "audit", "verify", file).returncode == 0

    @pytest.mark.parametrize("role", ["reader", "contributor", "release-engineer"])
    def test_others_may_not(self, guarded: GuardedServer, role: str, tmp_path: Path) -> None:
        with guarded.connect(guarded.secret("acme", role)) as registry:
            calls: list[Callable[[], object]] = [
                lambda: list(registry.audit_events()),
                registry.audit_head,
                lambda: registry.audit_proof(position=1),
                registry.verify_audit,
                lambda: registry.export_audit(tmp_path / "audit.jsonl"),
            ]
            for call in calls:
                with pytest.raises(registrar.PermissionDenied) as caught:
                    call()
                assert caught.value.metadata["right"] == "audit"
        assert list(tmp_path.iterdir()) == []

    def test_an_auditor_changes_nothing(self, guarded: GuardedServer) -> None:
        with guarded.connect(guarded.secret("acme", "auditor")) as registry:
            with pytest.raises(registrar.PermissionDenied):
                registry.create_model(f"own-{secrets.token_hex(4)}")


class TestExports:
    """What somebody does to a file on its way to the auditor."""

    @pytest.fixture
    def file(self, registry: registrar.Registry, unique_name: str, tmp_path: Path) -> Path:
        release(registry, unique_name, tmp_path / "model")
        registry.export_audit(tmp_path / "audit.jsonl")
        return tmp_path / "audit.jsonl"

    def test_it_is_intact_as_it_was_given(self, file: Path, registry: registrar.Registry) -> None:
        verdict = verify_export(file)
        assert verdict.is_intact
        assert verdict.head.tree_size == len(file.read_bytes().splitlines()) - 2
        assert registry.verify_audit(kept=verdict.head).is_intact

    @pytest.mark.parametrize(
        ("name", "alter", "expected"),
        [
            ("an actor", lambda lines: [*lines[:3], said(lines[3], actor="user:mallory"), *lines[4:]], 3),
            ("a time", lambda lines: [*lines[:2], said(lines[2], time_microseconds=1), *lines[3:]], 2),
            ("an outcome", lambda lines: [*lines[:-2], said(lines[-2], outcome="refused"), lines[-1]], -1),
            ("a link", lambda lines: [*lines[:3], said(lines[3], previous="0" * 64), *lines[4:]], 3),
            ("removed", lambda lines: [*lines[:2], *lines[3:]], 2),
            ("the first removed", lambda lines: [lines[0], *lines[2:]], 1),
            ("the last removed", lambda lines: [*lines[:-2], lines[-1]], -1),
            ("twice", lambda lines: [*lines[:4], lines[2], *lines[4:]], 4),
            ("exchanged", lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], 1),
            ("cut off", lambda lines: lines[:-1], None),
            ("the head", lambda lines: [*lines[:-1], lines[-1].replace(b'"root_hash":"', b'"root_hash":"0')], None),
        ],
    )
    def test_what_is_done_to_it_is_found_and_named(
        self, file: Path, name: str, alter: Callable[[list[bytes]], list[bytes]], expected: int | None
    ) -> None:
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join(alter(lines)))
        named = len(lines) - 2 if expected == -1 else expected
        assert verify_export(file).altered_position == named
        done = run("127.0.0.1:1", "audit", "verify", file)
        assert done.returncode == ExitCode.DATA_LOSS
        assert (f"entry {named} of the audit of default" in done.stderr) is (named is not None)


def said(line: bytes, **changed: object) -> bytes:
    """A line of an export that says something else."""
    return canonical({**json.loads(line), **changed}) + b"\n"


class TestDatabase:
    """What somebody does who has the database in hand, while the server runs."""

    @pytest.fixture
    def own(self, make_server: MakeServer) -> RunningServer:
        return make_server()

    def test_an_altered_row_is_named_by_both_verifications(self, own: RunningServer, tmp_path: Path) -> None:
        with own.connect() as registry:
            release(registry, "churn", tmp_path / "model")
            size = registry.audit_head().tree_size
        intact = run(own.address, "audit", "verify")
        assert (intact.returncode, intact.stdout) == (0, f"the audit of default is intact: {size} entries\n")
        in_database(own, "UPDATE audit_entries SET comment = 'never said' WHERE tenant = 'default' AND position = 2")
        done = run(own.address, "audit", "verify", "--json")
        assert done.returncode == ExitCode.DATA_LOSS
        verdict = json.loads(done.stdout)
        assert (verdict["is_intact"], verdict["altered_position"]) == (False, 2)
        assert "entry 2 of the audit of default" in done.stderr
        assert "reason: AUDIT_ALTERED (position=2 tenant=default)" in done.stderr
        exported = run(own.address, "audit", "export", tmp_path / "audit.jsonl")
        assert exported.returncode == 0, exported.stderr
        assert verify_export(tmp_path / "audit.jsonl").altered_position == 2

    def test_a_removed_row_is_named_by_both_verifications(self, own: RunningServer, tmp_path: Path) -> None:
        with own.connect() as registry:
            release(registry, "churn", tmp_path / "model")
            in_database(own, "DELETE FROM audit_entries WHERE tenant = 'default' AND position = 3")
            assert registry.verify_audit().altered_position == 3
            registry.export_audit(tmp_path / "audit.jsonl")
        assert verify_export(tmp_path / "audit.jsonl").altered_position == 3


def test_the_page_does_what_it_says(
    server: RunningServer, registry: registrar.Registry, unique_name: str, tmp_path: Path
) -> None:
    release(registry, unique_name, tmp_path / "model")
    page = (Path(__file__).resolve().parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
    commands = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (program,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    environment = clean_environment(REGISTRAR_SERVER=server.address)
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    (tmp_path / "verify.py").write_text(program)
    script = "\n".join([*commands, f"{sys.executable} verify.py", "sed -i 3s/local/nobody/ audit.jsonl"])
    done = subprocess.run(
        ["bash", "-euxc", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "intact: " in done.stdout.splitlines()[-1]
    assert verify_export(tmp_path / "audit.jsonl").altered_position == 2
    again = subprocess.run([sys.executable, "verify.py"], cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert b"entry 2 was altered" in again.stderr


def in_database(server: RunningServer, statement: str) -> None:
    """One row of the server's own database is changed, past the server."""
    (path,) = server.data.glob("registrar*.db")
    with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
        assert connection.execute(statement).rowcount == 1
