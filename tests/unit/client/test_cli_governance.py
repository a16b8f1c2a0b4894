"""`policy`, `approval`, `approve`, `comment`, `check`, and moves under policies: what they print and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from registrar.cli import main
from registrar.cli.exits import ExitCode, report
from registrar.cli.policy_cards import policy_card, span
from registrar.errors import FailedPrecondition, Precondition
from registrar.policy_types import Policy
from registrar.v1 import lifecycle_service_pb2 as pb
from registrar.v1 import model_version_pb2, policy_pb2
from tests.unit.client.fake_state import EPOCH_SECONDS, Failure, State
from tests.unit.client.test_policy_documents import FULL

Run = Callable[..., tuple[int, str, str]]
APPROVAL = f"{1:032x}"
GATE = {
    "name": "gate",
    "description": "for customers",
    "scope": {"target_stages": ["production"]},
    "rules": {"metric_gates": [{"metric": "f1", "min": 0.85}], "required_files": ["MLmodel"]},
}


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
def churn(run: Run) -> None:
    """One version of the model."""
    assert run("register", "churn", "--run", "runs:/1/model")[0] == 0


@pytest.fixture
def gates(state: State) -> list[policy_pb2.FailedGate]:
    """What every version fails: demands of two policies."""
    found = [("gate", "METRIC", "metrics/f1", "f1 is 0.8; at least 0.85 is demanded")]
    found += [("gate", "FILE", "files/MLmodel", "no file matches MLmodel")]
    found += [("bias", "SLICE_GAP", "metrics/f1/region", "f1 is 0.9 on region=eu and 0.7 on region=us")]
    for policy, kind, subject, description in found:
        ref = policy_pb2.PolicyRef(tenant="default", name=policy, revision=1)
        state.failed_gates.append(
            policy_pb2.FailedGate(type=kind, policy=ref, subject=subject, description=description)
        )
    return state.failed_gates


LISTED_GATES = [
    "  gate",
    "    - f1 is 0.8; at least 0.85 is demanded",
    "    - no file matches MLmodel",
    "  bias",
    "    - f1 is 0.9 on region=eu and 0.7 on region=us",
]
SHOWN = "`registrar policy show gate`, `registrar policy show bias`"


def write(folder: Path, **changed: Any) -> Path:
    path = folder / "gate.json"
    path.write_text(json.dumps(GATE | changed))
    return path


class TestPolicy:
    def test_apply_makes_it_then_says_what_it_changes(self, run: Run, tmp_path: Path, state: State) -> None:
        assert run("policy", "apply", write(tmp_path)) == (0, "gate is made: revision 1\n", "")
        assert run("policy", "apply", write(tmp_path)) == (0, "gate is as the file says: revision 1\n", "")
        rules = {"metric_gates": [{"metric": "f1", "min": 0.9}], "required_files": ["MLmodel"]}
        code, out, _ = run("policy", "apply", write(tmp_path, rules=rules), "--dry-run")
        lines = ["  - f1 at least 0.85", "  + f1 at least 0.9"]
        assert (code, out.splitlines()) == (0, ["gate would change", *lines])
        assert len(state.policies["gate"]) == 1
        code, out, _ = run("policy", "apply", write(tmp_path, rules=rules))
        assert (code, out.splitlines()) == (0, ["gate is changed: revision 2", *lines])
        assert [request.etag for request in state.seen(pb.UpdatePolicyRequest)] == ["p1"] * 3

    def test_a_dry_run_makes_nothing(self, run: Run, tmp_path: Path, state: State) -> None:
        assert run("policy", "apply", write(tmp_path), "--dry-run")[:2] == (0, "gate would be made\n")
        assert state.policies == {}

    def test_what_show_prints_can_be_applied(self, run: Run, tmp_path: Path, state: State) -> None:
        (tmp_path / "full.json").write_text(json.dumps(FULL.to_document()))
        assert run("policy", "apply", tmp_path / "full.json")[0] == 0
        (tmp_path / "shown.json").write_text(run("policy", "show", "production-gate", "--json")[1])
        assert run("policy", "apply", tmp_path / "shown.json")[1] == (
            "production-gate is as the file says: revision 1\n"
        )
        state.policies["production-gate"][0].etag = "p9"
        assert run("policy", "apply", tmp_path / "shown.json")[0] == ExitCode.CONFLICT

    def test_the_tenant_of_the_command_line_comes_before_the_files(
        self, run: Run, tmp_path: Path, state: State
    ) -> None:
        path = write(tmp_path, tenant="acme")
        run("policy", "apply", path)
        run("--tenant", "globex", "policy", "apply", path)
        run("policy", "apply", path, "--tenant", "*")
        assert [request.tenant for request in state.seen(pb.GetPolicyRequest)] == ["acme", "globex", "*"]

    def test_a_wrong_file_is_refused_with_every_path_before_anything_is_sent(
        self, run: Run, tmp_path: Path, state: State
    ) -> None:
        code, out, err = run("policy", "apply", write(tmp_path, rules={"metric_gate": [], "max_holders": "two"}))
        assert (code, out, state.requests) == (ExitCode.REFUSED, "", [])
        assert err.splitlines()[0] == "error: this is no policy"
        assert "  - rules.max_holders: is 'two', and must be a whole number" in err.splitlines()
        assert "  - rules.metric_gate: is not known here; there are approval, metric_gates," in err

    def test_show_says_all_that_is_demanded(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "full.json").write_text(json.dumps(FULL.to_document()))
        run("policy", "apply", tmp_path / "full.json")
        code, out, _ = run("policy", "show", "production-gate")
        assert code == 0
        *head, demands = out.split("\n\n")
        assert head[0].splitlines() == ["production-gate  of acme  revision 1", FULL.description]
        facts = [" ".join(line.split()) for line in head[1].splitlines()]
        assert facts[:3] == [
            "models churn-*",
            "moves to production, @champion, rollbacks too",
            "risk high, not assessed",
        ]
        assert demands.splitlines() == [
            "It demands",
            "  - it comes from staging",
            "  - approval by 2 of ml-lead, then risk-officer; four eyes; people only; counts for 30 days",
            "  - f1 at least 0.85; at most 0.01 of the holder's worse; on every slice too; slices at most 0.1 apart",
            "  - latency at most 20.0; on region=eu",
            "  - a file MLmodel",
            "  - a file *.safetensors",
            "  - a model card with intended_use, caveats_and_recommendations; at most 90 days old; written by somebody",
            "  - known origin: clean_git_commit, training_data",
            "  - a signature that breaks no caller of the holder's",
            "  - an assessed risk",
            "  - check pickle-scan passed",
            "  - check openssf-signature passed, where it was reported",
            "  - at most 2 at once",
        ]

    def test_history_says_what_each_revision_changed(self, run: Run, tmp_path: Path) -> None:
        run("policy", "apply", write(tmp_path))
        run("policy", "apply", write(tmp_path, description="for all"))
        code, out, _ = run("policy", "history", "gate")
        newest, oldest = out.split("\n\n")
        assert code == 0
        assert newest.startswith("revision 2")
        assert newest.splitlines()[1:] == ["  - description: for customers", "  + description: for all"]
        assert "  + a file MLmodel" in oldest.splitlines()

    def test_list_and_delete(self, run: Run, tmp_path: Path) -> None:
        assert "policy apply" in run("policy", "list")[1]
        run("policy", "apply", write(tmp_path))
        lines = run("policy", "list")[1].splitlines()
        assert " ".join(lines[1].split()).startswith("gate default 1 all production any")
        assert run("policy", "delete", "gate") == (0, "the policy gate is gone\n", "")
        assert run("policy", "show", "gate")[0] == ExitCode.NOT_FOUND
        assert "deleted" in run("policy", "list", "--deleted")[1]

    @pytest.mark.usefixtures("churn", "gates")
    def test_a_trial_says_who_would_pass_and_why_others_would_not(self, run: Run, tmp_path: Path, state: State) -> None:
        run("register", "churn", "--run", "runs:/2/model")
        code, out, _ = run("policy", "test", write(tmp_path), "--newest", "5")
        assert code == 0
        assert out.splitlines() == [
            "churn/2 → production: does not pass (measured against 1)",
            "  - f1 is 0.8; at least 0.85 is demanded",
            "  - no file matches MLmodel",
            "  - f1 is 0.9 on region=eu and 0.7 on region=us",
            "churn/1 → production: does not pass (was there)",
            "  - f1 is 0.8; at least 0.85 is demanded",
            "  - no file matches MLmodel",
            "  - f1 is 0.9 on region=eu and 0.7 on region=us",
            "",
            "0 of 2 would pass. There are more versions than were looked at.",
        ]
        state.failed_gates.clear()
        assert run("policy", "test", "gate", "--model", "churn", "--version", "2")[1].endswith("2 of 2 would pass.\n")
        draft, by_name = state.seen(pb.TestPolicyRequest)
        assert (draft.draft.name, draft.newest, by_name.name, list(by_name.versions)) == ("gate", 5, "gate", [2])
        assert run("policy", "test", "gate", "--version", "2")[0] == ExitCode.USAGE


@pytest.mark.usefixtures("churn")
class TestMoves:
    @pytest.mark.usefixtures("gates")
    def test_a_refusal_names_every_gate_by_policy_and_what_to_do(self, run: Run, state: State) -> None:
        gate = policy_pb2.PolicyRef(name="gate")
        state.failed_gates.append(
            policy_pb2.FailedGate(type="APPROVAL", policy=gate, subject="approval", description="nobody was asked")
        )
        code, out, err = run("promote", "churn/1", "--to", "production")
        assert (code, out) == (ExitCode.REFUSED, "")
        assert err.splitlines() == [
            "error: policy not met",
            *LISTED_GATES[:3],
            "    - nobody was asked",
            *LISTED_GATES[3:],
            "  reason: POLICY_NOT_MET (model=churn policies=gate, bias stage=production version=1)",
            f"  try: mend that, and come again; all that is demanded: {SHOWN}",
            "  try: `registrar approval request churn/1 --to production` asks those who must approve",
        ]

    @pytest.mark.usefixtures("gates")
    @pytest.mark.parametrize(
        "command", [("promote", "churn/1", "--to", "production"), ("alias", "set", "churn", "champion", "1")]
    )
    def test_break_glass_moves_and_says_what_it_overrode(self, run: Run, command: tuple[str, ...]) -> None:
        assert run(*command)[0] == ExitCode.REFUSED
        code, out, err = run(*command, "--break-glass", "-m", "outage")
        assert (code, err) == (0, "")
        assert out.splitlines()[1:] == ["Against what policies demand:", *LISTED_GATES]

    @pytest.mark.parametrize(
        "command",
        [
            ("promote", "churn/1", "--to", "production"),
            ("rollback", "churn"),
            ("alias", "set", "churn", "champion", "1"),
        ],
        ids=lambda command: command[0],
    )
    def test_break_glass_wants_a_comment_and_asks_on_a_terminal(
        self, run: Run, state: State, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sent = len(state.requests)
        code, _, err = run(*command, "--break-glass")
        assert (code, "--break-glass needs --comment" in " ".join(err.split())) == (ExitCode.USAGE, True)
        monkeypatch.setattr("registrar.cli.session.sys.stdin.isatty", lambda: True)
        monkeypatch.setattr(
            "registrar.cli.session.typer.confirm", lambda question, **_: "against the policies" not in question
        )
        code, _, err = run(*command, "--break-glass", "--comment", "outage")
        assert (code, err) == (ExitCode.INTERRUPTED, "nothing was changed\n")
        assert len(state.requests) == sent
        assert run(*command, "--break-glass", "--comment", "outage", "--yes")[0] != ExitCode.INTERRUPTED

    def test_an_alias_can_be_tried(self, run: Run, state: State) -> None:
        assert run("alias", "set", "churn", "champion", "1", "--dry-run")[:2] == (
            0,
            "churn@champion would be churn/1\n",
        )
        assert not state.versions["churn"][0].aliases

    def test_an_approval_that_was_asked_for_is_shown_and_not_asked_for_again(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        description = f"1 approval as risk-officer is needed: approval {APPROVAL} is PENDING"
        error = FailedPrecondition(
            "no", reason="POLICY_NOT_MET", preconditions=[Precondition("APPROVAL", "gate/approval", description)]
        )
        report(error)
        hints = [line for line in capsys.readouterr().err.splitlines() if line.startswith("  try: ")]
        assert hints == [f"  try: `registrar approval show {APPROVAL}` says who must still approve"]

    def test_the_message_is_cut_where_the_list_repeats_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        error = FailedPrecondition(
            "version 3 of churn cannot go to alias champion, as gate demands: a; b",
            reason="POLICY_NOT_MET",
            metadata={"model": "churn", "version": "3", "alias": "champion"},
            preconditions=[Precondition("APPROVAL", "gate/approval", "a"), Precondition("APPROVAL", "gate/more", "b")],
        )
        assert report(error) is ExitCode.REFUSED
        err = capsys.readouterr().err.splitlines()
        assert err[:4] == [
            "error: version 3 of churn cannot go to alias champion, as gate demands",
            "  gate",
            "    - a",
            "    - b",
        ]
        assert err[5:] == ["  try: `registrar approval request churn/3 --alias champion` asks those who must approve"]


@pytest.mark.usefixtures("churn")
class TestApprovals:
    @pytest.mark.usefixtures("gates")
    def test_a_request_says_who_is_awaited_and_what_else_is_missing(self, run: Run) -> None:
        code, out, _ = run("approval", "request", "churn/1", "--to", "production", "-m", "better")
        assert code == 0
        assert out.splitlines() == [
            f"churn/1 → production awaits risk-officer; id {APPROVAL}",
            "Besides, it does not meet yet",
            *LISTED_GATES,
        ]

    @pytest.mark.parametrize("where", [(), ("--to", "staging", "--alias", "champion")], ids=["none", "two"])
    def test_a_request_names_one_target(self, run: Run, where: tuple[str, ...]) -> None:
        assert run("approval", "request", "churn/1", *where)[0] == ExitCode.USAGE

    @pytest.mark.parametrize("which", ["churn/1", APPROVAL])
    def test_approve_takes_a_version_or_an_id_and_says_what_comes_next(
        self, run: Run, state: State, which: str
    ) -> None:
        run("approval", "request", "churn/1", "--to", "production")
        code, out, _ = run("approve", which, "--notes", "fine")
        moves = "`registrar promote churn/1 --to production` moves it"
        assert (code, out) == (0, f"churn/1 → production is approved: {moves}; id {APPROVAL}\n")
        (request,) = state.seen(pb.DecideApprovalRequest)
        assert (request.approver_role, request.notes) == ("risk-officer", "fine")

    def test_of_several_roles_one_is_named(self, run: Run, state: State) -> None:
        state.awaiting[:] = [policy_pb2.ApproverRequirement(role=role, count=2) for role in ("ml-lead", "risk-officer")]
        run("approval", "request", "churn/1", "--alias", "champion")
        code, _, err = run("approve", "churn/1")
        assert (code, "ml-lead, risk-officer are awaited" in " ".join(err.split())) == (ExitCode.USAGE, True)
        code, out, _ = run("approve", "churn/1", "--as", "ml-lead")
        assert (code, out) == (0, f"churn/1 → @champion awaits 2 of risk-officer; id {APPROVAL}\n")
        out = run("approve", "churn/1", "--as", "risk-officer")[1]
        assert "`registrar alias set churn champion 1` moves it" in out

    def test_of_several_approvals_one_is_named(self, run: Run) -> None:
        run("approval", "request", "churn/1", "--to", "production")
        run("approval", "request", "churn/1", "--alias", "champion")
        code, _, err = run("approve", "churn/1")
        assert (code, "several open approvals" in err, APPROVAL in err) == (ExitCode.REFUSED, True, True)
        assert "churn/1 → @champion is approved" in run("approve", "churn/1", "--alias", "champion")[1]

    def test_what_has_become_void_does_not_stand_in_the_way(self, run: Run, state: State) -> None:
        run("approval", "request", "churn/1", "--to", "production")
        state.approvals[0].status = model_version_pb2.APPROVAL_STATUS_VOID
        state.approvals[0].void_reason = "the model card has revision 3"
        run("approval", "request", "churn/1", "--to", "production")
        assert run("approve", "churn/1")[0] == 0
        assert [len(approval.decisions) for approval in state.approvals] == [1, 0]

    def test_a_rejection_needs_notes(self, run: Run) -> None:
        run("approval", "request", "churn/1", "--to", "production")
        assert run("reject", "churn/1")[0] == ExitCode.USAGE
        out = run("reject", "churn/1", "--notes", "drift in eu")[1]
        assert out == f"churn/1 → production is rejected; id {APPROVAL}\n"

    def test_where_nobody_has_asked_that_is_said(self, run: Run) -> None:
        for which in ("churn/1", APPROVAL):
            code, _, err = run("approve", which)
            assert (code, "registrar approval request" in err) == (ExitCode.NOT_FOUND, True)

    def test_list_show_and_withdraw(self, run: Run, state: State) -> None:
        assert run("approval", "list")[1] == "No approvals.\n"
        run("approval", "request", "churn/1", "--to", "production", "-m", "better")
        row = run("approval", "list", "churn", "--awaiting", "risk-officer", "--open")[1].splitlines()[1]
        assert row.split()[:5] == [APPROVAL, "churn/1", "production", "pending", "risk-officer"]
        assert run("approval", "list", "--version", "1")[0] == ExitCode.USAGE
        run("approve", "churn/1", "--notes", "fine")
        state.approvals[0].expire_time.seconds = EPOCH_SECONDS + 3600
        card = run("approval", "show", APPROVAL)[1]
        lines = [" ".join(line.split()) for line in card.splitlines()]
        assert lines[0] == "churn/1 → production approved"
        assert {"why better", "policies gate revision 1"} <= set(lines)
        assert lines[-1].endswith("approved as risk-officer user:risk@example.com (oidc) fine")
        assert run("approval", "show", APPROVAL, "--model", "churn")[1] == card
        assert run("approval", "withdraw", APPROVAL)[1] == f"churn/1 → production is withdrawn; id {APPROVAL}\n"


@pytest.mark.usefixtures("churn")
class TestReviews:
    def test_comments_are_shown_in_full(self, run: Run) -> None:
        assert run("comments", "churn")[1] == "No comments.\n"
        assert run("comment", "churn/1", "why?\nand how?") == (0, f"noted on version 1; id {1:032x}\n", "")
        run("comment", "churn/1", "so", "--reply-to", f"{1:032x}")
        answer, question = run("comments", "churn")[1].rstrip("\n").split("\n\n")
        assert answer.splitlines()[0].endswith(f"answers {1:032x}")
        assert question.splitlines()[1:] == ["  why?", "  and how?"]

    def test_checks_are_reported_and_listed(self, run: Run) -> None:
        assert run("check", "list", "churn/1")[1] == "No check was reported.\n"
        reported = run("check", "report", "churn/1", "pickle-scan", "passed", "-m", "no opcodes")
        assert reported == (0, "pickle-scan of version 1: passed\n", "")
        assert run("check", "list", "churn/1")[1].splitlines()[1].split()[-5:] == (
            ["pickle-scan", "passed", "local", "no", "opcodes"]
        )
        assert run("check", "report", "churn/1", "pickle-scan", "maybe")[0] == ExitCode.USAGE


@pytest.mark.usefixtures("churn")
class TestHistory:
    @pytest.fixture
    def told(self, run: Run, state: State, churn: None) -> None:
        """One of each, with times in this order."""
        run("approval", "request", "churn/1", "--to", "production", "-m", "better")
        run("approve", "churn/1", "--notes", "fine")
        run("promote", "churn/1", "--to", "production", "-m", "go")
        run("alias", "set", "churn", "champion", "1", "--break-glass", "-m", "outage")
        run("comment", "churn/1", "all well")
        state.moves[0].is_break_glass = True
        state.approvals[0].request_time.seconds = EPOCH_SECONDS - 9
        state.approvals[0].decisions[0].decide_time.seconds = EPOCH_SECONDS - 8
        state.transitions[0].transition_time.seconds = EPOCH_SECONDS - 7
        state.moves[0].move_time.seconds = EPOCH_SECONDS - 6

    @pytest.mark.usefixtures("told")
    def test_all_that_happened_stands_in_one_list(self, run: Run) -> None:
        lines = run("history", "churn")[1].splitlines()
        assert lines[0].split() == ["WHEN", "VERSION", "WHAT", "BY", "WHY"]
        assert [" ".join(line.split()).partition("ago ")[2] for line in lines[1:]] == [
            "1 comment local all well",
            "1 @champion set (break-glass) local outage",
            "1 none → production local go",
            "1 approved for production as risk-officer user:risk@example.com fine",
            "1 approval asked for production local better",
        ]

    @pytest.mark.usefixtures("told")
    def test_moves_of_aliases_against_policies_are_marked(self, run: Run) -> None:
        assert run("alias", "history", "churn")[1].splitlines()[1].endswith("break-glass: outage")

    @pytest.mark.usefixtures("told")
    def test_json_has_each_kind_by_itself(self, run: Run) -> None:
        found = json.loads(run("history", "churn", "--json")[1])
        assert {name: len(listed) for name, listed in found.items()} == {
            "transitions": 1,
            "moves": 1,
            "comments": 1,
            "approvals": 1,
        }

    @pytest.mark.usefixtures("told")
    def test_a_period_bounds_approvals_too(self, run: Run) -> None:
        lines = run("history", "churn", "--until", "2025-10-09T08:53:12Z")[1].splitlines()
        assert [line for line in lines if "approv" in line] == [lines[-1]]
        assert "approval asked for" in lines[-1]

    @pytest.mark.usefixtures("told")
    def test_a_server_that_knows_no_approvals_shows_the_rest(self, run: Run, state: State) -> None:
        for method in ("ListComments", "ListApprovals"):
            state.fail_next(method, Failure(grpc.StatusCode.UNIMPLEMENTED))
        code, out, err = run("history", "churn")
        assert (code, len(out.splitlines()), err) == (0, 3, "")


@pytest.mark.usefixtures("churn")
@pytest.mark.parametrize(
    ("command", "keys"),
    [
        ("policy list", {"policies"}),
        ("policy show gate", {"name", "scope", "rules", "revision", "digest"}),
        ("policy history gate", {"revisions"}),
        ("policy test gate", {"trials", "is_truncated"}),
        ("policy delete gate", {"name", "delete_time"}),
        ("approval request churn/1 --to staging", {"approval", "failed_gates"}),
        ("approval list", {"approvals"}),
        (f"approval show {APPROVAL}", {"id", "status", "awaiting", "decisions"}),
        ("approve churn/1", {"status", "decisions"}),
        ("reject churn/1 --notes no", {"status", "decisions"}),
        ("approval withdraw churn/1", {"status"}),
        ("comment churn/1 hello", {"id", "text"}),
        ("comments churn", {"comments"}),
        ("check report churn/1 scan failed", {"name", "outcome"}),
        ("check list churn/1", {"checks"}),
        ("promote churn/1 --to staging", {"version", "overridden_gates"}),
        ("alias set churn champion 1", {"version", "previous_version", "overridden_gates"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_json_is_one_document_with_stable_keys(run: Run, tmp_path: Path, command: str, keys: set[str]) -> None:
    run("policy", "apply", write(tmp_path))
    run("approval", "request", "churn/1", "--to", "production")
    code, out, err = run(*command.split(), "--json")
    assert (code, err) == (0, "")
    assert keys <= set(json.loads(out))


@pytest.mark.usefixtures("churn")
def test_a_version_says_how_its_last_approval_stands(run: Run, state: State) -> None:
    summary = state.versions["churn"][0].approval
    summary.status = model_version_pb2.APPROVAL_STATUS_APPROVED
    summary.approved_by.extend(["user:lead@example.com", "user:risk@example.com"])
    summary.approval_time.seconds = EPOCH_SECONDS
    lines = [" ".join(line.split()) for line in run("get", "churn/1")[1].splitlines()]
    assert "approval approved by user:lead@example.com, user:risk@example.com 2025-10-09 08:53 UTC" in lines


def test_what_others_wrote_does_not_steer_the_terminal() -> None:
    policy = Policy("gate", FULL.scope, FULL.rules, description="red \x1b[31m")
    assert "\x1b" not in policy_card(policy)


@pytest.mark.parametrize(
    ("text", "said"),
    [("30d", "30 days"), ("1d", "1 day"), ("36h", "36 hours"), ("90m", "90 minutes"), ("1.5s", "1.5 seconds")],
)
def test_a_span_is_said_in_the_largest_unit_that_fits(text: str, said: str) -> None:
    approval = Policy.from_document(GATE | {"rules": {"approval": {"valid_for": text}}}).rules.approval
    assert approval is not None
    assert approval.valid_for is not None
    assert span(approval.valid_for) == said
