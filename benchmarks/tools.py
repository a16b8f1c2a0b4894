"""Programs that a benchmark needs and pip does not bring."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path


class MissingToolError(Exception):
    """A tool is not there; the message says where it comes from."""


def require_h2load() -> str:
    """The load generator: a Python client tops out below the servers that it would measure."""
    found = shutil.which("h2load")
    if found is None:
        raise MissingToolError("h2load is missing; Debian and Ubuntu ship it in the package nghttp2-client")
    return found


def require_mlflow_server() -> None:
    """The peer: mlflow-skinny, which the server brings, has no server of its own."""
    if importlib.util.find_spec("mlflow") is None or importlib.util.find_spec("flask") is None:
        raise MissingToolError("the full mlflow is missing; `make bench` installs it")


def registrar_command() -> str:
    """The command `registrar` of this interpreter's environment."""
    command = Path(sys.executable).parent / "registrar"
    if not command.exists():
        raise MissingToolError("the command registrar is missing; `make bench` installs it")
    return str(command)
