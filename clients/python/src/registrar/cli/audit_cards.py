"""How the audit looks to a person."""

from __future__ import annotations

from collections.abc import Sequence

from registrar.access_types import EVERYWHERE
from registrar.amounts import moment
from registrar.audit_types import AuditEvent, AuditHead, AuditOutcome, AuditProof
from registrar.cli.text import columns, plain, shortened

_COMMENT_WIDTH = 60


def events_table(events: Sequence[AuditEvent], *, is_more: bool) -> str:
    """One line an entry; what was refused says so, and why."""
    if not events:
        return "There is no such entry."
    rows = [("#", "WHEN", "WHO", "WHAT", "ON", "OUTCOME", "WHY")]
    rows += [
        (
            str(event.position),
            moment(event.time),
            event.actor,
            event.action,
            _subject(event) or "-",
            event.outcome if event.outcome is AuditOutcome.DONE else f"REFUSED {event.reason}".rstrip(),
            shortened(event.comment, _COMMENT_WIDTH),
        )
        for event in events
    ]
    table = columns(rows, right=(0,))
    return f"{table}\n\nThere are more: --limit, --since and --until choose others." if is_more else table


def _subject(event: AuditEvent) -> str:
    if not event.model:
        return ""
    number = "" if event.version is None else f"/{event.version}"
    return f"{event.model}{number}" + (f" @{event.alias}" if event.alias else "")


def head_card(head: AuditHead) -> str:
    """How far an audit goes."""
    whose = "what concerns all tenants" if head.tenant == EVERYWHERE else f"tenant {head.tenant}"
    facts = [("entries", str(head.tree_size)), ("root", head.root_hash), ("last entry", head.last_hash or "-")]
    signed = "".join(f"\n  {plain(line)}".rstrip(" ") for line in head.checkpoint.splitlines())
    return f"Audit of {plain(whose)}\n\n" + columns(facts, indent="  ") + (f"\n{signed}" if signed else "")


def proof_card(proof: AuditProof) -> str:
    """A proof, a line for each hash."""
    claim = f"entry {proof.position}" if proof.position is not None else f"the tree of {proof.earlier} entries"
    holds = "is in" if proof.is_valid else "is NOT proved to be in"
    facts = [("claimed", proof.claimed_hash), ("root", proof.root_hash)]
    facts += [("" if number else "proof", hash_) for number, hash_ in enumerate(proof.hashes)]
    return f"{claim} {holds} the audit of {proof.tree_size} entries\n\n" + columns(facts, indent="  ")
