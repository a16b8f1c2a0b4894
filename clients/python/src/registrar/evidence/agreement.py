"""Whether what an archive says of a version is what the entries of the audit recorded, both ways.

Each move, decision, comment and result made one event, and its entry names the event's sequence. What documents tell and what
entries tell is brought into one form, statements about events, and compared.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOVED = frozenset({"version.stage_changed", "version.rolled_back"})
_ALIAS_MOVED = frozenset({"alias.moved", "alias.deleted"})
_DECIDED = {"approval.approved": "approve", "approval.rejected": "reject"}
_WRITTEN = frozenset({"policy.created", "policy.updated"})

Document = Mapping[str, Any]
Statements = dict[tuple[object, ...], tuple[object, ...]]
"""What is told, by what it is about: the event's sequence first."""


@dataclass(slots=True)
class Recorded:
    """What the entries say about one version, and the policies that they wrote."""

    uid: str
    number: int
    registered: Document | None = None
    registered_by: object = ""
    is_deleted: bool = False
    notes: dict[str, object] = field(default_factory=dict)
    card_digest: str = ""
    policy_digests: set[object] = field(default_factory=set)
    moves: Statements = field(default_factory=dict)
    alias_moves: Statements = field(default_factory=dict)
    comments: Statements = field(default_factory=dict)
    checks: Statements = field(default_factory=dict)
    approvals: Statements = field(default_factory=dict)

    def add(self, entry: Document) -> None:
        """Take the next entry; what was refused changed nothing. KeyError, TypeError, ValueError for what is no entry."""
        if entry["outcome"] != "done":
            return
        action, after, before = entry["action"], json.loads(entry["after"]), json.loads(entry["before"])
        if action in _WRITTEN:
            self.policy_digests.add(after["digest"])
        elif action in _MOVED:
            self._add_move(entry, before, after)
        elif action in _ALIAS_MOVED:
            self._add_alias_move(entry, before, after)
        if entry["version_uid"] == self.uid:
            self._add_own(action, entry, after)

    def _add_own(self, action: str, entry: Document, after: Document) -> None:
        sequence, who_when = entry["event_sequence"], (entry["actor"], entry["time_microseconds"])
        match action:
            case "version.registered":
                self.registered, self.registered_by = after, entry["actor"]
                self.card_digest = after.get("card_digest", "")
            case "version.deleted" | "version.undeleted":
                self.is_deleted = action == "version.deleted"
            case "version.updated":
                self.notes.update(after)
            case "version.commented":
                self.comments[sequence,] = (after["comment_id"], after["text"], after["reply_to"], *who_when)
            case "check.reported":
                said = tuple(after[key] for key in ("name", "outcome", "summary", "details_uri", "manifest_digest"))
                self.checks[sequence,] = (*said, *who_when)
            case "card.revised":
                self.card_digest = after["card_digest"]
            case _ if action.startswith("approval."):
                self._add_approval(action, entry, after)
            case _:
                pass
        if action in _MOVED | _ALIAS_MOVED and after.get("approval_id"):
            self.approvals[sequence, after["approval_id"], "used"] = ()

    def _add_approval(self, action: str, entry: Document, after: Document) -> None:
        sequence, id_, by = entry["event_sequence"], after["approval_id"], (entry["actor"], entry["time_microseconds"])
        if action == "approval.requested":
            self.approvals[sequence, id_, "asked"] = (after["target"], entry["comment"], *by)
        elif action in _DECIDED:
            said = (_DECIDED[action], after.get("role", ""), entry["comment"])
            self.approvals[sequence, id_, "decided"] = (*said, *by)
        else:
            self.approvals[sequence, id_, "withdrawn"] = ()

    def _add_move(self, entry: Document, before: Document, after: Document) -> None:
        by = (entry["actor"], entry["comment"], entry["time_microseconds"])
        if entry["version_uid"] == self.uid:
            means = (bool(after.get("break_glass")), after.get("approval_id", ""))
            self.moves[entry["event_sequence"],] = (before["stage"], after["stage"], *by, *means)
        elif self.number in after["archived"]:
            self.moves[entry["event_sequence"],] = ("", "archived", *by, False, "")

    def _add_alias_move(self, entry: Document, before: Document, after: Document) -> None:
        ends = (before["version"], after["version"])
        if self.number in ends:
            by = (entry["actor"], entry["comment"], entry["time_microseconds"])
            self.alias_moves[entry["event_sequence"],] = (entry["alias"], *ends, *by)


def disagreements(recorded: Recorded, read: Callable[[str], Any], digests: Mapping[str, str]) -> Iterator[str]:
    """What of the documents is not what was recorded, a line for each.

    `read` gives a document by its name, `digests` has those of the texts that are there, `sha256:` and hex. KeyError, TypeError, ValueError for a
    document that is none.
    """
    version = read("version.json")
    yield from _about_version(recorded, version, digests)
    transitions, moves = read("transitions.json"), read("alias_moves.json")
    yield from _compared("transitions.json", _moves_in(transitions), recorded.moves)
    yield from _compared("alias_moves.json", _alias_moves_in(moves), recorded.alias_moves)
    yield from _compared("comments.json", _comments_in(read("comments.json")), recorded.comments)
    yield from _compared("checks.json", _checks_in(read("checks.json")), recorded.checks)
    approvals = read("approvals.json")
    yield from _compared("approvals.json", _approvals_in(approvals), recorded.approvals)
    if any(one["binding"]["manifest_digest"] != version["artifact"]["manifest_digest"] for one in approvals):
        yield "approvals.json has an approval of other files than the version has"
    yield from _about_standing(version, transitions, moves)
    notes = read("notes.json")
    for name in sorted(recorded.notes):
        if notes.get(name) != recorded.notes[name]:
            yield f"notes.json does not have the {name} that was written last"


def _about_version(recorded: Recorded, version: Document, digests: Mapping[str, str]) -> Iterator[str]:
    registered = recorded.registered
    if registered is None:
        yield "audit/entries have no entry of the version's registration"
        return
    artifact = version["artifact"]
    told = {
        "artifact_uri": artifact["uri"],
        "manifest_digest": artifact["manifest_digest"],
        "semantic_version": version["facts"]["semantic_version"],
        "run_id": version["run_id"],
        "facts_digest": facts_digest(version["facts"]),
    }
    for name, value in told.items():
        if name in registered and registered[name] != value:
            yield f"version.json does not have the {name} that was registered"
    if version["created_by"] != recorded.registered_by:
        yield "version.json was not created by who registered it"
    if version["is_deleted"] is not recorded.is_deleted:
        yield "version.json and the entries differ on whether it was deleted"
    expected = {"manifest.txt": artifact["manifest_digest"], "card.json": recorded.card_digest}
    for name, digest in expected.items():
        found = digests.get(name, "")
        if found != digest:
            yield f"{name} {'is not what was recorded' if found and digest else 'is missing' if digest else 'was never recorded'}"
    policies = {name: digest for name, digest in digests.items() if name.startswith("policies/")}
    own = {digest for name, digest in policies.items() if not name.startswith("policies/_all/")}
    yield from (
        f"{name} is not what was recorded"
        for name, digest in policies.items()
        if digest in own - recorded.policy_digests
    )
    yield from (
        f"policies lacks the one with digest {digest}" for digest in sorted(map(str, recorded.policy_digests - own))
    )


def _about_standing(version: Document, transitions: Sequence[Document], moves: Sequence[Document]) -> Iterator[str]:
    if version["stage"] != (transitions[-1]["to_stage"] if transitions else "none"):
        yield "version.json is not in the stage that transitions.json leads to"
    last = {move["alias"]: move["to_number"] for move in moves}
    if version["aliases"] != sorted(alias for alias, number in last.items() if number == version["number"]):
        yield "version.json does not have the aliases that alias_moves.json leads to"


def _compared(name: str, told: Statements, recorded: Statements) -> Iterator[str]:
    for key in sorted({*told, *recorded}, key=str):
        sequence = key[0]
        if key not in recorded:
            yield f"{name} tells of event {sequence}, of which there is no such entry"
        elif key not in told:
            yield f"{name} lacks what the entry of event {sequence} says"
        elif told[key] != recorded[key]:
            yield f"{name} differs from the entry of event {sequence}"


def _moves_in(transitions: Iterable[Document]) -> Statements:
    return {
        (one["sequence"],): (
            # What displaced it says of it only that it was archived.
            "" if one["caused_by"] else one["from_stage"],
            one["to_stage"],
            one["actor"],
            one["comment"],
            _microseconds(one["time"]),
            one["is_break_glass"],
            one["approval_id"],
        )
        for one in transitions
    }


def _alias_moves_in(moves: Iterable[Document]) -> Statements:
    return {
        (one["sequence"],): (
            one["alias"],
            one["from_number"],
            one["to_number"],
            one["actor"],
            one["comment"],
            _microseconds(one["time"]),
        )
        for one in moves
    }


def _comments_in(comments: Iterable[Document]) -> Statements:
    return {
        (one["sequence"],): (one["id"], one["text"], one["reply_to"], one["author"], _microseconds(one["time"]))
        for one in comments
    }


def _checks_in(checks: Iterable[Document]) -> Statements:
    names = ("name", "outcome", "summary", "details_uri", "manifest_digest", "reported_by")
    return {(one["sequence"],): (*(one[name] for name in names), _microseconds(one["time"])) for one in checks}


def _approvals_in(approvals: Iterable[Document]) -> Statements:
    found: Statements = {}
    for one in approvals:
        id_, target = one["id"], one["target"]
        goal = f"alias {target['alias']}" if target["stage"] is None else f"stage {target['stage']}"
        asked = (goal, one["comment"], one["requested_by"], _microseconds(one["request_time"]))
        found[one["sequence"], id_, "asked"] = asked
        for decision in one["decisions"]:
            said = (decision["decision"], decision["role"], decision["notes"])
            by = (decision["approver"], _microseconds(decision["time"]))
            found[decision["sequence"], id_, "decided"] = (*said, *by)
        for state in ("withdrawn", "used"):
            if one[f"{state}_sequence"]:
                found[one[f"{state}_sequence"], id_, state] = ()
    return found


def facts_digest(facts: Document) -> str:
    """What an entry of a registration says of a version's facts: SHA-256 of them as canonical JSON, what is empty left out."""
    text = json.dumps(_filled(facts), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return _digest(text.encode())


def _filled(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _filled(one) for key, one in value.items() if one not in (None, "", [], {})}
    return [_filled(one) for one in value] if isinstance(value, list) else value


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _microseconds(time: str) -> int:
    return (datetime.fromisoformat(time) - _EPOCH) // timedelta(microseconds=1)
