"""Signed heads: read as https://c2sp.org/signed-note and https://c2sp.org/tlog-checkpoint describe them, and verified.

registrar/acme
42
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— registrar/acme Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from registrar.audit.ed25519 import KEY_BYTES, is_signed
from registrar.audit_types import AuditHead
from registrar.errors import DataLoss, InvalidArgument

NOTE_BYTES = 64 << 10
"""A longer note is not read."""

_ED25519 = 1
_ID_BYTES = 4
_KEY = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)")
_SIGNATURE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+=*)")
_CHECKPOINT = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n(?:[^\n]+\n)*")


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key that verifies notes. `str` gives it as `parse` takes it."""

    text: str
    name: str
    id: bytes
    public_key: bytes

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """From `name+id+base64`. InvalidArgument VERIFIER_KEY_UNREADABLE."""
        matched = _KEY.fullmatch(text)
        encoded = b"" if matched is None else _decoded(matched[3])
        if matched is None or len(encoded) != 1 + KEY_BYTES or encoded[0] != _ED25519:
            raise _unreadable(f"{text[:200]!r} is not the key of a registry: NAME+ID+BASE64")
        id_ = hashlib.sha256(matched[1].encode() + b"\n" + encoded).digest()[:_ID_BYTES]
        if id_.hex() != matched[2]:
            raise _unreadable(f"{text[:200]!r} was mistyped: its id is that of another key")
        return cls(text, matched[1], id_, encoded[1:])

    def __str__(self) -> str:
        return self.text


def read_keys(key: str | Path) -> Sequence[VerifierKey]:
    """One key, or those of a file with one on each line: old keys go on verifying what they signed.

    Empty lines and those that begin with `#` are skipped. InvalidArgument VERIFIER_KEY_UNREADABLE.
    """
    if isinstance(key, str) and _KEY.fullmatch(key):
        return [VerifierKey.parse(key)]
    try:
        lines = Path(key).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as exc:
        raise _unreadable(f"{str(key)[:200]!r} is neither a key nor a file of keys") from exc
    found = [VerifierKey.parse(line.strip()) for line in lines if line.strip() and not line.startswith("#")]
    if not found:
        raise _unreadable(f"{str(key)[:200]!r} has no key")
    return found


def text_of(note: str, keys: Sequence[VerifierKey]) -> str:
    """What a note says. DataLoss NOTE_NOT_SIGNED when none of the keys signed it, or one did not sign this.

    Signatures of other keys are nobody's business.
    """
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    known = {(key.name, key.id): key for key in keys}
    count = 0
    for line in signatures.splitlines():
        matched = _SIGNATURE.fullmatch(line)
        signature = b"" if matched is None else _decoded(matched[2])
        key = None if matched is None else known.get((matched[1], signature[:_ID_BYTES]))
        if key is None:
            continue
        if not is_signed(key.public_key, text.encode(), signature[_ID_BYTES:]):
            raise DataLoss(f"the signature of {key.name} is not of this text", reason="NOTE_NOT_SIGNED")
        count += 1
    if not count:
        raise DataLoss("none of the keys that were given has signed this", reason="NOTE_NOT_SIGNED")
    return text


def parse_checkpoint(note: str, keys: Sequence[VerifierKey] = ()) -> AuditHead | None:
    """The head that a checkpoint is of; its last hash is not known. None: it is no checkpoint.

    With keys it must be signed by one of them: DataLoss NOTE_NOT_SIGNED. Without, anybody can have made it.
    """
    if len(note) > NOTE_BYTES:
        return None
    text, gap, _ = note.rpartition("\n\n")
    matched = _CHECKPOINT.fullmatch(text + "\n") if gap else None
    if matched is None:
        return None
    if keys:
        text_of(note, [key for key in keys if key.name == matched[1]])
    tenant = matched[1].rpartition("/")[2]
    return AuditHead(tenant, int(matched[2]), _decoded(matched[3]).hex(), "", note)


def require_signed(head: AuditHead, keys: Sequence[VerifierKey]) -> None:
    """Refuse a head whose checkpoint is not of it, or not signed by one of the keys. DataLoss NOTE_NOT_SIGNED."""
    signed = parse_checkpoint(head.checkpoint, keys)
    if signed is None:
        raise DataLoss("the head has no signature", reason="NOTE_NOT_SIGNED")
    if (signed.tenant, signed.tree_size, signed.root_hash) != (head.tenant, head.tree_size, head.root_hash):
        raise DataLoss("the head is not what was signed", reason="NOTE_NOT_SIGNED")


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (Base64Error, ValueError):
        return b""


def _unreadable(problem: str) -> InvalidArgument:
    return InvalidArgument(problem, reason="VERIFIER_KEY_UNREADABLE")
