"""A caller of the client under `mypy --strict`: what is right passes, what is wrong is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CALLER = """\
from collections.abc import Iterator
from pathlib import Path

import registrar
from registrar import MetricSlice, Stage


def publish(folder: Path) -> int:
    with registrar.connect("127.0.0.1:50051", tenant="acme") as registry:
        version = registry.push(
            folder,
            name="churn",
            metrics={"auc": 0.97},
            parameters={"depth": 8, "rate": 0.05, "bagged": True, "loss": "log"},
            metric_slices=[MetricSlice("region", "eu", {"auc": 0.9})],
        )
        promotion = registry.promote(version, to=Stage.PRODUCTION, expected_holder=2)
        names: list[str] = [other.name for other in promotion.displaced]
        blocks: Iterator[bytes] = registry.download("churn@champion", "model.pkl")
        print(names, sum(map(len, blocks)))
        try:
            pulled: Path = registry.pull("churn:production", folder)
        except registrar.NotFound as error:
            print(error.reason, error.metadata["model"], [v.field for v in error.violations], pulled_from(registry))
        return version.version


def pulled_from(registry: registrar.Registry) -> str:
    return registry.server_info().caller.tenant
"""

WRONG = [
    'registry.push("./model")',
    'registry.push("./model", name="a", metric={"auc": 1.0})',
    'registry.push("./model", name="a", metrics={"auc": "high"})',
    'registry.push("./model", name="a", parameters={"x": [1]})',
    'registry.push("./model", name=3)',
    "registry.get(3)",
    'registry.promote("a/1", to="production")',
    'registry.promote("a/1", registrar.Stage.PRODUCTION)',
    'registry.get("a/1").version = 4',
    'registry.get("a/1").versoin',
    'len(registry.versions("a"))',
    'registry.set_alias("a", "champion")',
    "registrar.conect()",
]


def check(path: Path, source: str) -> subprocess.CompletedProcess[str]:
    path.write_text(source)
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--config-file=",
            "--cache-dir",
            str(path.parent / "cache"),
            str(path),
        ],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(300)
def test_a_right_caller_passes_and_every_wrong_call_is_refused(tmp_path: Path) -> None:
    right = check(tmp_path / "right.py", CALLER)
    assert right.returncode == 0, right.stdout
    head = "import registrar\n\n\ndef call(registry: registrar.Registry) -> None:\n"
    wrong = check(tmp_path / "wrong.py", head + "".join(f"    {line}\n" for line in WRONG))
    refused = {int(line.split(":")[1]) for line in wrong.stdout.splitlines() if ": error:" in line}
    first = head.count("\n") + 1
    assert [line for number, line in enumerate(WRONG, first) if number not in refused] == [], wrong.stdout
