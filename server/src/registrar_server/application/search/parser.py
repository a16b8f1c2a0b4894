"""Reads filters, free text and orders. The grammar is in `filter.lark`; what fields there are, in `fields.py`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path as FilePath
from typing import Any, cast

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, UnexpectedToken, v_args

from registrar_server.application.search.arguments import Argument
from registrar_server.application.search.fields import HAS, Path, order, restriction
from registrar_server.application.search.refusal import Misplaced, refusal
from registrar_server.domain.search import EVERYTHING, Either, Every, Filter, Not, Operator, Order, Word, Words
from registrar_server.domain.words import words

FILTER_CHARACTERS = 4_000
QUERY_CHARACTERS = 1_000
ORDER_CHARACTERS = 1_000
RESTRICTIONS = 30
"""Comparisons and words of one search."""
LEVELS = 10
"""How deep parts may stand in parts."""
_PREFIX_CHARACTERS = 3

_BEHIND_PART = "expected a comparator (= != < <= > >= :), AND, OR, another restriction, or the end"
_ORDER = "write one field, and asc or desc behind it"
_PART = re.compile(r"\S+")
_GRAMMAR = FilePath(__file__).with_name("filter.lark")


class SearchParser:
    """Thread-safe. Making one reads the grammar, which takes some milliseconds."""

    def __init__(self) -> None:
        self._lark = Lark(
            _GRAMMAR.read_text(encoding="utf-8"),
            parser="lalr",
            start=["filter", "order"],
            maybe_placeholders=False,
            transformer=_TreeBuilder(),
        )

    def filter(self, text: str) -> Filter:
        """The tree of a filter; FILTER_INVALID says at which column it stops making sense."""
        found: Filter = self._read("filter", "filter", text, FILTER_CHARACTERS)
        _check_size("filter", found)
        return found

    def query(self, text: str) -> Filter:
        """Words that must all occur; FILTER_INVALID when there is none in a text that is not empty."""
        _check_characters("query", text, QUERY_CHARACTERS)
        if not text.strip():
            return EVERYTHING
        try:
            found = [word for part in _PART.finditer(text) for word in _words(part[0], part.start() + 1)]
        except Misplaced as exc:
            raise refusal("query", exc.column, exc.description) from None
        if not found:
            raise refusal("query", 1, "there is no word in it: letters or digits")
        wanted = Words(tuple(dict.fromkeys(found)))
        _check_size("query", wanted)
        return wanted

    def order(self, text: str) -> Order:
        """What to sort by; of an empty text, the newest registration first."""
        if not text.strip():
            return Order()
        found: Order = self._read("order_by", "order", text, ORDER_CHARACTERS)
        return found

    def _read(self, field: str, start: str, text: str, maximum: int) -> Any:
        _check_characters(field, text, maximum)
        try:
            return self._lark.parse(text, start=start)
        except Misplaced as exc:
            raise refusal(field, exc.column, exc.description) from None
        except UnexpectedInput as exc:
            column = _column(exc, text)
            raise refusal(field, column, _expectation(exc, start, text[column - 1 :])) from None


@v_args(inline=True)
class _TreeBuilder(Transformer[Token, Any]):
    """Called by the parser as it reads, so that no tree is walked and no depth is a danger."""

    def filter(self, part: Filter = EVERYTHING) -> Filter:
        return part

    def every(self, *parts: Filter) -> Filter:
        flat = [one for part in parts for one in (part.parts if isinstance(part, Every) else (part,))]
        return flat[0] if len(flat) == 1 else Every(tuple(flat))

    def either(self, *parts: Filter) -> Filter:
        flat = [one for part in parts for one in (part.parts if isinstance(part, Either) else (part,))]
        return flat[0] if len(flat) == 1 else Either(tuple(flat))

    def negation(self, part: Filter) -> Filter:
        return part.part if isinstance(part, Not) else Not(part)

    def restriction(self, path: Path, comparator: Token, argument: Argument | Sequence[Argument]) -> Filter:
        if isinstance(argument, Argument):
            return restriction(path, comparator, argument)
        if comparator not in (HAS, Operator.EQUAL):
            raise Misplaced(_start(comparator), "several values go with = and : only")
        return self.either(*(restriction(path, comparator, one) for one in argument))

    def bare(self, path: Path) -> Filter:
        text = str(path)
        if text in ("and", "or", "not"):
            raise Misplaced(path.column, f"{text} is written in capitals, or in quotes where the word is meant")
        found = _words(text, path.column)
        if not found:
            raise Misplaced(path.column, "there is no word in it: letters or digits")
        return Words(tuple(dict.fromkeys(found)))

    def path(self, *parts: Token) -> Path:
        plain = (_unquoted(part) if part.type == "STRING" else str(part) for part in parts)
        return Path(tuple(plain), _start(parts[0]))

    def unquoted(self, token: Token) -> Argument:
        return Argument(str(token), _start(token), is_quoted=False)

    def quoted(self, token: Token) -> Argument:
        return Argument(str(token)[1:-1], _start(token), is_quoted=True)

    def alternatives(self, *arguments: Argument | Sequence[Argument]) -> Sequence[Argument]:
        return [one for many in arguments for one in ([many] if isinstance(many, Argument) else many)]

    def order(self, path: Path, direction: Token | None = None) -> Order:
        if direction is not None and direction not in ("asc", "desc"):
            raise Misplaced(_start(direction), _ORDER)
        return order(path, is_descending=direction == "desc")


def _words(text: str, column: int) -> list[Word]:
    found = words(text)
    if not text.endswith("*") or not found:
        return [Word(word) for word in found]
    if len(found[-1]) < _PREFIX_CHARACTERS:
        raise Misplaced(column, f"at least {_PREFIX_CHARACTERS} characters stand before a *")
    return [*(Word(word) for word in found[:-1]), Word(found[-1], is_prefix=True)]


def _unquoted(token: Token) -> str:
    return Argument(str(token)[1:-1], _start(token), is_quoted=True).plain


def _start(token: Token) -> int:
    return (token.start_pos or 0) + 1


def _check_characters(field: str, text: str, maximum: int) -> None:
    if len(text) > maximum:
        raise refusal(field, maximum + 1, f"there are {len(text)} characters, at most {maximum} are allowed")
    if "\0" in text:
        raise refusal(field, text.index("\0") + 1, "there must be no NUL")


def _check_size(field: str, part: Filter) -> None:
    """Bound the statement that this will become."""
    count = 0
    waiting = [(part, 1)]
    while waiting:
        one, level = waiting.pop()
        if level > LEVELS:
            raise refusal(field, 1, f"parts stand in parts, at most {LEVELS} levels deep")
        match one:
            case Every(parts) | Either(parts):
                waiting += [(inner, level + 1) for inner in parts]
            case Not(inner):
                waiting.append((inner, level + 1))
            case Words(found):
                count += len(found)
            case _:
                count += 1
    if count > RESTRICTIONS:
        raise refusal(field, 1, f"there are {count} comparisons and words, at most {RESTRICTIONS} are allowed")


def _column(error: UnexpectedInput, text: str) -> int:
    """An end that comes too early is behind the last character."""
    if isinstance(error, UnexpectedToken):
        return len(text.rstrip()) + 1 if error.token.type == "$END" else _start(error.token)
    place: int = cast("Any", error).pos_in_stream
    return place + 1


def _expectation(error: UnexpectedInput, start: str, found: str) -> str:
    """What may stand there, in words. `found` begins with what does."""
    expected = _expected(error)
    if found.startswith(("'", '"')):
        return "the quote is not closed"
    if start == "order":
        return _ORDER
    if "VALUE" in expected:
        return "expected a value to compare with; quote what is more than letters, digits, dots and signs"
    if found.startswith(")"):
        return "no parenthesis can close here"
    if not found and "RPAR" in expected:
        return "a parenthesis is not closed"
    is_behind_part = "COMPARATOR" in expected or "AND" in expected
    return _BEHIND_PART if is_behind_part else "expected a field, a word or a parenthesis"


def _expected(error: UnexpectedInput) -> AbstractSet[str]:
    """Names of the grammar's symbols."""
    if isinstance(error, UnexpectedToken):
        return error.expected
    return error.allowed if isinstance(error, UnexpectedCharacters) else set()
