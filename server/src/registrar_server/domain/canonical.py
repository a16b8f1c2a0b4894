"""One text for one document, so that equal documents have equal digests."""

from __future__ import annotations

import json


def canonical_json(document: object) -> str:
    """JSON with keys in order, no space that is not needed, and text as it is.

    Entries of the audit, policies and rows are hashed and compared in this form: it can never change.
    """
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
