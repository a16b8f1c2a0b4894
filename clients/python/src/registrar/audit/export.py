"""The file that an auditor gets: a line that says what it is, each entry as it was hashed, and the head.

    {"registrar_audit":1,"tenant":"acme"}
    {"action":"version.registered",…,"position":1,"previous":"",…}
    {"action":"version.stage_changed",…,"position":2,"previous":"8f0c…",…}
    {"head":{"last_hash":"…","root_hash":"…","tenant":"acme","tree_size":2}}

JSON Lines in UTF-8, the oldest entry first, every line ended by a line feed. Whoever has the file needs nothing else to
verify it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

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
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        with draft.open("xb") as file:
            file.write(canonical({"registrar_audit": FORMAT, "tenant": head.tenant}) + b"\n")
            file.writelines(content + b"\n" for content in contents)
            file.write(canonical({"head": asdict(head)}) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise


def read_head(path: Path) -> AuditHead:
    """A head that somebody kept: what `registrar audit head --json` printed, or the end of an earlier export.

    Errors: InvalidArgument AUDIT_HEAD_UNREADABLE; OSError from the disk.
    """
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _HEAD_BYTES))
        end = file.read(_HEAD_BYTES)
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


def head_at_end(line: bytes) -> AuditHead | None:
    """The head of an export, by its last line; None when that is not as `write_export` writes it."""
    document = parsed(line)
    head = None if document is None else head_of(document.get("head"))
    return None if head is None or line != canonical({"head": asdict(head)}) + b"\n" else head


def head_of(document: object) -> AuditHead | None:
    """A head in JSON; None when it is none."""
    match document:
        case {"tenant": str(tenant), "tree_size": int(size), "root_hash": str(root), "last_hash": str(last)}:
            return None if isinstance(size, bool) or size < 0 else AuditHead(tenant, size, root, last)
        case _:
            return None


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
