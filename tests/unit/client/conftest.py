"""A registry in memory on a real socket, and a client that does not wait between its attempts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import registrar
from registrar.retry import RetryPolicy
from tests.unit.client.fake_state import State
from tests.unit.client.servicer import serve


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the shell exports does not count."""
    for name in ("REGISTRAR_SERVER", "REGISTRAR_TENANT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def target(state: State) -> Iterator[str]:
    with serve(state) as address:
        yield address


@pytest.fixture
def registry(target: str) -> Iterator[registrar.Registry]:
    at_once = RetryPolicy(initial_seconds=0.0, maximum_seconds=0.0)
    with registrar.connect(target, retry=at_once, timeout_seconds=20) as connected:
        yield connected


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A folder with files of several chunks, an empty one, and one in a folder."""
    folder = tmp_path / "bundle"
    (folder / "data").mkdir(parents=True)
    (folder / "model.pkl").write_bytes(bytes(range(256)) * 20)
    (folder / "config.json").write_text("{}")
    (folder / "empty").touch()
    (folder / "data" / "vocab.txt").write_text("a\nb\n" * 1000)
    return folder
