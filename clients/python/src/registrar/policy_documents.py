"""Policies as JSON and YAML files say them.

    name: production-gate
    description: What has to hold before a churn model serves customers.
    scope: {model_patterns: ["churn-*"], target_stages: [production]}
    rules:
      approval: {approvers: [{role: risk-officer}], requires_four_eyes: true, valid_for: 30d}
      metric_gates: [{metric: f1, min: 0.85, max_relative_regression: 0.01}]
      required_files: [MLmodel]

The form is protobuf's JSON of `registrar.v1.Policy`, with the contract's names of fields. Accepted besides: enums by their
short names in lower case (`production` for `STAGE_PRODUCTION`), durations as `45s`, `30m`, `12h`, `90d` or a number of
seconds, so what the SDK's types and `--json` print can be given back. What the registry fills in may stand there and is
passed over, but for the etag. Whatever is not known is refused: a misspelt demand must not become none.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import replace

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from registrar.convert.policies import policy_from_proto, policy_to_proto
from registrar.errors import InvalidArgument, Violation
from registrar.policy_types import Policy
from registrar.v1.policy_pb2 import Policy as PolicyMessage

_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_A_DURATION = "google.protobuf.Duration"
_MOST_SECONDS = 315_576_000_000  # that it holds
_FILLED_IN = ("revision", "digest", "updated_by", "create_time", "update_time", "delete_time")
_NOT_ASSESSED = "unspecified"
_UNSPECIFIED = {"RiskLevel": _NOT_ASSESSED, "SliceScope": "whole"}
_INT32 = range(-(2**31), 2**31)
_KEY = re.compile(r"[A-Za-z0-9_]{1,64}")


def policy_from_document(document: Mapping[str, object]) -> Policy:
    """The policy that a document says. InvalidArgument with every wrong field by its path: `rules.metric_gates[0].min`."""
    violations: list[Violation] = []
    if not isinstance(document, Mapping):
        raise _refused([Violation("", "a policy is a mapping of its fields")])
    given = {key: value for key, value in document.items() if key not in _FILLED_IN}
    normal = _message(PolicyMessage.DESCRIPTOR, given, "", violations)
    violations += [Violation(name, "is required") for name in ("name", "scope", "rules") if name not in normal]
    if violations:
        raise _refused(violations)
    message = json_format.ParseDict(normal, PolicyMessage())
    return replace(policy_from_proto(message), etag=message.etag)


def policy_to_document(policy: Policy) -> dict[str, object]:
    """What a policy says, without what the registry fills in."""
    document: dict[str, object] = json_format.MessageToDict(policy_to_proto(policy), preserving_proto_field_name=True)
    return document


def _message(kind: Descriptor, value: object, path: str, violations: list[Violation]) -> dict[str, object]:
    """Protobuf's JSON of a message, as far as it is right; what is wrong is added to the violations."""
    if not isinstance(value, Mapping):
        violations.append(Violation(path, f"is {_shown(value)}, and must be a mapping"))
        return {}
    normal: dict[str, object] = {}
    for key, inner in value.items():
        field = kind.fields_by_name.get(key) if isinstance(key, str) else None
        at = _below(path, key)
        if field is None:
            violations.append(Violation(at, f"is not known here; there are {', '.join(kind.fields_by_name)}"))
        elif inner is not None:  # absent, as in protobuf's JSON
            normal[field.name] = _field(field, inner, at, violations)
    return normal


def _field(field: FieldDescriptor, value: object, path: str, violations: list[Violation]) -> object:
    if not field.is_repeated:
        return _single(field, value, path, violations)
    if not isinstance(value, (list, tuple)):
        violations.append(Violation(path, f"is {_shown(value)}, and must be a list"))
        return []
    return [_single(field, one, f"{path}[{index}]", violations) for index, one in enumerate(value)]


def _single(field: FieldDescriptor, value: object, path: str, violations: list[Violation]) -> object:
    if field.message_type is not None and field.message_type.full_name != _A_DURATION:
        return _message(field.message_type, value, path, violations)
    normal, expected = _scalar(field, value)
    if normal is None:
        violations.append(Violation(path, f"is {_shown(value)}, and must be {expected}"))
    return normal


def _scalar(field: FieldDescriptor, value: object) -> tuple[object, str]:
    """Protobuf's JSON of a value, None when it is wrong; and what it must be."""
    if field.message_type is not None:
        return _duration(value), "such as 30m, 12h or 90d"
    if field.enum_type is not None:
        names = _short_names(field.enum_type)
        return _enum(names, value), f"one of {', '.join(names)}"
    match field.type:
        case FieldDescriptor.TYPE_BOOL:
            return value if isinstance(value, bool) else None, "true or false"
        case FieldDescriptor.TYPE_DOUBLE:
            return _number(value), "a finite number"
        case FieldDescriptor.TYPE_INT32:
            is_whole = isinstance(value, int) and not isinstance(value, bool) and value in _INT32
            return value if is_whole else None, "a whole number"
        case _:
            return value if _is_text(value) else None, "a text"


def _duration(value: object) -> str | None:
    if isinstance(value, str):
        found = _DURATION.fullmatch(value)
        seconds = float(found[1]) * _SECONDS[found[2]] if found else -1.0
    else:
        number = _number(value)
        seconds = -1.0 if number is None else number
    return f"{seconds:.6f}s" if 0 <= seconds <= _MOST_SECONDS else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > sys.float_info.max:
        return None
    return None if math.isnan(value) else float(value)


def _is_text(value: object) -> bool:
    """Whether it can be sent: half a surrogate pair, which JSON may hold, cannot."""
    return isinstance(value, str) and value == value.encode(errors="ignore").decode()


def _enum(names: Mapping[str, str], value: object) -> str | None:
    short = _NOT_ASSESSED if value is None else value
    if not isinstance(short, str):
        return None
    return short if short in names.values() else names.get(short)


def _short_names(kind: EnumDescriptor) -> dict[str, str]:
    """`production` for `STAGE_PRODUCTION`, and so on. What is not specified has a name only where that means something."""
    nothing, *others = (value.name for value in kind.values)
    prefix = nothing.removesuffix("UNSPECIFIED")
    names = {name.removeprefix(prefix).lower(): name for name in others}
    meaning = _UNSPECIFIED.get(kind.name)
    return names if meaning is None else {**names, meaning: nothing}


def _below(path: str, key: object) -> str:
    name = key if isinstance(key, str) and _KEY.fullmatch(key) else repr(key)[:64]
    return f"{path}.{name}" if path else name


def _shown(value: object) -> str:
    text = "empty" if value is None else repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _refused(violations: list[Violation]) -> InvalidArgument:
    named = "; ".join(f"{violation.field or 'the document'}: {violation.description}" for violation in violations)
    return InvalidArgument(f"this is no policy: {named}", reason="INVALID_FIELD", violations=violations)
