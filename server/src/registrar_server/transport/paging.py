"""Page sizes and opaque page tokens.

A token holds the key after which the next page begins, and a digest of the rest of the request: it cannot be used
for another list. It is no secret and grants nothing: the key is applied within what the caller may read.
"""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import cast

from google.protobuf.message import Message

from registrar_server.domain import limits
from registrar_server.domain.errors import Reason, RegistrarError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def page_size(asked: int, *, default: int = limits.PAGE_SIZE, maximum: int = limits.PAGE_SIZE_MAXIMUM) -> int:
    """The size to use: the default for 0 and less, the maximum for more."""
    return min(asked, maximum) if asked > 0 else default


def encode_token(request: Message, key: list[str | int]) -> str:
    """Token of the page after `key`."""
    document = json.dumps([_fingerprint(request), *key], separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(document.encode()).decode().rstrip("=")


def decode_token(request: Message, token: str, *kinds: type[str | int]) -> list[str | int] | None:
    """The key in a token, None for the first page; PAGE_TOKEN_INVALID when it is not one of this list."""
    if not token:
        return None
    try:
        document = base64.urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        fingerprint, *key = cast("list[str | int]", json.loads(document))
    except (ValueError, TypeError, RecursionError):
        raise _invalid() from None
    is_well_formed = len(key) == len(kinds) and all(map(_is_key_part, key, kinds))
    if not is_well_formed or fingerprint != _fingerprint(request):
        raise _invalid()
    return key


def encode_place(request: Message, time: datetime, uid: str) -> str:
    """Token of the page after what was made then, and has that id."""
    return encode_token(request, [(time - _EPOCH) // timedelta(microseconds=1), uid])


def decode_place(request: Message, token: str) -> tuple[datetime, str] | None:
    """The place in a token of `encode_place`, None for the first page; PAGE_TOKEN_INVALID."""
    key = decode_token(request, token, int, str)
    if key is None:
        return None
    try:
        return _EPOCH + timedelta(microseconds=int(key[0])), str(key[1])
    except OverflowError:
        raise _invalid() from None


def _is_key_part(part: str | int, kind: type[str | int]) -> bool:
    """Whether it is of that kind, and a value that both databases take: anybody can make up a token."""
    if type(part) is not kind:
        return False
    if isinstance(part, int):
        return 0 <= part < 2**63
    return "\0" not in part and not any(0xD800 <= ord(character) <= 0xDFFF for character in part)


def _fingerprint(request: Message) -> str:
    """Digest of what must not change between pages: all but size, token and freshness."""
    copy = type(request)()
    copy.CopyFrom(request)
    for field in ("page_size", "page_token", "consistency"):
        if field in copy.DESCRIPTOR.fields_by_name:
            copy.ClearField(field)
    name = copy.DESCRIPTOR.full_name.encode()
    return hashlib.sha256(name + b"\0" + copy.SerializeToString(deterministic=True)).hexdigest()[:16]


def _invalid() -> RegistrarError:
    return RegistrarError(
        Reason.PAGE_TOKEN_INVALID, "the page token is not one of this list, or the request changed between pages"
    )
