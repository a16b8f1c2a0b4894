"""Whether a signature still serves those who call a model by another one.

Judged as MLflow judges input before it reaches a model (`mlflow/models/utils.py` of 3.17, `_enforce_schema`): columns that
the signature does not name are dropped, missing ones are refused unless they are optional, names decide and not the
order, what has no name goes by its place. Numbers of a column are widened (`_enforce_mlflow_datatype`); a tensor's type
has to be the same (`_enforce_tensor_spec`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from registrar_server.domain.semantic_versions import SemanticVersion, Step
from registrar_server.domain.versions import Signature, TensorSpec

_Key: TypeAlias = tuple[str, int]
"""A name, and how often it was there before; or no name, and a place."""

_NAMES = {
    "bool": "boolean",
    "int32": "integer",
    "int64": "long",
    "float32": "float",
    "float64": "double",
    "str": "string",
}
_DATETIME = re.compile(r"datetime(64(\[\w+\])?)?")
_SIGNED = ("int8", "int16", "integer", "long")
_UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
_FLOATING = ("float16", "float", "double")
_ANYTHING = "any"


@dataclass(frozen=True, slots=True)
class SignatureChange:
    """One difference: where (`inputs.amount`), what, for people, and whether callers of the old one break by it."""

    place: str
    description: str
    is_breaking: bool


def signature_changes(old: Signature | None, new: Signature | None) -> Sequence[SignatureChange]:
    """What is different, in the order of the inputs, then of the outputs. Without an old one there is nothing to break."""
    if old is None or old == new:
        return ()
    if new is None:
        return (SignatureChange("signature", "the signature is gone", True),)
    return (*_input_changes(old.inputs, new.inputs), *_output_changes(old.outputs, new.outputs))


def is_breaking(changes: Sequence[SignatureChange]) -> bool:
    """Whether callers of the old signature break by one of the changes."""
    return any(change.is_breaking for change in changes)


def step_for(changes: Sequence[SignatureChange], base: SemanticVersion) -> Step:
    """Which number has to rise after `base`. Before 1.0.0 the minor number stands for the major one."""
    if not changes:
        return Step.PATCH
    if is_breaking(changes):
        return Step.MAJOR if base.major else Step.MINOR
    return Step.MINOR if base.major else Step.PATCH


def _input_changes(old: Sequence[TensorSpec], new: Sequence[TensorSpec]) -> Iterator[SignatureChange]:
    before, after = _by_key(old), _by_key(new)
    for key, tensor in before.items():
        place, what = _place("inputs", key), _what("input", key)
        kept = after.get(key)
        if kept is None:
            yield SignatureChange(place, f"{what} is gone; what is sent for it is dropped", False)
            continue
        if kept.is_optional != tensor.is_optional:
            word = "optional" if kept.is_optional else "required"
            yield SignatureChange(place, f"{what} is {word} now", not kept.is_optional)
        yield from _differences(place, what, tensor, kept, _takes_type(tensor, kept), _takes_shape(tensor, kept))
    for key, tensor in after.items():
        if key not in before:
            word = "optional" if tensor.is_optional else "required"
            description = f"{_what('input', key)} is new and {word}"
            yield SignatureChange(_place("inputs", key), description, not tensor.is_optional)


def _output_changes(old: Sequence[TensorSpec], new: Sequence[TensorSpec]) -> Iterator[SignatureChange]:
    before, after = _by_key(old), _by_key(new)
    for key, tensor in before.items():
        place, what = _place("outputs", key), _what("output", key)
        kept = after.get(key)
        if kept is None:
            yield SignatureChange(place, f"{what} is gone", True)
            continue
        if kept.is_optional != tensor.is_optional:
            description = f"{what} may be absent now" if kept.is_optional else f"{what} is always there now"
            yield SignatureChange(place, description, kept.is_optional)
        # A size that was open and is fixed now breaks, too: who sent a hundred rows got a hundred back.
        is_same_type = _type(tensor) == _type(kept)
        yield from _differences(place, what, tensor, kept, is_same_type, tensor.shape == kept.shape)
    for key in after:
        if key not in before:
            # Who takes what comes by its place counts on how many there are.
            is_breaking = bool(old) and not key[0]
            yield SignatureChange(_place("outputs", key), f"{_what('output', key)} is new", is_breaking)


def _differences(
    place: str, what: str, old: TensorSpec, new: TensorSpec, is_type_fit: bool, is_shape_fit: bool
) -> Iterator[SignatureChange]:
    if _type(old) != _type(new):
        yield SignatureChange(place, f"{what} is {new.dtype} now and was {old.dtype}", not is_type_fit)
    if old.shape != new.shape:
        yield SignatureChange(place, f"{what} has shape {_text(new)} now and had {_text(old)}", not is_shape_fit)


def _takes_type(old: TensorSpec, new: TensorSpec) -> bool:
    """Whether values of the old type pass where the new one is declared."""
    given, wanted = _type(old), _type(new)
    if wanted in (given, _ANYTHING) or _is_ragged(new):
        return True
    if old.shape or new.shape:
        return False
    for kind in (_SIGNED, _UNSIGNED, _FLOATING):
        if given in kind and wanted in kind:
            return kind.index(given) <= kind.index(wanted)
    if given in _UNSIGNED and wanted in _SIGNED:
        return _UNSIGNED.index(given) < _SIGNED.index(wanted)
    # A double holds every whole number of up to 53 bits.
    return wanted == "double" and given in (*_SIGNED[:3], *_UNSIGNED[:3])


def _takes_shape(old: TensorSpec, new: TensorSpec) -> bool:
    """Whether every value of the old shape has the new one: -1 takes any size."""
    if _is_ragged(new):
        return True
    return len(old.shape) == len(new.shape) and all(
        wanted in (-1, given) for given, wanted in zip(old.shape, new.shape, strict=True)
    )


def _is_ragged(tensor: TensorSpec) -> bool:
    """Objects of any number: MLflow lets whatever comes through."""
    return tensor.shape == (-1,) and tensor.dtype == "object"


def _type(tensor: TensorSpec) -> str:
    """The type by one name, for it is written in NumPy's words and in MLflow's; times have no precision."""
    return "datetime" if _DATETIME.fullmatch(tensor.dtype) else _NAMES.get(tensor.dtype, tensor.dtype)


def _by_key(tensors: Sequence[TensorSpec]) -> Mapping[_Key, TensorSpec]:
    found: dict[_Key, TensorSpec] = {}
    seen: dict[str, int] = {}
    for place, tensor in enumerate(tensors):
        found[tensor.name, seen.get(tensor.name, 0) if tensor.name else place] = tensor
        seen[tensor.name] = seen.get(tensor.name, 0) + 1
    return found


def _place(side: str, key: _Key) -> str:
    name, place = key
    return f"{side}.{name}" if name else f"{side}[{place}]"


def _what(side: str, key: _Key) -> str:
    name, place = key
    return f"{side} {name}" if name else f"unnamed {side} {place + 1}"


def _text(tensor: TensorSpec) -> str:
    return f"({', '.join(map(str, tensor.shape))})"
