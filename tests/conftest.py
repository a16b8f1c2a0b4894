"""What all tests share."""

from __future__ import annotations

import os

import pytest

pytest_plugins = [
    "tests.fixtures.skips",
    "tests.fixtures.postgres",
    "tests.fixtures.database",
    "tests.fixtures.stores",
    "tests.fixtures.mlflow",
    "tests.fixtures.server",
    "tests.fixtures.replicas",
    "tests.fixtures.guarded",
    "tests.fixtures.oidc",
]

# What the shell exports must configure nothing here; the tests' own variables stay.
for _name in list(os.environ):
    if _name.startswith(("REGISTRAR_", "MLFLOW_", "AWS_", "ML_REGISTRY_", "OTEL_")) and not _name.startswith(
        "REGISTRAR_TEST_"
    ):
        del os.environ[_name]
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

# Files that take a minute or more begin first, so that none is still running when all others are done; pytest-xdist gives
# out files in this order, with --no-loadscope-reorder.
_LONG_FILES = frozenset(
    {
        "test_api_aio",
        "test_company",
        "test_documents",
        "test_evidence",
        "test_grpcurl_cookbook",
        "test_mlflow_registry",
        "test_people",
        "test_registration_crashes",
        "test_rights",
        "test_run_import",
        "test_secrets",
        "test_tenant_isolation",
    }
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the random order, and put the long files before all others."""
    items.sort(key=lambda item: item.path.stem not in _LONG_FILES)
