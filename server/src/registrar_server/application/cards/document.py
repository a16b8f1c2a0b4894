"""A card as a document of mappings, lists and scalars: what its YAML says, and what is stored as JSON.

Reading takes what it knows and keeps all else under its place (`ModelCard.additional_fields`), so that writing gives back
a document that says the same. What is read is normal: texts without white space at their ends, groups sorted, nothing empty.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from registrar_server.application.cards.layout import (
    ADDITIONAL_SECTIONS,
    ONE_LINE,
    PARTS,
    PER_DATASET,
    PER_GROUP,
    PLACES,
    SECTION_FIELDS,
    TITLES,
    CardField,
    Kind,
    fields_of,
    part_of,
)
from registrar_server.application.cards.model_index import MODEL_INDEX, is_made_here
from registrar_server.domain.cards import AdditionalSection, GroupMetrics, ModelCard

FRONT_MATTER = "hugging_face"
KEPT_FIELDS = "registrar_additional_fields"
"""Key of the front matter that holds what has no place in Markdown."""

DEPTH = 50
"""So many collections may lie in each other."""

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_WHOLE = re.compile(r"-?(?:0|[1-9]\d{0,17})")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_TITLES = frozenset(title.casefold() for title in TITLES.values())
_CONTAINERS = frozenset(place.path[:depth] for place in PLACES for depth in range(1, len(place.path))) | frozenset(
    {PER_GROUP[:1]}
)


class Plain(str):
    """A scalar that stands in YAML without quotes: a text where a text is meant, else what it looks like."""

    __slots__ = ()


class NoCard(ValueError):
    """A document is not that of a card; the message says why."""


def dump_card(card: ModelCard) -> str:
    """A card as canonical JSON."""
    return canonical(document_of(card))


def load_card(content: str) -> ModelCard:
    """The card that `dump_card` wrote."""
    return card_of(json.loads(content))


def card_digest(content: str, revision: int) -> str:
    """`sha256:` and the SHA-256 of what a revision says and which it is."""
    text = f'{{"card":{content},"revision":{revision}}}'
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def canonical(value: object) -> str:
    """JSON with keys in order and no white space."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def normal(card: ModelCard) -> ModelCard:
    """The same card as reading gives it; `NoCard` when it cannot be read back."""
    return card_of(document_of(card))


def one_line(text: str) -> str:
    """A text on one line."""
    return " ".join(text.split())


def spelled(value: float) -> str:
    """A number as YAML writes it."""
    text = repr(value)
    return text.replace("e", ".0e", 1) if "e" in text and "." not in text else text


def document_of(card: ModelCard) -> dict[str, Any]:
    """The YAML form of a card; what is empty is left out. `NoCard` when an additional field has no room."""
    document: dict[str, Any] = {}
    for place in PLACES:
        value = getattr(part_of(card, place.part), place.field.name)
        if value:
            _put(document, place.path, _plain(place.field, value))
        if place.path == ("metrics", "variation"):
            _put_groups(document, card.quantitative_analyses.per_group)
    if card.additional_sections:
        document[ADDITIONAL_SECTIONS] = [_section_document(section) for section in card.additional_sections]
    for pointer in sorted(card.additional_fields):
        _put_pointer(document, pointer, _json_at(pointer, card.additional_fields[pointer]))
    return document


def card_of(document: Mapping[str, Any]) -> ModelCard:
    """The card of a document; `NoCard` when it can be none."""
    reader = _Reader(document)
    parts: dict[str, dict[str, Any]] = {name: {} for name in ("", *PARTS)}
    for place in PLACES:
        parts[place.part][place.field.name] = reader.read(place.field, place.path)
    parts["quantitative_analyses"]["per_group"] = reader.groups()
    sections = reader.sections()
    reader.keep_rest()
    return ModelCard(
        **{name: PARTS[name](**values) for name, values in parts.items() if name},
        **parts[""],
        additional_sections=sections,
        additional_fields=reader.kept,
    )


class _Reader:
    """Takes a document apart; `kept` has what nobody took."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._rest = _copied(document)
        self.kept: dict[str, str] = {}

    def read(self, field: CardField, path: tuple[str, ...]) -> Any:
        """The value of a field that stands at a path."""
        value, pointer = self._take(path), _pointer(path)
        match field.kind:
            case Kind.TEXT:
                text = self._text(value, pointer)
                return one_line(text) if field.name in ONE_LINE else text
            case Kind.TEXTS:
                return self._texts(value, pointer)
            case Kind.NUMBERS:
                return self._numbers(value, pointer)
            case _:
                return self._items(field, value, pointer)

    def groups(self) -> tuple[GroupMetrics, ...]:
        """Metrics of groups, sorted."""
        found = list(self._groups(self._take(PER_GROUP), _pointer(PER_GROUP), ""))
        by_dataset, pointer = self._take(PER_DATASET), _pointer(PER_DATASET)
        if isinstance(by_dataset, dict):
            for dataset, part in by_dataset.items():
                if is_name(dataset):
                    found += self._groups(part, _below(pointer, dataset), str(dataset))
                else:
                    self._keep(_below(pointer, dataset), part)
        elif by_dataset is not None:
            self._keep(pointer, by_dataset)
        return tuple(sorted(found, key=lambda group: group.key))

    def sections(self) -> tuple[AdditionalSection, ...]:
        """The sections beyond the nine."""
        value = self._take((ADDITIONAL_SECTIONS,))
        if value is None:
            return ()
        if not isinstance(value, list):
            raise NoCard(f"{ADDITIONAL_SECTIONS} is no list")
        return tuple(map(_section, value))

    def keep_rest(self) -> None:
        """Keep what nobody took."""
        self._keep_below((), self._rest)

    def _keep_below(self, path: tuple[str, ...], rest: dict[str, Any]) -> None:
        for key, value in rest.items():
            at = (*path, key)
            if at in _CONTAINERS and isinstance(value, dict):
                self._keep_below(at, value)
            elif at == (FRONT_MATTER, KEPT_FIELDS):
                raise NoCard(f"{KEPT_FIELDS} has a meaning of its own")
            elif not _is_of_no_use(at, value):
                self._keep(_pointer(at), value)

    def _take(self, path: tuple[str, ...]) -> Any:
        """What stands at a path, taken out; None: nothing."""
        *above, last = path
        part: Any = self._rest
        for key in above:
            part = part.get(key)
            if not isinstance(part, dict):
                return None
        return part.pop(last, None)

    def _keep(self, pointer: str, value: Any) -> None:
        self.kept[pointer] = canonical(_resolved(value))

    def _text(self, value: Any, pointer: str) -> str:
        if isinstance(value, dict | list):
            self._keep(pointer, value)
            return ""
        return _clean(value)

    def _texts(self, value: Any, pointer: str) -> tuple[str, ...]:
        if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(v, dict | list) for v in value)):
            self._keep(pointer, value)
            return ()
        return tuple(filter(None, map(_clean, value if isinstance(value, list) else [value])))

    def _numbers(self, value: Any, pointer: str) -> dict[str, float]:
        found: dict[str, float] = {}
        if not isinstance(value, dict):
            if not _is_nothing(value):
                self._keep(pointer, value)
            return found
        for key, one in value.items():
            number = number_of(one) if is_name(key) else None
            if number is None:
                self._keep(_below(pointer, key), one)
            else:
                found[str(key)] = number
        return dict(sorted(found.items()))

    def _items(self, field: CardField, value: Any, pointer: str) -> tuple[Any, ...]:
        if _is_nothing(value):
            return ()
        if not isinstance(value, list) or any(isinstance(one, list) for one in value) or field.item is None:
            self._keep(pointer, value)
            return ()
        found: list[Any] = []
        names = [own.name for own in fields_of(field.item)]
        for one in value:
            at, document = f"{pointer}/{len(found)}", one if isinstance(one, dict) else {names[0]: one}
            kept = len(self.kept)
            item = field.item(**{name: self._text(document.get(name), _below(at, name)) for name in names})
            for key in [key for key in document if key not in names]:
                self._keep(_below(at, key), document[key])
            if item != field.item() or len(self.kept) > kept:
                found.append(item)
        return tuple(found)

    def _groups(self, value: Any, pointer: str, dataset: str) -> Iterator[GroupMetrics]:
        if not isinstance(value, dict):
            if not _is_nothing(value):
                self._keep(pointer, value)
            return
        for dimension, groups in value.items():
            at = _below(pointer, dimension)
            if not is_name(dimension) or not isinstance(groups, dict):
                self._keep(at, groups)
                continue
            for group, metrics in groups.items():
                if not is_name(group):
                    self._keep(_below(at, group), metrics)
                    continue
                numbers = self._numbers(metrics, _below(at, group))
                if numbers:
                    yield GroupMetrics(str(dimension), str(group), dataset, numbers)


def _section(document: Any) -> AdditionalSection:
    if not isinstance(document, dict) or not set(document) <= set(SECTION_FIELDS):
        raise NoCard(f"{ADDITIONAL_SECTIONS} has an entry without heading and text")
    heading, text = one_line(_clean(document.get("heading"))), document.get("text")
    if not heading or isinstance(text, dict | list) or isinstance(document.get("heading"), dict | list):
        raise NoCard(f"{ADDITIONAL_SECTIONS} has an entry without heading and text")
    if heading.casefold() in _TITLES:
        raise NoCard(f"an additional section has the heading of one of the nine: {heading}")
    is_chapter = _resolved(document.get("is_chapter"))
    return AdditionalSection(heading, block_text("" if text is None else str(text)), is_chapter is True)


def block_text(text: str) -> str:
    """A text of several lines without blank lines at its ends; its first line keeps its indentation."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").rstrip().split("\n")
    start = next((index for index, line in enumerate(lines) if line.strip()), len(lines))
    return "\n".join(lines[start:])


def _section_document(section: AdditionalSection) -> dict[str, Any]:
    document: dict[str, Any] = {"heading": section.heading, "text": section.text}
    return document | {"is_chapter": True} if section.is_chapter else document


def _plain(field: CardField, value: Any) -> Any:
    match field.kind:
        case Kind.TEXT:
            return str(value)
        case Kind.TEXTS:
            return list(value)
        case Kind.NUMBERS:
            return {key: float(value[key]) for key in sorted(value)}
        case _:
            return [{own.name: text for own in fields_of(type(i)) if (text := getattr(i, own.name))} for i in value]


def _put_groups(document: dict[str, Any], groups: Sequence[GroupMetrics]) -> None:
    for group in groups:
        path = (*PER_DATASET, group.dataset) if group.dataset else PER_GROUP
        metrics = {key: float(group.metrics[key]) for key in sorted(group.metrics)}
        _put(document, (*path, group.dimension, group.group), metrics)


def _put(document: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    *above, last = path
    for key in above:
        document = document.setdefault(key, {})
    document[last] = value


def _put_pointer(document: dict[str, Any], pointer: str, value: Any) -> None:
    """Put a value where nothing is yet; what leads there is made, but for entries of lists."""
    if not pointer.startswith("/"):
        raise NoCard(f"{pointer[:200]!r} is no place in a card")
    *above, last = (key.replace("~1", "/").replace("~0", "~") for key in pointer[1:].split("/"))
    part: Any = document
    for key in above:
        if isinstance(part, dict):
            part = part.setdefault(key, {})
        elif isinstance(part, list) and key.isdecimal() and int(key) < len(part):
            part = part[int(key)]
        else:
            raise NoCard(f"{pointer[:200]} leads nowhere")
    if not isinstance(part, dict) or last in part:
        raise NoCard(f"{pointer[:200]} has no room: something else is there")
    part[last] = value


def _json_at(pointer: str, text: str) -> Any:
    """What an additional field holds; `NoCard` for what a card cannot have, or what lies too deep to be read back."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise NoCard(f"{pointer[:200]} holds no JSON") from None
    if not _is_fit(value, DEPTH - pointer.count("/")):
        raise NoCard(f"{pointer[:200]} lies too deep, or has characters or numbers that a card cannot have")
    return value


def _is_fit(value: Any, depth: int) -> bool:
    """Whether it has no more collections in each other than `depth`, texts that can be written, and finite numbers."""
    if isinstance(value, dict):
        return depth > 0 and all(is_writable(key) and _is_fit(one, depth - 1) for key, one in value.items())
    if isinstance(value, list):
        return depth > 0 and all(_is_fit(one, depth - 1) for one in value)
    if isinstance(value, str):
        return depth >= 0 and is_writable(value)
    return depth >= 0 and (not isinstance(value, float) or math.isfinite(value))


def is_writable(text: str) -> bool:
    """Whether a text can be stored: no NUL, no half of a character."""
    return "\x00" not in text and not any(0xD800 <= ord(character) <= 0xDFFF for character in text)


def _pointer(path: tuple[str, ...]) -> str:
    return "".join(_below("", key) for key in path)


def _below(pointer: str, key: str) -> str:
    return f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"


def _copied(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in document.items()}


def _clean(value: Any) -> str:
    """A scalar as text, without white space at its ends."""
    if value is None or (isinstance(value, Plain) and value in ("~", "null")):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    text = spelled(value) if isinstance(value, float) else str(value)
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def number_of(value: Any) -> float | None:
    """The finite number that a value is or spells; None: none."""
    if isinstance(value, dict | list | bool) or value is None:
        return None
    text = str(value)
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    return number if math.isfinite(number) else None


def is_name(key: str) -> bool:
    """Whether it can name a metric or a group: one line, without white space at its ends."""
    return bool(key) and one_line(key) == key


def _is_nothing(value: Any) -> bool:
    return value in (None, {}, []) or (isinstance(value, Plain) and value in ("", "~", "null"))


def _is_of_no_use(path: tuple[str, ...], value: Any) -> bool:
    """A part without anything in it, or an index that is made anew each time."""
    if path == (FRONT_MATTER, MODEL_INDEX):
        return is_made_here(value)
    return path in _CONTAINERS and _is_nothing(value)


def _resolved(value: Any) -> Any:
    """A value with plain scalars as what they look like."""
    if isinstance(value, Mapping):
        return {str(key): _resolved(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_resolved(one) for one in value]
    return _looked_at(value) if isinstance(value, Plain) else value


def _looked_at(value: Plain) -> bool | int | float | str | None:
    """What a plain scalar looks like. A number that is spelled in another way than here is a text."""
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    if _WHOLE.fullmatch(value):
        return int(value)
    if "." in value and _NUMBER.fullmatch(value):
        number = float(value)
        if math.isfinite(number) and spelled(number) == value:
            return number
    return str(value)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
