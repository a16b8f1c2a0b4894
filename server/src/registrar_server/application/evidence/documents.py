"""What an archive of evidence says, a member each. All of it is as the last entry of the tree left it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields

from registrar_server.application.cards.document import load_card
from registrar_server.application.cards.markdown import render_markdown
from registrar_server.application.evidence.archive import canonical, pretty
from registrar_server.application.evidence.moment import (
    Moment,
    alias_moves_of,
    checks_of,
    comments_on,
    transitions_of,
)
from registrar_server.application.evidence.plain import plain
from registrar_server.application.ports.database import AuditFilter, Transaction
from registrar_server.domain.access import EVERYWHERE
from registrar_server.domain.audit import AuditEntry
from registrar_server.domain.policies import Policy
from registrar_server.domain.versions import Notes

ALL_TENANTS = "_all"
"""Folder of the policies of all tenants."""
_AT_ONCE = 1_000
_MANIFEST = b"registrar.manifest.v1\n"

Document = Callable[[Transaction, Moment], bytes]


def policies_in_force(transaction: Transaction, moment: Moment) -> list[Policy]:
    """Those whose scope the model is in, whatever their target."""
    found = transaction.policies.in_force(moment.tenant, at_sequence=moment.sequence)
    return [policy for policy in found if policy.scope.covers_model(moment.model.key.name)]


def documents(transaction: Transaction, moment: Moment) -> Iterator[tuple[str, Document]]:
    """Names of the members, in order, with what makes each; one at a time is held in memory."""
    card = transaction.cards.at_sequence(moment.version.uid, moment.sequence)
    made: dict[str, Document] = {
        "alias_moves.json": lambda t, m: pretty(plain(alias_moves_of(t, m))),
        "approvals.json": lambda t, m: pretty(plain(t.approvals.of_version(m.version.uid, m.sequence))),
        "checks.json": lambda t, m: pretty(plain(checks_of(t, m))),
        "comments.json": lambda t, m: pretty(plain(comments_on(t, m))),
        "notes.json": lambda t, m: pretty(_notes(t, m)),
        "transitions.json": lambda t, m: pretty(plain(transitions_of(t, m))),
        "version.json": lambda t, m: pretty(_version(t, m)),
    }
    if moment.version.artifact.is_bundle:
        made["manifest.txt"] = _manifest
    if card is not None:
        about, content = card.state, card.content
        made["card.json"] = lambda _t, _m: _card(content, about.revision)
        made["card.md"] = lambda _t, _m: render_markdown(load_card(content)).encode()
    for policy in policies_in_force(transaction, moment):
        folder = ALL_TENANTS if policy.tenant == EVERYWHERE else policy.tenant
        made[f"policies/{folder}/{policy.name}.json"] = _said_by(policy)
    yield from sorted(made.items())


def _card(content: str, revision: int) -> bytes:
    """The text whose SHA-256 is the revision's digest."""
    return f'{{"card":{content},"revision":{revision}}}'.encode()


def _said_by(policy: Policy) -> Document:
    """The text whose SHA-256 is the digest of the policy's revision."""
    said = {
        "document": policy.document,
        "name": policy.name,
        "revision": policy.revision,
        "tenant": policy.tenant,
    }
    return lambda _t, _m: canonical(said)


def _manifest(transaction: Transaction, moment: Moment) -> bytes:
    """The canonical bytes that artifact.proto defines, whose SHA-256 is the manifest's digest."""
    lines, after = [_MANIFEST], ""
    while True:
        files = transaction.bundles.files(moment.version.artifact.bundle_uid, after=after, limit=_AT_ONCE)
        lines += [f"{file.sha256} {file.size_bytes} {file.type.value} {file.path}\n".encode() for file in files]
        if len(files) < _AT_ONCE:
            return b"".join(lines)
        after = files[-1].path


def _version(transaction: Transaction, moment: Moment) -> Mapping[str, object]:
    """What never changes about a version, and where it stood."""
    version, history = moment.version, transaction.history
    move = history.transition(moment.model.uid, version.number, until=moment.sequence)
    return {
        "model": version.model.name,
        "model_uid": version.model_uid,
        "number": version.number,
        "uid": version.uid,
        "created_by": version.created_by,
        "create_time": plain(version.create_time),
        "run_id": version.run_id,
        "artifact": plain(version.artifact),
        "facts": plain(version.facts),
        "stage": move.to_stage.value if move else "none",
        "aliases": list(history.aliases(moment.model.uid, version.number, until=moment.sequence)),
        "is_deleted": history.was_deleted(version.uid, until=moment.sequence),
    }


def _notes(transaction: Transaction, moment: Moment) -> Mapping[str, object]:
    """Description, tags, where the datasheet is: as it is now, with every later change taken back, the last one first."""
    notes = {field.name: plain(getattr(moment.version.notes, field.name)) for field in fields(Notes)}
    wanted = AuditFilter(model=moment.model.key.name, number=moment.version.number, action="version.updated")
    before = 0
    while True:
        page = transaction.audit.latest(moment.tenant, wanted=wanted, before=before, limit=_AT_ONCE)
        later = [entry for entry, _ in page if entry.position > moment.tree_size]
        for entry in later:
            _take_back(notes, entry, moment)
        if len(later) < _AT_ONCE:
            return notes
        before = later[-1].position


def _take_back(notes: dict[str, object], entry: AuditEntry, moment: Moment) -> None:
    if entry.version_uid == moment.version.uid and entry.event_sequence:
        notes.update({key: value for key, value in json.loads(entry.before).items() if key in notes})
