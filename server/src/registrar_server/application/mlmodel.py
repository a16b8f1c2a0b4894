"""What a bundle's `MLmodel` file says: flavors and signature.

Format: MLflow's documentation, "MLflow Model Format". The file is optional, and one that cannot be read says nothing:
it is the caller's, and loading the model is not this service's business.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from registrar_server.domain.versions import Signature, TensorSpec

MLMODEL = "MLmodel"
MLMODEL_BYTES = 2**20
"""A larger file is not read."""

_DEPTH = 50
_SIZES = range(-1, 2**63)
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse_mlmodel(text: bytes) -> tuple[tuple[str, ...], Signature | None]:
    """Flavors, sorted, and the signature, as far as they are there."""
    try:
        document = None if _is_too_deep(text) else yaml.load(text, Loader=_LOADER)  # noqa: S506
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError):
        return (), None
    if not isinstance(document, Mapping):
        return (), None
    flavors = document.get("flavors")
    names = tuple(sorted(_text(name, "") for name in flavors)) if isinstance(flavors, Mapping) else ()
    return names, _signature(document.get("signature"))


def _is_too_deep(text: bytes) -> bool:
    """Whether collections lie within each other so deep that loading them would end the process: libyaml's loader

    calls itself for each level and asks nobody how much stack is left.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEPTH:
            return True
    return False


def _signature(document: object) -> Signature | None:
    if not isinstance(document, Mapping):
        return None
    signature = Signature(
        inputs=tuple(_tensors(document.get("inputs"))), outputs=tuple(_tensors(document.get("outputs")))
    )
    return signature if signature.inputs or signature.outputs else None


def _tensors(text: object) -> Iterable[TensorSpec]:
    """Columns (`{"type": "double", "name": …}`) and tensors (`{"type": "tensor", "tensor-spec": {…}}`)."""
    if not isinstance(text, str):
        return
    try:
        columns = json.loads(text)
    except (ValueError, RecursionError):
        return
    for column in columns if isinstance(columns, list) else []:
        if isinstance(column, dict):
            yield _tensor(column)


def _tensor(column: dict[str, Any]) -> TensorSpec:
    spec = column.get("tensor-spec")
    is_optional = column.get("required") is False
    name = _text(column.get("name"), "")
    if isinstance(spec, dict):
        return TensorSpec(name, _text(spec.get("dtype"), "object"), _shape(spec.get("shape")), is_optional)
    return TensorSpec(name, _text(column.get("type"), "object"), (), is_optional)


def _shape(sizes: object) -> tuple[int, ...]:
    """Nothing, where one of the sizes is none that the contract can carry."""
    is_shape = isinstance(sizes, list) and all(type(size) is int and size in _SIZES for size in sizes)
    return tuple(sizes) if isinstance(sizes, list) and is_shape else ()


def _text(value: object, default: str) -> str:
    """As text that has a UTF-8: escapes in YAML and JSON can write halves of characters."""
    return str(value or default).encode("utf-8", "replace").decode()
