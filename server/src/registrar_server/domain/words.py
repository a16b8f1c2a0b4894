"""Words of a text, as free text search sees them: the same on every database, because no database splits texts itself."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

WORD_CHARACTERS = 60
"""A longer word is cut."""

_WORD = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """Runs of letters and digits, in order, without case and accents: `Café_au-lait` is `cafe`, `au`, `lait`."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return [found[:WORD_CHARACTERS] for found in _WORD.findall(plain.casefold())]


def distinct_words(texts: Iterable[str], *, limit: int) -> list[str]:
    """The different words of texts, in order, at most `limit`."""
    found: dict[str, None] = {}
    for text in texts:
        found.update(dict.fromkeys(words(text)))
        if len(found) >= limit:
            break
    return list(found)[:limit]
