"""What a field is compared with: a text as it was written, and its readings as text, number, time or version."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from registrar_server.application.search.refusal import Misplaced
from registrar_server.domain.search import (
    TEXT_CHARACTERS,
    Begins,
    Compared,
    Contains,
    Ends,
    InRange,
    Operator,
    Present,
    Test,
)
from registrar_server.domain.semantic_versions import SEMANTIC_VERSION, SemanticRange, SemanticVersion
from registrar_server.domain.values import Stage

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d))?",
    re.ASCII,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Argument:
    """What stands behind a comparator. `text` is without quotes and still has its backslashes."""

    text: str
    column: int
    is_quoted: bool

    @property
    def shown(self) -> str:
        """For a message."""
        cut = self.text[:_SHOWN_CHARACTERS]
        return f'"{cut}…"' if len(cut) < len(self.text) else f'"{cut}"'

    @property
    def plain(self) -> str:
        """Without backslashes; those of an unquoted one stand for themselves."""
        return _ESCAPED.sub(r"\1", self.text) if self.is_quoted else self.text

    @property
    def is_anything(self) -> bool:
        """A `*` alone: whatever the value is, there must be one."""
        return self.text == "*"

    @property
    def is_number(self) -> bool:
        """An unquoted number."""
        return not self.is_quoted and _NUMBER.fullmatch(self.text) is not None

    def pattern(self) -> Test:
        """A text to be equal to, or one with a `*` at the beginning, the end, or both; escaped, a `*` is a star."""
        if self.is_anything:
            return Present()
        body = self.text
        is_open_before = body.startswith("*")
        body = body[1:] if is_open_before else body
        is_open_behind = _ends_in_star(body, is_escaping=self.is_quoted)
        body = body[:-1] if is_open_behind else body
        if _has_star(body, is_escaping=self.is_quoted):
            raise Misplaced(
                self.column, 'a * stands at the beginning or the end; where a star is meant, quote it: "\\*"'
            )
        text = self._limited(_ESCAPED.sub(r"\1", body) if self.is_quoted else body)
        if is_open_before and is_open_behind:
            return Contains(text)
        if is_open_behind:
            return Begins(text)
        return Ends(text) if is_open_before else Compared(Operator.EQUAL, text)

    def as_text(self) -> str:
        """Exactly this text."""
        return self._limited(self.plain)

    def as_number(self, field: str) -> float:
        """A finite number."""
        if _NUMBER.fullmatch(self.plain) is None or not math.isfinite(float(self.plain)):
            raise Misplaced(self.column, f"{field} is a number; {self.shown} is none")
        return float(self.plain)

    def as_whole_number(self, field: str) -> int:
        """A number of 64 bits."""
        if _WHOLE.fullmatch(self.plain) is None or not -(2**63) <= int(self.plain) < 2**63:
            raise Misplaced(self.column, f"{field} is a whole number; {self.shown} is none")
        return int(self.plain)

    def as_time(self, field: str) -> datetime:
        """A time of RFC 3339, or a day, which begins at midnight in UTC."""
        wanted = f'{field} is a time such as "2025-03-15T12:00:00Z" or "2025-03-15"; {self.shown} is none'
        if _TIME.fullmatch(self.plain) is None:
            raise Misplaced(self.column, wanted)
        try:
            time = datetime.fromisoformat(self.plain.upper())
        except ValueError:
            raise Misplaced(self.column, wanted) from None
        return time if time.tzinfo else time.replace(tzinfo=UTC)

    def as_stage(self) -> Stage:
        """A stage, also as the contract spells it."""
        try:
            return Stage(self.plain.lower().removeprefix("stage_"))
        except ValueError:
            known = ", ".join(stage.value for stage in Stage)
            raise Misplaced(self.column, f"stage is one of {known}; {self.shown} is none of them") from None

    def as_semantic_version(self) -> str:
        """The key of a semantic version."""
        if SEMANTIC_VERSION.fullmatch(self.plain) is None:
            raise Misplaced(self.column, f"semantic_version is a version such as 2.1.0; {self.shown} is none")
        return SemanticVersion.parse(self.plain).key

    def as_semantic_range(self) -> Test:
        """A semantic version, or a range of them."""
        if SEMANTIC_VERSION.fullmatch(self.plain):
            return Compared(Operator.EQUAL, self.as_semantic_version())
        try:
            return InRange(SemanticRange.parse(self.plain))
        except ValueError as exc:
            raise Misplaced(self.column, f"semantic_version {exc}") from None

    def _limited(self, text: str) -> str:
        if len(text) > TEXT_CHARACTERS:
            raise Misplaced(self.column, f"the text has {len(text)} characters, at most {TEXT_CHARACTERS} are compared")
        return text


def _ends_in_star(text: str, *, is_escaping: bool) -> bool:
    if not text.endswith("*"):
        return False
    before = text[:-1]
    backslashes = len(before) - len(before.rstrip("\\"))
    return not is_escaping or backslashes % 2 == 0


def _has_star(text: str, *, is_escaping: bool) -> bool:
    return "*" in (_ESCAPED.sub("", text) if is_escaping else text)
