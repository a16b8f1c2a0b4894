"""One part of a card in Markdown: text without a label, then fields with theirs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from registrar_server.application.cards.document import is_name, number_of
from registrar_server.application.cards.layout import CardField, Kind, fields_of
from registrar_server.application.cards.markdown_lines import escaped, label_of, outside_fences, unescaped
from registrar_server.domain.cards import GroupMetrics

_BULLET = re.compile(r"(?:[-*+]|\d{1,9}[.)])(?:[ \t]+(.*))?")
_RULE = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*(?:\|[ \t]*)?")
_CELL_END = re.compile(r"(?<!\\)(?:\\\\)*\|")
_ESCAPED = re.compile(r"\\([\\|])")
_NUMBER_HEADS = ("Metric", "Value")
_GROUP_HEADS = ("Dimension", "Group", "Data set", "Metric", "Value")


def render_block(fields: Sequence[CardField], part: object) -> list[str]:
    """The blocks of a part, to be written with a blank line between them; none where it says nothing."""
    labels = _labels(fields)
    blocks: list[str] = []
    for index, field in enumerate(fields):
        value = getattr(part, field.name)
        if not value:
            continue
        label = "" if index == 0 else f"**{field.label}:**"
        if field.kind is Kind.TEXT and label and "\n" not in value:
            blocks.append(f"{label} {value}")
        else:
            blocks += [label] if label else []
            blocks.append(_rendered(field, value, labels))
    return blocks


def read_block(fields: Sequence[CardField], lines: Sequence[str]) -> dict[str, Any]:
    """The values of the fields of a part. What stands where numbers are meant, and is none, goes to its text."""
    labels = _labels(fields)
    said: dict[str, list[str]] = {field.name: [] for field in fields}
    current = said[fields[0].name]
    for line, raw, is_outside in zip(unescaped(lines, labels), lines, outside_fences(lines), strict=True):
        labelled = label_of(raw, labels) if is_outside else None
        if labelled is None:
            current.append(line)
            continue
        current = said[labels[labelled[0]]]
        current += ["", labelled[1]] if current else [labelled[1]]
    values: dict[str, Any] = {}
    left: list[str] = []
    for field in fields[1:]:
        values[field.name] = _read(field, said[field.name], left)
    return {fields[0].name: "\n".join([*said[fields[0].name], "", *left]).strip(), **values}


def _labels(fields: Sequence[CardField]) -> Mapping[str, str]:
    """Names of fields by their labels in lower case; the first has none."""
    return {field.label.lower(): field.name for field in fields[1:]}


def _rendered(field: CardField, value: Any, labels: Mapping[str, str]) -> str:
    match field.kind:
        case Kind.TEXT:
            return escaped(value, labels)
        case Kind.TEXTS:
            return "\n".join(map(_bullet, value))
        case Kind.ITEMS:
            own = fields_of(type(value[0]))
            return "\n".join(_bullet("\n\n".join(render_block(own, item))) for item in value)
        case Kind.NUMBERS:
            return _table(_NUMBER_HEADS, ((name, repr(float(value[name]))) for name in sorted(value)))
        case Kind.GROUPS:
            return _table(_GROUP_HEADS, _group_rows(value))


def _read(field: CardField, lines: Sequence[str], left: list[str]) -> Any:
    match field.kind:
        case Kind.TEXT:
            return "\n".join(lines).strip()
        case Kind.TEXTS:
            return tuple(filter(None, ("\n".join(item).strip() for item in _bullets(lines))))
        case Kind.ITEMS if field.item is not None:
            own = fields_of(field.item)
            return tuple(field.item(**read_block(own, item)) for item in _bullets(lines))
        case Kind.NUMBERS:
            return _numbers(lines, left)
        case _:
            return _groups(lines, left)


def _bullet(text: str) -> str:
    first, *others = text.split("\n")
    return "\n".join(
        [f"- {first}".rstrip(" ") if not first else f"- {first}", *(f"  {o}" if o else "" for o in others)]
    )


def _bullets(lines: Sequence[str]) -> list[list[str]]:
    """The lines of each entry of a list, without what marks and indents them."""
    items: list[list[str]] = []
    for line in lines:
        found = _BULLET.fullmatch(line)
        if found:
            items.append([found[1] or ""])
        elif items and line.startswith("  "):
            items[-1].append(line[2:])
        elif not line.strip():
            if items:
                items[-1].append("")
        elif items and items[-1][-1]:
            items[-1].append(line)
        else:
            items.append([line])
    return items


def _table(heads: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")


def _group_rows(groups: Sequence[GroupMetrics]) -> Iterator[tuple[str, ...]]:
    for group in groups:
        for name in sorted(group.metrics):
            yield (*group.key, name, repr(float(group.metrics[name])))


def _rows(lines: Sequence[str], width: int, left: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Rows of tables, each with its line; all other lines go to `left`."""
    is_table = False
    for index, line in enumerate(lines):
        is_ruled = index + 1 < len(lines) and _RULE.fullmatch(lines[index + 1]) is not None
        if line.startswith("|") and (is_table or is_ruled):
            cells = _cells(line)
            if not is_table or _RULE.fullmatch(line):
                is_table = True
            elif len(cells) == width:
                yield line, cells
            else:
                left.append(line)
        else:
            is_table = False
            if line.strip():
                left.append(line)


def _cells(line: str) -> list[str]:
    text = line.strip().removeprefix("|")
    cells: list[str] = []
    start = 0
    for found in _CELL_END.finditer(text):
        cells.append(text[start : found.end() - 1])
        start = found.end()
    if text[start:].strip():
        cells.append(text[start:])
    return [_ESCAPED.sub(r"\1", cell.strip()) for cell in cells]


def _numbers(lines: Sequence[str], left: list[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for line, (name, value) in _rows(lines, len(_NUMBER_HEADS), left):
        number = number_of(value)
        if number is None or not is_name(name) or name in found:
            left.append(line)
        else:
            found[name] = number
    return found


def _groups(lines: Sequence[str], left: list[str]) -> tuple[GroupMetrics, ...]:
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for line, (dimension, group, dataset, name, value) in _rows(lines, len(_GROUP_HEADS), left):
        number = number_of(value)
        metrics = found.setdefault((dimension, group, dataset), {})
        if number is None or not (is_name(dimension) and is_name(group) and is_name(name)) or name in metrics:
            left.append(line)
        else:
            metrics[name] = number
    return tuple(GroupMetrics(*key, metrics) for key, metrics in found.items() if metrics)
