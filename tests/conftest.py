"""What all tests share."""

from __future__ import annotations

import os

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
