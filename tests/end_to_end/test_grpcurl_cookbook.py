"""docs/grpcurl.md does what it says: every block is run with the real grpcurl, in order, in one shell."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fixtures.server import RunningServer, clean_environment

PAGE = Path(__file__).resolve().parents[2] / "docs" / "grpcurl.md"
ANYTHING = "…"

_FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = "==== end of block"


@dataclass
class Block:
    """Commands, and what the page says of their output: `json` is part of it, the lines of `text` are in it."""

    commands: str
    kind: str = ""
    expected: str = ""


def require_programs(*programs: str) -> None:
    """Skip where one is missing; in CI that fails the run."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not on the path (.ci/run puts grpcurl into .cache/bin)")


def test_every_call_of_the_cookbook_answers_as_the_page_says(
    server: RunningServer, unique_name: str, tmp_path: Path
) -> None:
    require_programs("grpcurl", "jq")
    page = PAGE.read_text(encoding="utf-8")
    page = page.replace("127.0.0.1:50051", server.address).replace("churn-predictor", unique_name)
    blocks = read_blocks(page)
    outputs = run(blocks, tmp_path)
    for block, output in zip(blocks, outputs, strict=True):
        assert_expected(block, output)


def test_the_cookbook_covers_every_service() -> None:
    page = PAGE.read_text(encoding="utf-8")
    called = set(re.findall(r"registrar\.v1\.(\w+)/\w+", page))
    assert called == {
        "AdminService",
        "ArtifactService",
        "AuditService",
        "LifecycleService",
        "LineageService",
        "ModelCardService",
        "ModelService",
        "ModelVersionService",
    }


def test_a_shown_answer_is_held_against_the_real_one() -> None:
    assert is_part_of({"a": [{"b": ANYTHING}]}, {"a": [{"b": 7, "c": 8}], "d": 9})
    assert not is_part_of({"a": 1}, {"a": 2})
    assert not is_part_of({"a": [1, 2]}, {"a": [1]})
    assert not is_part_of({"a": ANYTHING}, {})


def read_blocks(page: str) -> list[Block]:
    """The commands of a page, each with what is shown below it."""
    blocks: list[Block] = []
    for kind, content in _FENCED.findall(page):
        if kind == "sh":
            blocks.append(Block(content))
        else:
            assert kind in {"json", "text"}, kind
            assert blocks, "a page begins with commands"
            blocks[-1].kind, blocks[-1].expected = kind, content
    return blocks


def run(blocks: list[Block], directory: Path) -> list[str]:
    """What each block writes, to either stream. The first command that fails ends the run."""
    script = "set -eu\nexec 2>&1\n" + "".join(f"{block.commands}\necho; echo '{_MARK}'\n" for block in blocks)
    command = ["bash", "-c", script]
    done = subprocess.run(
        command, cwd=directory, env=clean_environment(), capture_output=True, text=True, timeout=100, check=False
    )
    outputs = done.stdout.split(_MARK)
    failed = blocks[len(outputs) - 1].commands if done.returncode else ""
    assert done.returncode == 0, f"failed:\n{failed}\n{outputs[-1]}"
    return outputs[:-1]


def assert_expected(block: Block, output: str) -> None:
    if block.kind == "text":
        missing = [line for line in block.expected.splitlines() if line.strip() and line.strip() not in output]
        assert not missing, f"{missing} is not in the output of\n{block.commands}\n{output}"
    elif block.kind == "json":
        *_, answer = documents(output)
        assert is_part_of(json.loads(block.expected), answer), f"{block.commands}\n{output}"


def documents(text: str) -> Iterator[object]:
    """The JSON documents of an output, one after the other."""
    decoder = json.JSONDecoder()
    rest = text.strip()
    while rest:
        document, end = decoder.raw_decode(rest)
        yield document
        rest = rest[end:].strip()


def is_part_of(shown: object, real: object) -> bool:
    """Objects may have more members than are shown, lists may not; `…` stands for anything that is there."""
    if shown == ANYTHING:
        return real is not None
    if isinstance(shown, dict) and isinstance(real, dict):
        return all(name in real and is_part_of(value, real[name]) for name, value in shown.items())
    if isinstance(shown, list) and isinstance(real, list):
        return len(shown) == len(real) and all(map(is_part_of, shown, real))
    return shown == real
