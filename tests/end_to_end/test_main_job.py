"""The main job over the wire: push, register, promote, resolve, pull, roll back."""

from __future__ import annotations

from pathlib import Path

import registrar


def _bundle(directory: Path, content: bytes) -> Path:
    directory.mkdir()
    (directory / "model.pkl").write_bytes(content)
    (directory / "preprocessor.pkl").write_bytes(b"scaler " + content)
    (directory / "empty.txt").write_bytes(b"")
    return directory


def test_a_model_goes_from_push_to_rollback(registry: registrar.Registry, unique_name: str, tmp_path: Path) -> None:
    first = registry.push(
        _bundle(tmp_path / "one", b"first"), name=unique_name, metrics={"f1": 0.89}, parameters={"trees": 200}
    )
    second = registry.push(_bundle(tmp_path / "two", b"second" * 100_000), name=unique_name, metrics={"f1": 0.91})
    assert (first.version, second.version) == (1, 2)
    assert first.parameters == {"trees": 200}

    registry.promote(f"{unique_name}/1", to=registrar.Stage.PRODUCTION)
    registry.promote(f"{unique_name}/2", to=registrar.Stage.STAGING)
    registry.promote(f"{unique_name}/2", to=registrar.Stage.PRODUCTION, comment="better")
    assert registry.get(f"{unique_name}:production").version == 2
    assert registry.get(f"{unique_name}/1").stage == "archived"

    pulled = registry.pull(f"{unique_name}:production", tmp_path / "pulled")
    assert (pulled / "model.pkl").read_bytes() == b"second" * 100_000
    assert (pulled / "empty.txt").read_bytes() == b""

    registry.rollback(unique_name, comment="worse after all")
    assert registry.get(f"{unique_name}:production").version == 1
