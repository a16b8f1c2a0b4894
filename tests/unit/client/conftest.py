"""A registry in memory on a real socket, and a client that does not wait between its attempts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import registrar
from registrar.retry import RetryPolicy
from tests.unit.client.fake_access import Access
from tests.unit.client.fake_state import State
from tests.unit.client.servicer import serve


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the shell exports does not count, nor who has logged in on this machine."""
    for name in [name for name in os.environ if name.startswith("REGISTRAR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def access() -> Access:
    return Access()


@pytest.fixture
def target(state: State, access: Access) -> Iterator[str]:
    with serve(state, access) as address:
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
