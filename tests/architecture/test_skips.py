"""What `tests.fixtures.skips` does with skipped tests, tried in a pytest of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]


class Run(Protocol):
    def __call__(self, body: str, *, ci: str | None) -> pytest.RunResult: ...


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(body: str, *, ci: str | None) -> pytest.RunResult:
        if ci is None:
            monkeypatch.delenv("CI", raising=False)
        else:
            monkeypatch.setenv("CI", ci)
        pytester.makeini("[pytest]\nmarkers = minio: MinIO's own server")
        pytester.makepyfile(f"import pytest\n{body}")
        # hypothesis imports itself anew at the end of each run, which takes a second.
        return pytester.runpytest_inprocess("-p", "tests.fixtures.skips", "-p", "no:hypothesispytest")

    return run


SKIP = "def test_a(): pytest.skip('no server')\ndef test_b(): pass"
MINIO = "@pytest.mark.minio\ndef test_a(): pytest.skip('no minio')\ndef test_b(): pass"


def test_a_skip_fails_the_run_in_ci(run: Run) -> None:
    result = run(SKIP, ci="true")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*skipped in CI, which fails the run: 1*", "*test_a: Skipped: no server"])


def test_a_skip_in_one_of_several_processes_fails_the_run_in_ci(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini("[pytest]\nmarkers = minio: MinIO's own server")
    pytester.makepyfile(f"import pytest\n{SKIP}")
    result = pytester.runpytest_subprocess("-p", "tests.fixtures.skips", "-p", "no:hypothesispytest", "-n", "1")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*skipped in CI, which fails the run: 1*", "*test_a: Skipped: no server"])


def test_a_skip_at_the_head_of_a_module_fails_the_run_in_ci(run: Run) -> None:
    result = run("pytest.importorskip('not_there_at_all')", ci="true")
    assert result.ret != pytest.ExitCode.OK


def test_a_skip_at_home_is_no_failure(run: Run) -> None:
    assert run(SKIP, ci=None).ret == pytest.ExitCode.OK
    assert run(SKIP, ci="false").ret == pytest.ExitCode.OK


def test_minios_server_may_be_absent_in_ci_and_that_is_said(run: Run) -> None:
    result = run(MINIO, ci="true")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*skipped, as MinIO's server may be: 1*", "*test_a: Skipped: no minio"])


def test_an_expected_failure_is_no_skip(run: Run) -> None:
    result = run("@pytest.mark.xfail\ndef test_a(): assert False\ndef test_b(): pass", ci="true")
    assert result.ret == pytest.ExitCode.OK
