"""The audit through the client, waiting and awaited, and on the command line."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import registrar
from registrar import aio
from registrar.audit.verification import verify_export
from registrar.cli import main
from registrar.cli.counter import Counter
from registrar.cli.exits import ExitCode
from registrar.v1 import audit_service_pb2 as pb
from registrar_server.domain.audit import Outcome
from tests.unit.client.fake_audit import EPOCH, record
from tests.unit.client.fake_state import State

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(target: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process: exit code, stdout, stderr."""
    monkeypatch.setenv("REGISTRAR_SERVER", target)

    def command(*arguments: str | Path) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return command


@pytest.fixture
def audited(state: State) -> State:
    """Five entries: done, and one refused."""
    record(state, action="version.registered")
    record(state, comment="better on\nthe eu slice", after='{"stage":"production"}')
    record(state, actor="service:ci", outcome=Outcome.REFUSED, reason="PERMISSION_DENIED", comment="hurry")
    record(state, action="alias.moved", alias="champion", comment="\x1b[31mred")
    record(state, action="role_binding.created", model="", number=0, event_sequence=0)
    return state


def alter(state: State, position: int) -> None:
    """Change what an entry says, as somebody with the database could."""
    event = state.audit[position - 1]
    event.content = event.content.replace(b"user:alice", b"user:mallory")


class TestCalls:
    def test_an_entry_says_all_that_was_recorded(self, registry: registrar.Registry, audited: State) -> None:
        entry = list(registry.audit_events(oldest_first=True))[2]
        assert (entry.tenant, entry.position, entry.time) == ("default", 3, EPOCH + timedelta(hours=3))
        assert (entry.actor, entry.roles, entry.action) == (
            "service:ci",
            ("release-engineer",),
            "version.stage_changed",
        )
        assert (entry.outcome, entry.reason) == (registrar.AuditOutcome.REFUSED, "PERMISSION_DENIED")
        assert (entry.model, entry.version, entry.comment) == ("churn", 1, "hurry")
        assert json.loads(entry.content)["position"] == 3
        newest = next(registry.audit_events())
        assert (newest.position, newest.model, newest.version, newest.event_sequence) == (5, "", None, None)

    def test_every_filter_is_asked_for(self, registry: registrar.Registry, audited: State) -> None:
        start, end = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
        refused = registrar.AuditOutcome.REFUSED
        found = registry.audit_events(
            model="acme/churn", version=3, actor="a", action="b", outcome=refused, start_time=start, end_time=end
        )
        assert list(found) == []
        (request,) = audited.seen(pb.ListAuditEventsRequest)
        assert (request.tenant, request.model, request.version) == ("acme", "churn", 3)
        assert (request.actor, request.action, request.outcome) == ("a", "b", 2)
        assert request.start_time.ToDatetime(UTC) == start
        assert request.end_time.ToDatetime(UTC) == end

    def test_no_filter_leaves_nothing_out(self, target: str, audited: State) -> None:
        with registrar.connect(target, tenant="acme") as registry:
            assert [entry.position for entry in registry.audit_events()] == [5, 4, 3, 2, 1]
        request = audited.seen(pb.ListAuditEventsRequest)[0]
        assert (request.tenant, request.outcome) == ("acme", 0)
        assert not request.HasField("start_time")

    def test_proofs_are_asked_for_and_hold(self, registry: registrar.Registry, audited: State) -> None:
        head = registry.audit_head()
        assert (head.tenant, head.tree_size) == ("default", 5)
        for position in range(1, 6):
            proof = registry.audit_proof(position=position)
            assert proof.is_valid
            assert (proof.position, proof.earlier, proof.root_hash) == (position, None, head.root_hash)
            grown = registry.audit_proof(earlier=position, tree_size=5)
            assert grown.is_valid
            assert (grown.position, grown.earlier) == (None, position)
            assert not replace(proof, claimed_hash=head.last_hash[::-1]).is_valid

    @pytest.mark.parametrize("place", [None, 1])
    def test_a_proof_is_of_one_thing(self, registry: registrar.Registry, place: int | None) -> None:
        with pytest.raises(registrar.InvalidArgument) as caught:
            registry.audit_proof(position=place, earlier=place)
        assert caught.value.violations[0].field == "claim"

    def test_a_proof_of_what_is_not_there_is_refused(self, registry: registrar.Registry, audited: State) -> None:
        with pytest.raises(registrar.NotFound) as caught:
            registry.audit_proof(position=6)
        assert caught.value.reason == "AUDIT_ENTRY_NOT_FOUND"

    def test_the_verdict_names_what_was_altered(self, registry: registrar.Registry, audited: State) -> None:
        seen: list[int] = []
        assert registry.verify_audit(progress=seen.append).is_intact
        assert seen == [1, 5]
        alter(audited, 2)
        verdict = registry.verify_audit()
        assert (verdict.is_intact, verdict.altered_position) == (False, 2)
        assert str(verdict) == "entry 2 of the audit of default does not have the content that was recorded"

    def test_a_verification_that_breaks_begins_again(self, registry: registrar.Registry, audited: State) -> None:
        audited.break_verifications = 2
        assert registry.verify_audit().is_intact
        assert len(audited.seen(pb.VerifyAuditRequest)) == 3

    def test_a_kept_head_finds_a_history_that_was_written_anew(
        self, registry: registrar.Registry, audited: State
    ) -> None:
        kept = registry.audit_head()
        record(audited)
        assert registry.verify_audit(kept=kept).is_intact
        assert registry.verify_audit(kept=registrar.AuditHead("", 0, "", "")).is_intact
        audited.audit.clear()
        for _ in range(7):
            record(audited, comment="never mind")
        assert registry.verify_audit().is_intact
        verdict = registry.verify_audit(kept=kept)
        assert (verdict.is_intact, verdict.altered_position) == (False, None)
        del audited.audit[3:]
        assert registry.verify_audit(kept=kept).altered_position == 4

    def test_an_export_has_what_there_was_when_it_began(
        self, registry: registrar.Registry, audited: State, tmp_path: Path
    ) -> None:
        seen: list[int] = []
        path = tmp_path / "audit.jsonl"

        def grow(count: int) -> None:
            seen.append(count)
            record(audited)

        head = registry.export_audit(path, progress=grow)
        assert (head.tree_size, seen) == (5, [5])
        assert path.read_bytes().splitlines()[1:-1] == [event.content for event in audited.audit[:5]]
        assert verify_export(path, kept=head).is_intact

    def test_an_altered_audit_is_exported_as_it_is(
        self, registry: registrar.Registry, audited: State, tmp_path: Path
    ) -> None:
        alter(audited, 2)
        registry.export_audit(tmp_path / "audit.jsonl")
        assert verify_export(tmp_path / "audit.jsonl").altered_position == 2

    def test_an_event_loop_has_the_same(self, target: str, audited: State, tmp_path: Path) -> None:
        async def calls() -> list[object]:
            async with aio.connect(target) as registry:
                head = await registry.audit_head()
                return [
                    head.tree_size,
                    [entry.position async for entry in registry.audit_events(model="churn")],
                    (await registry.audit_proof(position=2)).is_valid,
                    (await registry.verify_audit(kept=head)).is_intact,
                    (await registry.export_audit(tmp_path / "audit.jsonl")) == head,
                ]

        assert asyncio.run(calls()) == [5, [4, 3, 2, 1], True, True, True]


class TestCommands:
    def test_a_list_says_who_what_on_what_when_and_why(self, run: Run, audited: State) -> None:
        code, out, _ = run("audit", "list")
        assert code == 0
        header, *rows = [line.split("   ") for line in out.splitlines()]
        cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
        assert [cell.strip() for cell in header if cell.strip()] == ["#", "WHEN", "WHO", "WHAT", "ON", "OUTCOME", "WHY"]
        assert [row[0] for row in cells] == ["5", "4", "3", "2", "1"]
        assert cells[0][2:] == ["user:alice", "role_binding.created", "-", "done"]
        assert cells[1][4:] == ["churn/1 @champion", "done", "\N{REPLACEMENT CHARACTER}[31mred"]
        assert cells[2][1:] == [
            f"{EPOCH + timedelta(hours=3):%Y-%m-%d %H:%M} UTC",
            "service:ci",
            "version.stage_changed",
            "churn/1",
            "REFUSED PERMISSION_DENIED",
            "hurry",
        ]
        assert cells[3][-1] == "better on the eu slice"

    def test_a_list_is_limited_and_says_so(self, run: Run, audited: State) -> None:
        code, out, _ = run("audit", "list", "--limit", "2", "--json")
        document = json.loads(out)
        assert (code, document["is_more"]) == (0, True)
        assert [event["position"] for event in document["events"]] == [5, 4]
        assert json.loads(document["events"][0]["content"])["action"] == "role_binding.created"
        assert "There are more" in run("audit", "list", "-n", "4")[1]
        assert "There are more" not in run("audit", "list", "-n", "5")[1]

    def test_a_list_is_narrowed(self, run: Run, audited: State) -> None:
        _, out, _ = run("audit", "list", "--refused", "--json", "--since", "2026-03-01", "--until", "2026-03-01T14:05")
        assert [event["position"] for event in json.loads(out)["events"]] == [3]
        request = audited.seen(pb.ListAuditEventsRequest)[-1]
        assert request.start_time.ToDatetime(UTC) == datetime(2026, 3, 1, tzinfo=UTC)
        assert request.end_time.ToDatetime(UTC) == datetime(2026, 3, 1, 14, 5, tzinfo=UTC)
        run(
            "audit", "list", "--model", "churn", "--version", "3", "--actor", "user:a", "--action", "b", "--since", "7d"
        )
        request = audited.seen(pb.ListAuditEventsRequest)[-1]
        assert (request.model, request.version, request.actor, request.action) == ("churn", 3, "user:a", "b")
        ago = datetime.now(UTC) - request.start_time.ToDatetime(UTC)
        assert timedelta(days=7) <= ago < timedelta(days=7, minutes=5)
        assert run("audit", "list", "--actor", "nobody")[1] == "There is no such entry.\n"

    @pytest.mark.parametrize("arguments", [("--version", "3"), ("--since", "yesterday"), ("--until", "2026-13-01")])
    def test_what_makes_no_sense_is_wrong_use(self, run: Run, arguments: tuple[str, ...]) -> None:
        assert run("audit", "list", *arguments)[0] == ExitCode.USAGE

    def test_the_head_is_shown_and_kept(self, run: Run, audited: State, tmp_path: Path) -> None:
        code, out, _ = run("audit", "head")
        assert code == 0
        assert out.startswith("Audit of tenant default\n")
        kept = tmp_path / "head.json"
        kept.write_text(run("audit", "head", "--json")[1])
        assert run("audit", "verify", "--head", kept)[:2] == (0, "the audit of default is intact: 5 entries\n")
        audited.audit.pop()
        code, _, err = run("audit", "verify", "--head", kept)
        assert code == ExitCode.DATA_LOSS
        assert "entry 5 of the audit of default is missing: the head that was kept is of 5 entries" in err
        assert "AUDIT_ALTERED (position=5 tenant=default)" in err

    def test_an_altered_audit_ends_with_a_code_of_its_own(self, run: Run, audited: State) -> None:
        alter(audited, 4)
        code, out, err = run("audit", "verify", "--json")
        assert code == ExitCode.DATA_LOSS
        assert (json.loads(out)["is_intact"], json.loads(out)["altered_position"]) == (False, 4)
        assert "error: entry 4 of the audit of default does not have the content that was recorded" in err

    def test_an_export_is_verified_without_any_connection(
        self, run: Run, audited: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file, kept = tmp_path / "audit.jsonl", tmp_path / "earlier.jsonl"
        assert run("audit", "export", kept)[0] == 0
        record(audited)
        code, out, err = run("audit", "export", file)
        assert (code, out.startswith("Audit of tenant default\n")) == (0, True)
        assert "registrar audit verify" in err
        root = json.loads(kept.read_bytes().splitlines()[-1])["head"]["root_hash"]
        monkeypatch.setenv("REGISTRAR_SERVER", "127.0.0.1:1")
        asked = len(audited.requests)
        assert run("audit", "verify", file)[:2] == (0, "the audit of default is intact: 6 entries\n")
        assert run("audit", "verify", file, "--head", kept)[0] == 0
        assert run("audit", "verify", file, "--root", root.upper(), "--size", "5")[0] == 0
        assert run("audit", "verify", file, "--root", root, "--size", "4")[0] == ExitCode.DATA_LOSS
        assert run("audit", "verify", kept, "--head", file)[0] == ExitCode.DATA_LOSS
        file.write_bytes(file.read_bytes().replace(b"user:alice", b"user:mallo", 1))
        code, _, err = run("audit", "verify", file)
        assert code == ExitCode.DATA_LOSS
        assert "entry 1 of the audit of default" in err
        assert len(audited.requests) == asked

    def test_verifying_a_file_loads_nothing_that_connects(self, registry: registrar.Registry, tmp_path: Path) -> None:
        registry.export_audit(tmp_path / "audit.jsonl")
        program = (
            "import sys; from registrar.cli.app import main; code = main(sys.argv[1:]);"
            "print(sorted({'grpc', 'ssl', 'google.protobuf', 'registrar.client'} & set(sys.modules))); sys.exit(code)"
        )
        command = [sys.executable, "-c", program, "audit", "verify", str(tmp_path / "audit.jsonl")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stdout) == (0, "the audit of default is intact: 0 entries\n[]\n"), done.stderr

    def test_progress_is_shown_on_a_terminal_and_gone_at_the_end(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for is_terminal, is_quiet in ((True, False), (True, True), (False, False)):
            monkeypatch.setattr(sys.stderr, "isatty", lambda is_terminal=is_terminal: is_terminal)
            with Counter("checked", is_quiet=is_quiet) as counter:
                counter.show(12_000)
            shown = "checked 12,000 entries"
            expected = f"\r{shown}\r{' ' * len(shown)}\r" if is_terminal and not is_quiet else ""
            assert capsys.readouterr() == ("", expected)

    @pytest.mark.parametrize(
        "arguments",
        [("--root", "aa"), ("--size", "3"), ("--size", "3", "--root", "aa", "--head", "{head}"), ("{folder}",)],
    )
    def test_half_a_head_is_wrong_use(self, run: Run, arguments: tuple[str, ...], tmp_path: Path) -> None:
        head = tmp_path / "head.json"
        head.write_text('{"tenant":"default","tree_size":0,"root_hash":"","last_hash":""}')
        given = [argument.format(head=head, folder=tmp_path) for argument in arguments]
        assert run("audit", "verify", *given)[0] == ExitCode.USAGE

    def test_a_file_without_a_head_says_so(self, run: Run, tmp_path: Path) -> None:
        wrong = tmp_path / "head.json"
        wrong.write_text("{}")
        code, _, err = run("audit", "verify", "--head", wrong)
        assert (code, "AUDIT_HEAD_UNREADABLE" in err) == (ExitCode.REFUSED, True)

    def test_a_place_that_cannot_be_written_says_so(self, run: Run, tmp_path: Path) -> None:
        code, _, err = run("audit", "export", tmp_path / "nowhere" / "audit.jsonl")
        assert code == ExitCode.REFUSED
        assert "cannot be written: No such file or directory" in err

    def test_a_proof_is_shown_and_checked(self, run: Run, audited: State) -> None:
        code, out, _ = run("audit", "proof", "3")
        assert code == 0
        assert out.startswith("entry 3 is in the audit of 5 entries\n")
        assert audited.audit[2].hash in out
        assert json.loads(run("audit", "proof", "1", "--tree-size", "2", "--json")[1])["tree_size"] == 2
        code, _, err = run("audit", "proof", "6")
        assert (code, "try: `registrar audit head`" in err) == (ExitCode.NOT_FOUND, True)
