"""What importing the client costs. Modules are counted, not milliseconds: those are for the benchmarks."""

from __future__ import annotations

import subprocess
import sys

import pytest


def loaded(statement: str) -> set[str]:
    script = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_importing_the_package_imports_almost_nothing() -> None:
    modules = loaded("import registrar")
    assert not {"grpc", "google.protobuf", "typer", "rich", "dataclasses"} & modules
    assert len(modules) < 10


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import registrar; registrar.connect", {"typer", "rich", "click", "numpy", "registrar.pull", "registrar.aio"}),
        ("import registrar; registrar.connect().close()", {"urllib.request", "http.client", "registrar.oidc"}),
        ("from registrar import aio", {"typer", "rich", "click", "numpy", "registrar.pull"}),
        ("import registrar.cli", {"grpc", "rich", "importlib.metadata", "pydantic", "google.protobuf", "ssl"}),
        ("from registrar.v1 import model_pb2", {"grpc", "registrar.client", "registrar.types"}),
    ],
)
def test_what_is_not_needed_is_not_imported(statement: str, forbidden: set[str]) -> None:
    assert forbidden & loaded(statement) == set()
