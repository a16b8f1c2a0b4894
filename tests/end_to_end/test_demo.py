"""`make demo` does the main job, and fails aloud when a step is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import demo.run
from demo.server import Server
from demo.story import DemoFailed, Story
from tests.fixtures.server import clean_environment

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(400)
def test_the_demo_does_the_main_job(tmp_path: Path) -> None:
    environment = clean_environment(
        TMPDIR=str(tmp_path),
        # What a shell may have exported must lead neither the demo nor its server astray.
        MLFLOW_TRACKING_URI="http://127.0.0.1:9/nobody",
        REGISTRAR_LISTEN="nonsense",
    )
    done = subprocess.run(
        [sys.executable, str(ROOT / "demo" / "run.py")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=380,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr, done.stderr
    assert re.search(r"All \d+ checks of 14 steps hold", done.stdout)
    assert "\x1b" not in done.stdout, "colours are for terminals"
    assert max(map(len, done.stdout.splitlines())) <= 110
    assert not list(tmp_path.glob("registrar-demo-*")), "its directory goes with it"


def test_a_claim_that_does_not_hold_ends_the_demo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    class WrongJob:
        def __init__(self, story: Story, server: Server, directory: Path) -> None:
            self._story = story

        def connect(self) -> None:
            self._story.check(True, "the sky is up")
            self._story.check(False, "version 2 is in production")

    log = tmp_path / "log"
    log.write_text("the server's last words")
    monkeypatch.setitem(sys.modules, "demo.main_job", fake_module(WrongJob))
    monkeypatch.setattr(demo.run, "running_server", fake_server(log))
    assert demo.run.tell(Story()) == demo.run.FAILED
    told = capsys.readouterr()
    assert "✓ the sky is up" in told.out
    assert "Step 1 (Start a registry with everything embedded) failed" in told.err
    assert "not true: version 2 is in production" in told.err
    assert "the server's last words" in told.err


def test_a_tick_is_for_what_holds_only() -> None:
    story = Story()
    with pytest.raises(DemoFailed, match="one is two"):
        story.check(False, "one is two")
    assert story.checks == 0


def fake_module(job: type) -> types.ModuleType:
    module = types.ModuleType("demo.main_job")
    module.__dict__["MainJob"] = job
    return module


def fake_server(log: Path) -> object:
    @contextmanager
    def running(directory: Path) -> Iterator[Server]:
        process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE, text=True)
        with process:
            yield Server(process, directory, log)

    return running
