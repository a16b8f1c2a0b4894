"""The command `registrar`: what it prints, where, and how it ends."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import grpc
import pytest
import typer
from google.rpc import error_details_pb2

import registrar
from registrar.cli import main
from registrar.cli.exits import MEANINGS, ExitCode, exit_code_of
from registrar.errors import Code, RegistrarError, error_class
from registrar.v1.artifact_service_pb2 import DownloadFileRequest
from registrar.v1.model_version_service_pb2 import SearchModelVersionsRequest
from tests.fixtures.stores import wait_until
from tests.unit.client.fake_reading_store import serve_reading_store
from tests.unit.client.fake_state import Failure, State
from tests.unit.client.fake_store import serve_part_store
from tests.unit.client.fake_uploads import Fault

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
def filled(run: Run, bundle: Path) -> Path:
    """Two versions of the model `churn`, the second in production and champion."""
    assert run("push", bundle, "--name", "churn", "--metric", "auc=0.9", "--param", "n=100")[:2] == (0, "churn/1\n")
    assert run("push", bundle, "--name", "churn", "--metric", "auc=0.95", "--param", "n=200")[:2] == (0, "churn/2\n")
    assert run("promote", "churn/2", "--to", "production")[:2] == (0, "churn/2 is in production\n")
    assert run("alias", "set", "churn", "champion", "2")[:2] == (0, "churn@champion is churn/2\n")
    return bundle


def test_push_keeps_the_types_of_what_is_said(run: Run, bundle: Path) -> None:
    said = ["--param", "n=200", "--param", "lr=0.05", "--param", "b=true", "--param", "s=x", "--metric", "auc=1"]
    more = ["--slice", "region=eu:auc=0.5", "--tag", "t=1", "--git-commit", "abcdef1", "--git-dirty", "--risk", "high"]
    last = ["--parent", "base/1", "--flavor", "sklearn", "--semantic-version", "1.0.0", "--description", "d", "--json"]
    code, out, err = run("push", bundle, "-n", "churn", *said, *more, *last)
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["parameters"] == {"b": True, "lr": 0.05, "n": 200, "s": "x"}
    assert found["metric_slices"] == [{"dimension": "region", "value": "eu", "metrics": {"auc": 0.5}, "dataset": ""}]
    assert (found["tags"], found["risk"]["level"], found["flavors"]) == ({"t": "1"}, "high", ["sklearn"])
    assert (found["provenance"]["git_commit"], found["provenance"]["is_git_dirty"]) == ("abcdef1", True)
    assert (found["provenance"]["parent"], found["semantic_version"]) == ("base/1", "1.0.0")


def test_pull_gives_what_was_pushed_and_says_which_version(run: Run, filled: Path, tmp_path: Path) -> None:
    assert run("pull", "churn@champion", tmp_path / "out") == (0, "churn/2\n", "")
    assert (tmp_path / "out" / "model.pkl").read_bytes() == (filled / "model.pkl").read_bytes()


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("command", "keys"),
    [
        ("get churn:production", {"name", "version", "stage", "metrics", "artifact_uri", "create_time"}),
        ("list", {"models"}),
        ("list churn", {"versions"}),
        ("search --limit 1", {"versions", "is_more"}),
        ("compare churn 1 2", {"versions", "metrics", "recommendation", "recommended_version"}),
        ("history churn", {"transitions"}),
        ("alias history churn", {"moves"}),
        ("info", {"server_version", "limits", "caller", "mirror", "cache_ttl"}),
        ("ping", {"server", "is_serving"}),
        ("promote churn/1 --to staging --dry-run", {"version", "displaced"}),
        ("update churn/1 --tag a=b", {"version", "tags"}),
        ("delete churn/1", {"version", "delete_time"}),
        ("alias delete churn champion", {"alias", "previous_version"}),
    ],
)
def test_json_is_one_document_with_stable_keys(run: Run, command: str, keys: set[str]) -> None:
    code, out, err = run(*command.split(), "--json")
    assert (code, err) == (0, "")
    assert keys <= set(json.loads(out))


@pytest.mark.usefixtures("filled")
def test_json_writes_times_in_utc_and_enums_by_name(run: Run) -> None:
    found = json.loads(run("get", "churn@champion", "--json")[1])
    assert (found["create_time"], found["stage"], found["artifact_kind"], found["aliases"]) == (
        "2025-10-09T08:53:20Z",
        "production",
        "bundle",
        ["champion"],
    )


@pytest.mark.usefixtures("filled")
def test_lists_and_comparisons_are_aligned(run: Run) -> None:
    rows = run("list", "churn")[1].splitlines()
    assert rows[0].split() == ["VERSION", "SEMANTIC", "STAGE", "ALIASES", "REGISTERED", "BY"]
    assert rows[1].split()[:4] == ["2", "-", "production", "@champion"]
    assert rows[0].index("STAGE") == rows[1].index("production")
    lines = run("compare", "churn", "1", ":production")[1].splitlines()
    assert lines[1].split() == ["auc", "↑", "0.9", "0.95*", "+0.05"]
    assert lines[3].split() == ["n", "100", "200"]
    assert lines[-1] == "Version 2 shows improvement across all metrics"
    assert "champion" in run("alias", "history", "churn")[1]
    assert "production" in run("history", "churn")[1]
    assert "churn/2  production  @champion" in run("get", "churn/2")[1]
    assert "local" in run("info")[1]


@pytest.mark.usefixtures("filled")
def test_a_search_shows_which_models_versions_it_found_and_whether_there_are_more(run: Run, state: State) -> None:
    code, out, _ = run("search", "stage = none", "--text", "march", "--order-by", "name desc")
    rows = out.splitlines()
    assert (code, rows[0].split()[:3]) == (0, ["VERSION", "SEMANTIC", "STAGE"])
    assert [row.split()[0] for row in rows[1:]] == ["churn/2", "churn/1"]
    asked = state.requests[-1]
    assert isinstance(asked, SearchModelVersionsRequest)
    assert (asked.filter, asked.query, asked.order_by) == ("stage = none", "march", "name desc")
    assert run("search", "--limit", "1")[1].splitlines()[-1] == "There are more: --limit shows them."
    code, _, err = run("search", "?")
    assert (code, "docs/search.md" in err) == (ExitCode.REFUSED, True)


@pytest.mark.usefixtures("filled")
def test_tags_that_are_not_named_stay(run: Run) -> None:
    run("update", "churn/1", "--tag", "a=1", "--tag", "b=2")
    code, out, _ = run("update", "churn/1", "--tag", "b=3", "--remove-tag", "a", "--deprecate", "old", "--json")
    found = json.loads(out)
    assert (code, found["tags"], found["deprecation_note"]) == (0, {"b": "3"}, "old")


def test_register_takes_a_run_or_a_bundle(run: Run) -> None:
    assert run("register", "churn", "--run", "runs:/1/model")[:2] == (0, "churn/1\n")
    assert run("register", "churn", "--run", "runs:/1/model", "--dry-run")[1] == "churn: nothing speaks against it\n"
    assert run("register", "churn")[0] == ExitCode.USAGE
    assert run("register", "churn", "--artifact", "0" * 32)[0] == ExitCode.NOT_FOUND


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("get nobody/1", ExitCode.NOT_FOUND),
        ("get churn@nobody", ExitCode.NOT_FOUND),
        ("get churn", ExitCode.REFUSED),
        ("rollback churn", ExitCode.REFUSED),
        ("promote churn/1 --to production --expected-holder 7", ExitCode.CONFLICT),
        ("alias set churn champion 1 --expected 0", ExitCode.CONFLICT),
        ("promote churn/1 --to nowhere", ExitCode.USAGE),
        ("compare churn 1", ExitCode.USAGE),
        ("list --stage staging", ExitCode.USAGE),
        ("frobnicate", ExitCode.USAGE),
        ("get --frobnicate", ExitCode.USAGE),
        ("push /nowhere/at/all --name churn", ExitCode.REFUSED),
        ("push . --name churn --metric auc=nan", ExitCode.USAGE),
    ],
)
def test_failures_have_their_exit_code_and_go_to_stderr(run: Run, command: str, code: ExitCode) -> None:
    found, out, err = run(*command.split())
    assert (found, out) == (code, "")
    assert err
    assert "Traceback" not in err


def test_every_exit_code_is_in_the_help_and_every_status_has_one(run: Run) -> None:
    text = run("--help")[1]
    assert all(f"{code:>3}  {meaning}" in text for code, meaning in MEANINGS.items())
    assert set(MEANINGS) == set(ExitCode)
    codes = {exit_code_of(error_class(code)("x")) for code in Code}
    assert ExitCode.OK not in codes
    assert exit_code_of(RegistrarError("x")) is ExitCode.UNEXPECTED


def test_an_error_is_told_as_what_why_which_and_what_to_do(run: Run, state: State) -> None:
    fields = [
        error_details_pb2.BadRequest.FieldViolation(field="tags", description="at most 100"),
        error_details_pb2.BadRequest.FieldViolation(field="metrics['\x1b[31m']", description="is not finite"),
    ]
    details = (error_details_pb2.BadRequest(field_violations=fields),)
    state.fail_next("GetModelVersion", Failure(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", details))
    code, _, err = run("get", "churn/1")
    assert code == ExitCode.REFUSED
    assert err.splitlines() == [
        "error: invalid field",
        "  - tags: at most 100",
        "  - metrics['\N{REPLACEMENT CHARACTER}[31m']: is not finite",
        "  reason: INVALID_FIELD",
    ]
    assert run("get", "churn/1")[2].splitlines()[-1] == "  try: `registrar list` shows the models"


def test_a_server_that_is_not_there_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registrar.cli.session.CONNECT_SECONDS", 0.2)
    code, _, err = run("get", "churn/1", "--server", "127.0.0.1:1")
    assert code == ExitCode.UNAVAILABLE
    assert "no registry answers at 127.0.0.1:1" in err
    assert "registrar serve" in err


def test_ping_fails_when_the_server_is_not_serving(run: Run, state: State) -> None:
    assert run("ping")[0] == ExitCode.OK
    state.is_serving = False
    assert run("ping")[0] == ExitCode.UNAVAILABLE


@pytest.mark.usefixtures("filled")
def test_the_server_can_be_named_before_and_behind_the_command(
    run: Run, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRAR_SERVER", "127.0.0.1:1")
    assert run("--server", target, "get", "churn/1")[0] == 0
    assert run("get", "churn/1", "--server", target)[0] == 0


def test_an_unexpected_failure_shows_no_traceback_unless_asked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("registrar.Registry.get", fail)
    monkeypatch.setattr("registrar.client.Registry.get", fail)
    code, out, err = run("get", "churn/1")
    assert (code, out, err.splitlines()[0]) == (1, "", "error: unexpected ZeroDivisionError: oops")
    with pytest.raises(ZeroDivisionError):
        run("--traceback", "get", "churn/1")


def entry(name: str) -> EntryPoint:
    return EntryPoint("server", f"tests.unit.client.test_cli:{name}", "registrar.commands")


def serving(app: typer.Typer) -> None:
    """What the server's distribution adds."""

    @app.command("serve")
    def serve() -> None:
        print("serving")  # noqa: T201


def broken(app: typer.Typer) -> None:
    raise ImportError("half installed")


def test_other_distributions_add_commands(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [entry("serving")])
    assert run("serve") == (0, "serving\n", "")
    assert "serve" in run("--help")[1]
    assert run("migrate")[0] == ExitCode.USAGE


def test_without_the_server_serve_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [])
    code, _, err = run("serve", "--listen", "127.0.0.1:0")
    assert code == ExitCode.USAGE
    assert "registrar-server" in err


def test_a_broken_extension_takes_no_other_command_with_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [entry("broken")])
    code, out, err = run("--help")
    assert (code, "half installed" in err, "push" in out) == (0, True, True)
    assert run("serve")[0] == ExitCode.UNEXPECTED


def test_a_client_command_looks_for_no_extension(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(group: str) -> None:
        raise AssertionError

    monkeypatch.setattr("importlib.metadata.entry_points", fail)
    assert run("list")[0] == 0
    assert run("--tenant", "serve", "list")[0] == 0


@pytest.mark.usefixtures("filled")
def test_ctrl_c_during_a_pull_ends_with_130_and_the_same_command_goes_on(
    run: Run, target: str, state: State, tmp_path: Path
) -> None:
    state.hold_downloads = threading.Event()
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from registrar.cli import main; sys.exit(main())",
            "pull",
            "churn/1",
            "out",
        ],
        cwd=tmp_path,
        env={**os.environ, "REGISTRAR_SERVER": target},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        wait_until(lambda: any(path.stat().st_size for path in tmp_path.glob(".out.*.partial/files/model.pkl")), 60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.startswith("interrupted\n  what has come is kept in .out.")
    assert "the same pull goes on with it" in err
    state.hold_downloads.set()
    asked = len(state.seen(DownloadFileRequest))
    assert run("pull", "churn/1", tmp_path / "out")[:2] == (0, "churn/1\n")
    assert any(request.range.offset for request in state.seen(DownloadFileRequest)[asked:])
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "out"}


@pytest.mark.usefixtures("filled")
def test_verify_says_that_all_holds_or_names_what_does_not(run: Run, state: State) -> None:
    assert run("verify", "churn@champion") == (0, "churn/2: 4 files, 8.9 KiB, all as they were pushed\n", "")
    found = json.loads(run("verify", "churn/2", "--json")[1])
    assert (found["version"]["version"], found["is_intact"], len(found["files"])) == (2, True, 4)
    state.flip_byte_of = "model.pkl"
    code, out, err = run("verify", "churn/2")
    file, data = next(iter(state.bundles.values())).files["model.pkl"]
    stored = hashlib.sha256(bytes([data[0] ^ 1]) + data[1:]).hexdigest()
    assert (code, out) == (ExitCode.DATA_LOSS, "")
    assert "error: 1 of 4 files of the bundle are not what was pushed\n" in err
    assert f"model.pkl: expected 5120 bytes, sha256 {file.sha256}; stored are 5120 bytes, sha256 {stored}\n" in err
    assert "reason: ARTIFACT_CORRUPT" in err
    code, out, _ = run("verify", "churn/2", "--json")
    found = json.loads(out)
    broken = [entry for entry in found["files"] if not entry["is_intact"]]
    assert (code, found["is_intact"], [entry["file"]["path"] for entry in broken]) == (7, False, ["model.pkl"])
    assert broken[0]["stored_sha256"] == stored


def test_a_direct_pull_says_when_the_store_is_out_of_reach(
    run: Run, filled: Path, state: State, tmp_path: Path
) -> None:
    with serve_reading_store(state):
        assert run("pull", "churn/2", tmp_path / "out", "--direct") == (0, "churn/2\n", "")
    code, _, err = run("pull", "churn/2", tmp_path / "again", "--direct")
    assert code == ExitCode.UNAVAILABLE
    assert f"the store at {state.store_url.removeprefix('http://')} cannot be reached from here" in err
    assert "try: leave --direct out: then the bytes go through the registry" in err
    assert "epoch=" not in err
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "out"}


def test_the_version_is_that_of_the_distribution(run: Run) -> None:
    assert run("--version")[:2] == (0, "registrar 0.1.0\n")


def test_the_package_offers_what_it_names() -> None:
    assert all(getattr(registrar, name) is not None for name in registrar.__all__)
    assert set(registrar.__all__) <= set(dir(registrar))
    with pytest.raises(AttributeError):
        registrar.nothing_of_the_kind  # noqa: B018


def test_ctrl_c_leaves_a_push_that_the_same_command_goes_on_with(
    run: Run, state: State, target: str, tmp_path: Path
) -> None:
    state.part_bytes = 1 << 20
    held = threading.Event()
    is_writing = threading.Event()

    def hold() -> None:
        is_writing.set()
        held.wait(60)

    state.faults = [Fault(5 << 20, act=hold)]
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "model.pkl").write_bytes(bytes(12 << 20))
    command = ["push", str(folder), "-n", "churn", "--server", target]
    registrar_command = str(Path(sys.executable).parent / "registrar")
    process = subprocess.Popen([registrar_command, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process:
        assert is_writing.wait(60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    held.set()
    upload = next(iter(state.uploads))
    assert (process.returncode, out) == (130, "")
    assert err == (
        "interrupted\n  4.0 MiB of 12.0 MiB are at the registry until 2025-10-09 08:53 UTC: the same push goes on from"
        f" there, `registrar abort {upload}` gives them up\n"
    )
    assert run(*command)[:2] == (0, "churn/1\n")
    assert not state.errors


def test_abort_gives_a_push_up_and_may_be_repeated(run: Run, bundle: Path, state: State) -> None:
    state.fail_next("CommitUpload", Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "STORE_FULL"))
    code, _, err = run("push", bundle, "-n", "churn")
    upload = next(iter(state.uploads))
    assert code == ExitCode.UNAVAILABLE
    assert f"`registrar abort {upload}` gives them up" in err
    assert run("abort", upload) == (0, "", "")
    assert run("abort", upload) == (0, "", "")
    assert not state.uploads
    assert run("push", bundle, "-n", "churn")[:2] == (0, "churn/1\n")
    code, _, err = run("abort", next(iter(state.bundles)))
    assert code == ExitCode.REFUSED
    assert "UPLOAD_COMMITTED" in err


def test_a_push_straight_to_the_store(run: Run, bundle: Path, state: State) -> None:
    with serve_part_store(state) as store:
        assert run("push", bundle, "-n", "churn", "--direct") == (0, "churn/1\n", "")
        assert len(store.paths) == 10, "a file of one part goes through the registry"
    (bundle / "model.pkl").write_bytes(b"another")
    code, _, err = run("push", bundle, "-n", "churn", "--direct")
    assert code == ExitCode.UNAVAILABLE
    assert "STORE_UNREACHABLE" in err
    assert "leave --direct out" in err
