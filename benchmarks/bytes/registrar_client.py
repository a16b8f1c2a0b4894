"""Registrar's SDK: `push` and `pull`, through gRPC or, with `direct`, by URLs of the store."""

from __future__ import annotations

import inspect
import secrets
from pathlib import Path
from typing import Any

import registrar
from benchmarks.bytes.mover import SkippedError


class RegistrarMover:
    """See `Mover`. A push registers a version too, which the other peers do not."""

    def __init__(self, address: str, *, is_direct: bool) -> None:
        if is_direct:
            for call in (registrar.Registry.push, registrar.Registry.pull):
                if "direct" not in inspect.signature(call).parameters:
                    raise SkippedError(f"the SDK's {call.__name__} does not take `direct` yet")
        self._options: dict[str, Any] = {"direct": True} if is_direct else {}
        self._registry = registrar.connect(address)
        self._version: registrar.ModelVersion | None = None

    def up(self, folder: Path) -> None:
        name = f"model-{secrets.token_hex(8)}"
        self._version = self._registry.push(folder, name=name, progress=False, **self._options)

    def down(self, destination: Path) -> None:
        if self._version is None:
            raise RuntimeError("nothing was pushed")
        self._registry.pull(self._version, destination, progress=False, **self._options)
