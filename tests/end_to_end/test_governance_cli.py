"""Policies, approvals, comments and checks at the command line, against a whole server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import registrar
from registrar.cli import main
from registrar.cli.exits import ExitCode
from tests.fixtures.server import RunningServer

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(server: RunningServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process: exit code, stdout, stderr."""
    monkeypatch.setenv("REGISTRAR_SERVER", server.address)

    def command(*arguments: str | Path) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return command


@pytest.fixture
def version(registry: registrar.Registry, unique_name: str, tmp_path: Path) -> str:
    """A version with a metric, in no stage."""
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "model.bin").write_bytes(unique_name.encode())
    return str(registry.push(tmp_path / "bundle", name=unique_name, metrics={"f1": 0.8}))


@pytest.fixture
def gate(run: Run, version: str, tmp_path: Path) -> Path:
    """A policy about the model's moves to production, and its file."""
    model = version.partition("/")[0]
    document = {
        "name": f"{model}-gate",
        "scope": {"model_patterns": [model], "target_stages": ["production"]},
        "rules": {
            "approval": {"approvers": [{"role": "risk-officer"}]},
            "metric_gates": [{"metric": "f1", "min": 0.85}],
        },
    }
    path = write(tmp_path / "gate.json", document)
    assert run("policy", "apply", path) == (0, f"{model}-gate is made: revision 1\n", "")
    return path


def write(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(json.dumps(document))
    return path


def demand(path: Path, minimum: float) -> Path:
    """The same policy with another threshold."""
    document = json.loads(path.read_text())
    document["rules"]["metric_gates"][0]["min"] = minimum
    return write(path, document)


def test_what_a_refusal_names_can_be_mended_until_the_move_is_made(run: Run, version: str, gate: Path) -> None:
    code, out, err = run("promote", version, "--to", "production")
    name = version.replace("/1", "-gate")
    assert (code, out) == (ExitCode.REFUSED, "")
    assert err.splitlines()[:4] == [
        f"error: version 1 of {version[:-2]} cannot go to stage production, as {name} demands",
        f"  {name}",
        "    - f1 is 0.8; at least 0.85 is demanded",
        "    - 1 approval as risk-officer is needed: request one",
    ]
    assert f"`registrar approval request {version} --to production`" in err
    assert run("policy", "apply", demand(gate, 0.75))[1].startswith(f"{name} is changed: revision 2\n")
    code, out, _ = run("approval", "request", version, "--to", "production")
    approval = out.rpartition("id ")[2].strip()
    assert (code, "Besides" in out) == (0, False)
    assert f"`registrar approval show {approval}`" in run("promote", version, "--to", "production")[2]
    assert "is approved" in run("approve", version, "--notes", "fine")[1]
    assert run("promote", version, "--to", "production", "-m", "go")[:2] == (0, f"{version} is in production\n")
    assert run("approval", "show", approval)[1].splitlines()[0].endswith("→ production  used")
    card = [" ".join(line.split()) for line in run("get", version)[1].splitlines()]
    assert any(line.startswith("approval used by local") and line.endswith("fine") for line in card)


def test_an_approval_of_another_revision_of_a_policy_is_void_and_says_why(run: Run, version: str, gate: Path) -> None:
    run("approval", "request", version, "--to", "production")
    assert "is approved" in run("approve", version)[1]
    run("policy", "apply", demand(gate, 0.7))
    found = json.loads(run("approval", "list", version[:-2], "--json")[1])["approvals"][0]
    assert (found["status"], "revision" in found["void_reason"]) == ("void", True)
    assert "void" in run("promote", version, "--to", "production")[2].lower()


def test_what_is_shown_can_be_applied_and_a_draft_be_tried(run: Run, version: str, gate: Path) -> None:
    name = version.replace("/1", "-gate")
    shown = gate.with_name("shown.json")
    shown.write_text(run("policy", "show", name, "--json")[1])
    assert run("policy", "apply", shown) == (0, f"{name} is as the file says: revision 1\n", "")
    code, out, _ = run("policy", "test", demand(gate, 0.75), "--model", version[:-2])
    assert (code, out.splitlines()[0]) == (0, f"{version} → production: passes")
    run("policy", "apply", gate)
    assert run("policy", "apply", shown)[0] == ExitCode.CONFLICT  # its etag is that of the first revision
    assert len(json.loads(run("policy", "history", name, "--json")[1])["revisions"]) == 2
    assert run("policy", "delete", name)[0] == 0
    assert run("promote", version, "--to", "production")[0] == 0


@pytest.mark.usefixtures("gate")
def test_break_glass_and_comments_stand_in_the_history(run: Run, version: str) -> None:
    model = version[:-2]
    assert run("comment", version, "the night shift knows")[0] == 0
    code, out, _ = run("promote", version, "--to", "production", "--break-glass", "-m", "INC-77", "--json")
    overridden = {gate["type"] for gate in json.loads(out)["overridden_gates"]}
    assert (code, overridden) == (0, {"METRIC", "APPROVAL"})
    told = [" ".join(line.split()).rpartition(" 1 ")[2] for line in run("history", model)[1].splitlines()[1:]]
    assert told == [
        "none → production (break-glass) local INC-77",
        "comment local the night shift knows",
    ]
    assert json.loads(run("history", model, "--json")[1])["transitions"][0]["is_break_glass"]


def test_an_unknown_check_outcome_and_a_missing_version_end_as_documented(run: Run, version: str) -> None:
    assert run("check", "report", version, "pickle-scan", "failed", "-m", "os.system")[0] == 0
    assert "failed" in run("check", "list", version)[1]
    assert run("check", "list", f"{version[:-2]}/9")[0] == ExitCode.NOT_FOUND
    assert run("check", "report", version, "Not A Name", "passed")[0] == ExitCode.REFUSED
    assert run("approval", "request", version, "--to", "staging")[0] == ExitCode.REFUSED
