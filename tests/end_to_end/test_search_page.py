"""docs/search.md says what each of its filters finds, and that is what the server finds."""

from __future__ import annotations

import re
from pathlib import Path

import registrar

PAGE = Path(__file__).resolve().parents[2] / "docs" / "search.md"
_FENCED = re.compile(r"^```filter\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_filter_of_the_page_finds_what_the_page_says(
    registry: registrar.Registry, unique_name: str, tmp_path: Path
) -> None:
    fill(registry, unique_name, tmp_path)
    examples = [
        line.split("→") for block in _FENCED.findall(PAGE.read_text(encoding="utf-8")) for line in block.splitlines()
    ]
    assert len(examples) > 35
    for written, expected in examples:
        text = re.sub(r'name = ("?)(?=ch|fraud|churn)', rf"name = \1{unique_name}-", written.strip())
        found = registry.search(f'name = "{unique_name}-*" ({text})')
        shown = [str(version).removeprefix(f"{unique_name}-") for version in found]
        assert shown == expected.split(), written


def fill(registry: registrar.Registry, unique_name: str, directory: Path) -> None:
    """The versions of the page's table."""
    (directory / "model.pkl").write_bytes(unique_name.encode())
    churn, fraud = f"{unique_name}-churn", f"{unique_name}-fraud"
    registry.push(
        directory,
        name=churn,
        description="First try",
        tags={"team": "growth"},
        metrics={"f1": 0.82},
        parameters={"depth": 4},
        semantic_version="1.0.0",
        provenance=registrar.Provenance(git_commit="abc1234", training_data=(registrar.Dataset("d", digest="md5:1"),)),
        flavors=["sklearn"],
    )
    second = registry.push(
        directory,
        name=churn,
        description="Trained on märz data",
        tags={"team": "growth", "mlops.owner": "core"},
        metrics={"f1": 0.91},
        parameters={"depth": 8, "warm": True},
        semantic_version="1.1.0",
        provenance=registrar.Provenance(git_commit="def5678", training_data=(registrar.Dataset("d", digest="md5:2"),)),
        flavors=["sklearn", "python_function"],
    )
    registry.promote(second, to=registrar.Stage.PRODUCTION)
    registry.set_alias(churn, "champion", 2)
    registry.push(
        directory,
        name=fraud,
        description="Card fraud, trained on march data",
        tags={"team": "risk-eu"},
        metrics={"f1": 0.97},
        metric_slices=[registrar.MetricSlice("region", "eu", {"f1": 0.95})],
        parameters={"depth": 8},
        flavors=["onnx"],
    )
