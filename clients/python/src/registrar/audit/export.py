"""The file that an auditor gets: a line that says what it is, each entry as it was hashed, and the head.

    {"registrar_audit":1,"tenant":"acme"}
    {"action":"version.registered",…,"position":1,"previous":"",…}
    {"action":"version.stage_changed",…,"position":2,"previous":"8f0c…",…}
    {"head":{"checkpoint":"…","last_hash":"…","root_hash":"…","tenant":"acme","tree_size":2}}

JSON Lines in UTF-8, the oldest entry first, every line ended by a line feed. Whoever has the file needs nothing else to
verify it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import chain
from pathlib import Path

from registrar.audit.notes import VerifierKey, parse_checkpoint, require_signed
from registrar.audit_types import AuditHead
from registrar.errors import InvalidArgument

FORMAT = 1
LINE_BYTES = 16 << 20
"""A longer line is no entry: the registry takes no request of that size."""
_HEAD_BYTES = 64 << 10


def write_export(path: Path, head: AuditHead, contents: Iterable[bytes]) -> None:
    """Write an export under a hidden name beside `path`, which it takes, replacing what is there, when it is whole.

    Errors: OSError from the disk; what `contents` raises. Then `path` is as it was.
    """
    beginning = canonical({"registrar_audit": FORMAT, "tenant": head.tenant}) + b"\n"
    write_whole(path, chain([beginning], (content + b"\n" for content in contents), [_head_line(head)]))


def write_whole(path: Path, blocks: Iterable[bytes]) -> None:
    """Write a file as `write_export` does, of these bytes."""
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        with draft.open("xb") as file:
            file.writelines(blocks)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def read_head(path: Path, keys: Sequence[VerifierKey] = ()) -> AuditHead:
    """A head that somebody kept: a checkpoint, what `registrar audit head --json` printed, the end of an earlier export.

    With keys, one of them must have signed it. Errors: InvalidArgument AUDIT_HEAD_UNREADABLE; DataLoss NOTE_NOT_SIGNED;
    OSError from the disk.
    """
    head = _read_head(path)
    if keys:
        require_signed(head, keys)
    return head


def _read_head(path: Path) -> AuditHead:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _HEAD_BYTES))
        end = file.read(_HEAD_BYTES)
    checkpoint = parse_checkpoint(end.decode(errors="replace"))
    if checkpoint is not None:
        return checkpoint
    for text in (end, end.rstrip(b"\n").rpartition(b"\n")[2]):
        document = parsed(text)
        head = None if document is None else head_of(document.get("head", document))
        if head is not None:
            return head
    raise InvalidArgument(f"{path} has no head of an audit", reason="AUDIT_HEAD_UNREADABLE")


def tenant_of(line: bytes) -> str | None:
    """Whose audit an export is, by its first line; None when that is not as `write_export` writes it."""
    document = parsed(line)
    tenant = None if document is None else document.get("tenant")
    if not isinstance(tenant, str) or line != canonical({"registrar_audit": FORMAT, "tenant": tenant}) + b"\n":
        return None
    return tenant


def entry_tenant_of(line: bytes) -> str | None:
    """Whose audit an entry is in; None when it is none. Objects in a store have entries only."""
    document = parsed(line)
    tenant = None if document is None or "position" not in document else document.get("tenant")
    return tenant if isinstance(tenant, str) else None


def head_at_end(line: bytes) -> AuditHead | None:
    """The head of an export, by its last line; None when that is not as `write_export` writes it."""
    document = parsed(line)
    head = None if document is None else head_of(document.get("head"))
    return None if head is None or line != _head_line(head) else head


def head_of(document: object) -> AuditHead | None:
    """A head in JSON; None when it is none."""
    match document:
        case {"tenant": str(tenant), "tree_size": int(size), "root_hash": str(root), "last_hash": str(last), **others}:
            checkpoint = others.get("checkpoint", "")
            if isinstance(size, bool) or size < 0 or not isinstance(checkpoint, str):
                return None
            return AuditHead(tenant, size, root, last, checkpoint)
        case _:
            return None


def _head_line(head: AuditHead) -> bytes:
    """One that is not signed says nothing of it."""
    document = {name: value for name, value in asdict(head).items() if name != "checkpoint" or value}
    return canonical({"head": document}) + b"\n"


def parsed(line: bytes) -> Mapping[str, object] | None:
    """A JSON object; None when it is none."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def canonical(document: Mapping[str, object]) -> bytes:
    """JSON as it is hashed: keys in order, no space that is not needed, UTF-8."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # What somebody has put into a file may be half a character; it is no less wrong than any other.
    return text.encode(errors="surrogatepass")
