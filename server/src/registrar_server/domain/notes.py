"""Signed notes: how the head of an audit is written down for those who keep it, and how its key is named.

A note is text that ends in a line feed, an empty line, and a line for each signature (https://c2sp.org/signed-note). A
checkpoint is the note about a tree of a log: its origin, how many leaves it has, its root (https://c2sp.org/tlog-checkpoint).
"""

from __future__ import annotations

import hashlib
from base64 import b64encode

_ED25519 = b"\x01"
_KEY_ID_BYTES = 4


def checkpoint_text(origin: str, size: int, root: bytes) -> str:
    """What is signed about a tree. It names no time: the same tree is always the same text."""
    return f"{origin}\n{size}\n{_base64(root)}\n"


def signed_note(text: str, name: str, public_key: bytes, signature: bytes) -> str:
    """A text with one Ed25519 signature of it; `name` has neither spaces nor `+`."""
    return f"{text}\n— {name} {_base64(_key_id(name, public_key) + signature)}\n"


def verifier_key(name: str, public_key: bytes) -> str:
    """An Ed25519 key, 32 bytes, as verifiers of notes take it: `name+id+base64`."""
    return f"{name}+{_key_id(name, public_key).hex()}+{_base64(_ED25519 + public_key)}"


def text_of(note: bytes) -> bytes:
    """What a note says, without its signatures."""
    text, gap, _ = note.rpartition(b"\n\n")
    return text + b"\n" if gap else note


def _key_id(name: str, public_key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public_key).digest()[:_KEY_ID_BYTES]


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
