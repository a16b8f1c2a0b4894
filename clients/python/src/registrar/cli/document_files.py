"""Documents that people write, in JSON or YAML."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from registrar.errors import InvalidArgument

LARGEST_BYTES = 1 << 20
STANDARD_INPUT = "-"
_YAML = (".yaml", ".yml")


def is_document(text: str) -> bool:
    """Whether it names a file by how it ends, or standard input."""
    return text == STANDARD_INPUT or text.endswith((".json", *_YAML))


def read_document(name: str) -> Mapping[str, object]:
    """The mapping in a file: YAML where its name ends so, else JSON, as on standard input (`-`).

    Errors: InvalidArgument DOCUMENT_UNREADABLE when it cannot be read, is larger than LARGEST_BYTES, is neither, says
    something twice or is no mapping; YAML_NOT_INSTALLED when it is YAML and PyYAML, which not everybody needs, is not there.
    """
    try:
        text = _content(name).decode()
    except OSError as exc:
        raise _unreadable(name, f"cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise _unreadable(name, "is not UTF-8") from exc
    document = _from_yaml(name, text) if name.endswith(_YAML) else _from_json(name, text)
    if not isinstance(document, dict):
        raise _unreadable(name, "is no mapping")
    return document


def _content(name: str) -> bytes:
    if name == STANDARD_INPUT:
        content = sys.stdin.buffer.read(LARGEST_BYTES + 1)
    else:
        with Path(name).open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    if len(content) > LARGEST_BYTES:
        raise _unreadable(name, f"has more than {LARGEST_BYTES} bytes")
    return content


def _from_json(name: str, text: str) -> object:
    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        members = dict(pairs)
        if len(members) < len(pairs):
            keys = [key for key, _ in pairs]
            raise _unreadable(name, f"says {next(key for key in keys if keys.count(key) > 1)!r} twice")
        return members

    try:
        document: object = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as exc:
        raise _unreadable(name, f"is no JSON: {exc}") from exc
    return document


def _from_yaml(name: str, text: str) -> object:
    try:
        yaml = import_module("yaml")
    except ImportError as exc:
        raise InvalidArgument(
            f"{name} is YAML, and PyYAML is not installed: install pyyaml, or write JSON", reason="YAML_NOT_INSTALLED"
        ) from exc
    try:
        _check_once(name, yaml, yaml.compose(text, Loader=yaml.SafeLoader), set())
        document: object = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        raise _unreadable(name, f"is no YAML: {' '.join(str(exc).split())}") from exc
    return document


def _check_once(name: str, yaml: Any, node: Any, seen: set[int]) -> None:
    """Refuse a key that is there twice, of which YAML's own loader keeps the last without a word."""
    if id(node) in seen:  # an alias: looked at where it was first
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1:
                raise _unreadable(name, f"says {key!r} twice")
        for pair in node.value:
            for inner in pair:
                _check_once(name, yaml, inner, seen)
    elif isinstance(node, yaml.SequenceNode):
        for inner in node.value:
            _check_once(name, yaml, inner, seen)


def _unreadable(name: str, problem: str) -> InvalidArgument:
    return InvalidArgument(f"{name} {problem}", reason="DOCUMENT_UNREADABLE")
