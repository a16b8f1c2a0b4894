"""Values of the domain as JSON has them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from registrar_server.domain.canonical import canonical_json
from registrar_server.domain.versions import Facts


def facts_digest(facts: Facts) -> str:
    """What the entry of a registration says of a version's facts: `sha256:` and the SHA-256 of them as JSON, keys in order.

    What is empty is left out, so that a kind of fact that is added later changes no digest.
    """
    text = canonical_json(_filled(plain(facts)))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def plain(value: object) -> object:
    """Records as objects, enums as their values, times in RFC 3339 with microseconds, durations in seconds."""
    made: object
    match value:
        case Enum():
            made = value.value
        case datetime():
            made = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        case timedelta():
            made = value.total_seconds()
        case Mapping():
            made = {str(key): plain(one) for key, one in value.items()}
        case str() | bytes():
            made = value
        case AbstractSet():
            made = sorted(map(str, map(plain, value)))
        case Sequence():
            made = [plain(one) for one in value]
        case _ if is_dataclass(value):
            made = {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        case _:
            made = value
    return made


def _filled(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _filled(one) for key, one in value.items() if one not in (None, "", [], {})}
    return [_filled(one) for one in value] if isinstance(value, list) else value
