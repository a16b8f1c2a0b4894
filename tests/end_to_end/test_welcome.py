"""What `registrar serve` prints works as pasted."""

from __future__ import annotations

import shutil
import subprocess
import time

import pytest

from tests.fixtures.server import RunningServer, clean_environment

LAST_LINE = "END"


def _pasted(server: RunningServer, first: str, last: str) -> str:
    """The welcome's text from the line that begins with `first` to the one that begins with `last`."""
    deadline = time.monotonic() + 10
    while LAST_LINE not in server.welcome_lines and time.monotonic() < deadline:
        time.sleep(0.01)
    lines = server.welcome_lines
    begin = next(number for number, line in enumerate(lines) if first in line and not line.startswith(" "))
    end = next(number for number, line in enumerate(lines[begin:], begin) if line.startswith(last))
    return "\n".join(lines[begin : end + 1]) + "\n"


def _run(text: str) -> str:
    done = subprocess.run(
        ["bash"], input=text, env=clean_environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_snippet_works_as_pasted(server: RunningServer) -> None:
    printed = _run(_pasted(server, "<<'END'", LAST_LINE))
    assert printed.startswith("Registrar 0.")


def test_the_grpcurl_snippet_works_as_pasted(server: RunningServer) -> None:
    if shutil.which("grpcurl") is None:
        pytest.skip("no grpcurl on the PATH")
    printed = _run(_pasted(server, "grpcurl -plaintext", "grpcurl"))
    assert '"server_version"' in printed
