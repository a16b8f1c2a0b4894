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


def parse_mlmodel(text: bytes) -> tuple[tuple[str, ...], Signature | None]:
    """Flavors, sorted, and the signature, as far as they are there."""
    try:
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError):
        return (), None
    if not isinstance(document, Mapping):
        return (), None
    flavors = document.get("flavors")
    names = tuple(sorted(str(name) for name in flavors)) if isinstance(flavors, Mapping) else ()
    return names, _signature(document.get("signature"))


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
    except ValueError:
        return
    for column in columns if isinstance(columns, list) else []:
        if isinstance(column, dict):
            yield _tensor(column)


def _tensor(column: dict[str, Any]) -> TensorSpec:
    spec = column.get("tensor-spec")
    is_optional = column.get("required") is False
    if isinstance(spec, dict):
        shape = spec.get("shape")
        sizes = tuple(int(size) for size in shape) if isinstance(shape, list) else ()
        return TensorSpec(str(column.get("name") or ""), str(spec.get("dtype") or "object"), sizes, is_optional)
    return TensorSpec(str(column.get("name") or ""), str(column.get("type") or "object"), (), is_optional)
