"""Runs one command and never lets it outlive the process that asked for it. A script, not to be imported.

    python -I -S embedded_s3_guardian.py

Standard input is a pipe from the server. Its first line is the job as JSON (not an argument: everybody sees those,
and the environment holds keys): `command`, `environment`, `directory` (to run in), `log_file`, `pid_file`, `sockets`
(files to remove afterwards), `grace_seconds`. Nothing follows; when the pipe closes, or at SIGTERM, or when the
parent has changed, the command gets SIGTERM and, after the grace, SIGKILL. A process of its own, because a server
that gets `kill -9` cannot clean up; standard library only, and without `site`, because it has to be there before
the store is.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

_PR_SET_PDEATHSIG = 1
_LOOK_AT_PARENT_SECONDS = 1.0


def main(job: dict[str, Any]) -> int:
    """Run the job; returns 0 when told to stop and 1 when the command ended by itself."""
    parent = os.getppid()
    wake_in, wake_out = os.pipe()
    os.set_blocking(wake_out, False)
    signal.set_wakeup_fd(wake_out, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, _only_wake)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop_asked = False
    child = _start(job)
    try:
        while child.poll() is None and not stop_asked:
            ready, _, _ = select.select([0, wake_in], [], [], _LOOK_AT_PARENT_SECONDS)
            woken = wake_in in ready and os.read(wake_in, 64)
            stop_asked = 0 in ready or bool(woken and signal.SIGTERM in woken) or os.getppid() != parent
    finally:
        _end(child, float(job["grace_seconds"]))
        for path in job["sockets"]:
            Path(path).unlink(missing_ok=True)
    return 0 if stop_asked else 1


def _start(job: dict[str, Any]) -> "subprocess.Popen[bytes]":
    # Looked up before the fork: after it nothing may be imported.
    die_with_parent = _death_signal_setter()
    with Path(job["log_file"]).open("ab") as log:
        child = subprocess.Popen(
            job["command"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=job["directory"],
            env=job["environment"],
            preexec_fn=die_with_parent,  # noqa: PLW1509  (safe here: this process has one thread)
        )
    partial = Path(job["pid_file"] + ".new")
    partial.write_text(str(child.pid))
    partial.replace(job["pid_file"])
    return child


def _death_signal_setter() -> Any:
    """On Linux: a function that makes the calling process die with its parent, also when that gets SIGKILL."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        import ctypes

        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (ImportError, OSError, AttributeError):
        return None
    guardian = os.getpid()

    def set_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != guardian:
            os._exit(1)

    return set_signal


def _end(child: "subprocess.Popen[bytes]", grace_seconds: float) -> None:
    deadline = time.monotonic() + grace_seconds
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
    child.wait()


def _only_wake(_number: int, _frame: FrameType | None) -> None:
    """The wake-up pipe says it; without a handler the signal would not be written there."""


if __name__ == "__main__":
    line = sys.stdin.buffer.readline()
    sys.exit(main(json.loads(line)) if line else 0)
