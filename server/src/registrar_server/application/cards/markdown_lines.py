"""Lines of Markdown: headings, labels, code between fences, and the backslash that makes a line mean itself."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

UNTITLED = "<!-- model card without a title -->"
"""Stands before a chapter that is no title."""

_HEADING = re.compile(r"(#{1,2})[ \t]+(\S.*)")
_LABEL = re.compile(r"\*\*([^*:]+):\*\*(?:[ \t]+(.*))?")
_FENCE = re.compile(r"(`{3,}|~{3,})(.*)")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of one of the two levels that make sections."""

    level: int
    text: str


def heading_of(line: str) -> Heading | None:
    """The heading that a line is."""
    found = _HEADING.fullmatch(line)
    return Heading(len(found[1]), " ".join(found[2].split())) if found else None


def label_of(line: str, labels: Collection[str]) -> tuple[str, str] | None:
    """The label that a line begins with, in lower case, if it is one of `labels`; and what follows on the line."""
    found = _LABEL.fullmatch(line)
    if found is None or found[1].lower() not in labels:
        return None
    return found[1].lower(), found[2] or ""


def outside_fences(lines: Sequence[str]) -> list[bool]:
    """Of each line, whether it is no code between fences. A fence that is never closed is none."""
    outside = [True] * len(lines)
    closings = _closings(lines)
    index = 0
    while index < len(lines):
        opening = _opening(lines[index])
        end = _end_of_code(closings, opening, index) if opening else 0
        if end:
            outside[index : end + 1] = [False] * (end + 1 - index)
            index = end
        index += 1
    return outside


def escaped(text: str, labels: Collection[str]) -> str:
    """A text whose lines are no headings, labels or fences that are never closed."""
    lines = text.split("\n")
    return "\n".join(
        f"\\{line}" if is_outside and _is_special(line.lstrip("\\"), labels) else line
        for line, is_outside in zip(lines, outside_fences(lines), strict=True)
    )


def unescaped(lines: Sequence[str], labels: Collection[str]) -> list[str]:
    """The lines of a text that `escaped` gave."""
    return [
        line[1:] if is_outside and line.startswith("\\") and _is_special(line.lstrip("\\"), labels) else line
        for line, is_outside in zip(lines, outside_fences(lines), strict=True)
    ]


def _is_special(line: str, labels: Collection[str]) -> bool:
    return bool(heading_of(line) or label_of(line, labels) or _opening(line) or line == UNTITLED)


def _opening(line: str) -> str:
    """The fence that a line opens code with; empty: none."""
    found = _FENCE.fullmatch(line)
    return found[1] if found and not (found[1][0] == "`" and "`" in found[2]) else ""


@dataclass(frozen=True, slots=True)
class _Closing:
    """A line that can close code, and the longest one from there on."""

    index: int
    length: int
    longest: int


def _closings(lines: Sequence[str]) -> Mapping[str, list[_Closing]]:
    """Lines that can close code, by the character that they are made of, the last one first."""
    found: dict[str, list[_Closing]] = {}
    for index in range(len(lines) - 1, -1, -1):
        matched = _FENCE.fullmatch(lines[index])
        if matched and not matched[2].strip():
            places, length = found.setdefault(matched[1][0], []), len(matched[1])
            places.append(_Closing(index, length, max(length, places[-1].longest) if places else length))
    return found


def _end_of_code(closings: Mapping[str, list[_Closing]], opening: str, start: int) -> int:
    """Where code that begins at `start` ends; 0: nowhere. Places that have been passed are dropped."""
    places = closings.get(opening[0], [])
    while places and places[-1].index <= start:
        places.pop()
    # Without this every opening that nothing closes would look at all that follows.
    if not places or places[-1].longest < len(opening):
        return 0
    return next(place.index for place in reversed(places) if place.length >= len(opening))
