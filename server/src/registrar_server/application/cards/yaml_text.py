"""YAML of cards: read safely, written so that it is read back as it was.

Nothing but mappings, lists and scalars is made of it: no tags, no aliases (small texts can stand for enormous ones), no
dates. Scalars stay the texts that they are; see `Plain`.
"""

from __future__ import annotations

from typing import Any

import yaml

from registrar_server.application.cards.document import DEPTH, Plain, is_writable
from registrar_server.domain.errors import Reason, RegistrarError

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_BREAKS = ("\r", "\x85", "\u2028", "\u2029")


def malformed(problem: str, line: int) -> RegistrarError:
    """That a text is no card; lines count from 1."""
    return RegistrarError(Reason.CARD_MALFORMED, f"line {line}: {problem}", metadata={"line": str(line)})


def load_mapping(text: str, *, first_line: int = 1) -> dict[str, Any]:
    """The mapping that a text is, with `Plain` scalars; nothing is an empty one. CARD_MALFORMED.

    `first_line` is the number of the text's first line, for the error.
    """
    try:
        return _Builder(first_line).build(text)
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line if exc.problem_mark else 0
        raise malformed(f"is no YAML: {exc.problem}", first_line + line) from None
    except (yaml.YAMLError, UnicodeError, ValueError):
        raise malformed("is no YAML: has characters that it cannot have", first_line) from None


def dump_mapping(document: dict[str, Any]) -> str:
    """A document as YAML, keys in their order, a text of several lines as a block."""
    if not document:
        return ""
    # Lines are not folded: an emitter that breaks quoted texts where it likes is harder to read, and to trust.
    text: str = yaml.dump(
        document, Dumper=_CardDumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=2**30
    )
    return text


class _CardDumper(_DUMPER):  # type: ignore[misc]
    """A dumper of its own, so that its way with texts is nobody else's."""

    def ignore_aliases(self, _data: object) -> bool:
        """Nothing is written as an alias."""
        return True


def _represent_text(dumper: Any, text: str) -> yaml.ScalarNode:
    style = None
    if any(character in text for character in _BREAKS):
        style = '"'
    elif "\n" in text and text == text.strip() and " \n" not in text and "\t" not in text:
        style = "|"
    node: yaml.ScalarNode = dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)
    return node


_CardDumper.add_representer(str, _represent_text)


class _Builder:
    """Puts a mapping together from the events of the parser, which has no depth of its own."""

    def __init__(self, first_line: int) -> None:
        self._first_line = first_line
        self._open: list[dict[str, Any] | list[Any]] = []
        self._keys: list[str | None] = []
        self._root: Any = None
        self._documents = 0

    def build(self, text: str) -> dict[str, Any]:
        for event in yaml.parse(text, Loader=_LOADER):
            self._take(event)
        if self._root is None or self._root == "":
            return {}
        if not isinstance(self._root, dict):
            raise malformed("must be a mapping", self._first_line)
        return self._root

    def _take(self, event: Any) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise self._refusal(event, "a second document begins")
        elif isinstance(event, yaml.AliasEvent):
            raise self._refusal(event, "aliases are not taken")
        elif isinstance(event, yaml.ScalarEvent):
            self._refuse_tag(event)
            self._add(self._scalar(event), event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._refuse_tag(event)
            if len(self._open) >= DEPTH:
                raise self._refusal(event, "collections lie too deep in each other")
            made: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
            self._add(made, event)
            self._open.append(made)
            self._keys.append(None)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
            self._keys.pop()

    def _add(self, value: Any, event: Any) -> None:
        if not self._open:
            self._root = value
            return
        part, key = self._open[-1], self._keys[-1]
        if isinstance(part, list):
            part.append(value)
        elif key is not None:
            part[key] = value
            self._keys[-1] = None
        elif not isinstance(value, str):
            raise self._refusal(event, "a key must be a text")
        elif value in part:
            raise self._refusal(event, f"the key {value[:64]} is there twice")
        else:
            self._keys[-1] = str(value)

    def _scalar(self, event: Any) -> str:
        text: str = event.value
        if not is_writable(text):
            raise self._refusal(event, "has characters that a card cannot have")
        return text if event.style else Plain(text)

    def _refuse_tag(self, event: Any) -> None:
        if event.tag is not None:
            raise self._refusal(event, "tags are not taken")

    def _refusal(self, event: Any, problem: str) -> RegistrarError:
        return malformed(problem, self._first_line + event.start_mark.line)
