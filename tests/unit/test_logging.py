"""What is logged of an error that nobody expected."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

FAILING = """
import structlog
from registrar_server.logging import flush_logs, set_up_logging

set_up_logging("debug", "{log_format}", "worker")


def authenticate(bearer):
    raise ValueError("unexpected")


try:
    authenticate("rgt_" + "secret" * 3)
except ValueError:
    structlog.get_logger().exception("rpc.failed")
flush_logs()
"""


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_where_it_happened_and_no_value_that_was_at_hand(log_format: str) -> None:
    command = [sys.executable, "-c", FAILING.format(log_format=log_format)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "secretsecret" not in done.stderr
    assert "ValueError" in done.stderr
    assert "authenticate" in done.stderr
    if log_format == "json":
        (line,) = map(json.loads, done.stderr.splitlines())
        assert line["exception"][0]["exc_value"] == "unexpected"
