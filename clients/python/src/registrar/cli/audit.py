"""`audit …`: who decided what, when and why, and whether anybody has changed it since."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from registrar.audit.export import read_head
from registrar.audit.notes import VerifierKey, read_keys
from registrar.audit.verification import verify_export
from registrar.audit_types import AuditHead, AuditOutcome, AuditVerdict
from registrar.cli.arguments import parse_time
from registrar.cli.audit_cards import events_table, head_card, proof_card
from registrar.cli.counter import Counter
from registrar.cli.documents import print_json
from registrar.cli.exits import tell
from registrar.cli.session import AsJson, Quiet, Server, Tenant, open_registry
from registrar.cli.text import plain
from registrar.errors import DataLoss, InvalidArgument, NotFound

_LARGEST_PAGE = 1_000

audit = typer.Typer(help="Read the audit, and find out whether it is as it was written.", no_args_is_help=True)


@audit.command("list")
def list_events(
    *,
    model: Annotated[str | None, typer.Option("--model", metavar="NAME", help="Only about this model.")] = None,
    version: Annotated[
        int | None, typer.Option("--version", min=1, metavar="N", help="Only about this version of it.")
    ] = None,
    actor: Annotated[
        str, typer.Option("--actor", metavar="WHO", help="Only what user:NAME or service:NAME wanted.")
    ] = "",
    action: Annotated[
        str, typer.Option("--action", metavar="ACTION", help="Only this, such as version.stage_changed.")
    ] = "",
    refused: Annotated[bool, typer.Option("--refused", help="Only what was refused.")] = False,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="From then on: 2026-03-01, 2026-03-01T14:05, or 7d ago."),
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Only what was before.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, metavar="N", help="Show at most so many.")] = 50,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """List who wanted what, on what, when and why.

    The newest first. Times without a zone are in UTC. `--tenant '*'` is the audit of what concerns all tenants.
    """
    if version is not None and model is None:
        raise typer.BadParameter("--version needs --model")
    start_time, end_time = _time(since), _time(until)
    with open_registry(server, tenant) as registry:
        found = registry.audit_events(
            model=model,
            version=version,
            actor=actor,
            action=action,
            outcome=AuditOutcome.REFUSED if refused else None,
            start_time=start_time,
            end_time=end_time,
            page_size=min(limit + 1, _LARGEST_PAGE),
        )
        events = list(islice(found, limit + 1))
    shown, is_more = events[:limit], len(events) > limit
    if as_json:
        print_json({"events": shown, "is_more": is_more})
    else:
        print(events_table(shown, is_more=is_more))


@audit.command("head")
def head(
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", dir_okay=False, help="Keep it there, as the registry signed it."
        ),
    ] = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Say how far the audit goes.

    Keep it, with --output or --json, where nobody who runs the registry can change it: `registrar audit verify --head
    FILE` finds whatever is changed before that point from then on.
    """
    with open_registry(server, tenant) as registry:
        found = registry.audit_head()
    if output is not None:
        _keep(found, output)
    print_json(found) if as_json else print(head_card(found))


@audit.command("key")
def key(*, server: Server = None, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Print the key that verifies heads of the audit.

    Fetch it once, when the registry is set up, and keep it: a key that comes with what it is to verify proves nothing.
    """
    with open_registry(server, tenant) as registry:
        found = registry.audit_key()
    if not found:
        raise NotFound("the registry has no key that signs heads", reason="AUDIT_HEAD_UNSIGNED")
    print_json({"verifier_key": found}) if as_json else print(plain(found))


@audit.command("verify")
def verify(
    *,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", exists=True, dir_okay=False, readable=True, help="An export; else the registry's."
        ),
    ] = None,
    head_file: Annotated[
        Path | None,
        typer.Option(
            "--head",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="A head, or an export, from before.",
        ),
    ] = None,
    verifier_key: Annotated[
        str,
        typer.Option("--key", metavar="KEY", help="What `audit key` printed, or a file of such: heads must be signed."),
    ] = "",
    root: Annotated[str, typer.Option("--root", metavar="HASH", help="Instead: the root of a head, with --size.")] = "",
    size: Annotated[int | None, typer.Option("--size", min=0, metavar="N", help="The entries of that head.")] = None,
    quiet: Quiet = False,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Find out whether the audit is as it was written.

    With a file: here, without any connection. Without one: the registry reads its own. Exit code 0 when it is; 7 when it
    is not: the first entry that was altered, removed, added or moved is named.
    """
    keys = read_keys(verifier_key) if verifier_key else ()
    if keys and head_file is None and file is None:
        raise typer.BadParameter("--key needs a FILE or --head")
    kept = _kept(head_file, keys, root, size)
    with Counter("checked", is_quiet=quiet) as counter:
        if file is not None:
            verdict = verify_export(file, kept=kept, keys=keys, progress=counter.show)
        else:
            with open_registry(server, tenant) as registry:
                verdict = registry.verify_audit(kept=kept, progress=counter.show)
    if as_json:
        print_json(verdict)
    elif verdict.is_intact:
        print(plain(verdict))
    if not verdict.is_intact:
        raise _altered(verdict)


@audit.command("export")
def export(
    *,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", dir_okay=False, help="File to write; one that is there goes.")
    ],
    quiet: Quiet = False,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Write the audit into a file.

    One line of JSON for each entry, the oldest first, with the head at its end: `registrar audit verify FILE` needs
    nothing else.
    """
    with Counter("exported", is_quiet=quiet) as counter, open_registry(server, tenant) as registry:
        try:
            found = registry.export_audit(file, progress=counter.show)
        except OSError as exc:
            raise InvalidArgument(f"{file} cannot be written: {exc.strerror}", reason="FILE_UNWRITABLE") from exc
    if as_json:
        print_json({"file": str(file), "head": found})
        return
    print(head_card(found))
    tell(f"`registrar audit verify {plain(file)}` tells whether it is as it was written")


@audit.command("proof")
def proof(
    *,
    position: Annotated[int, typer.Argument(metavar="POSITION", min=1, help="Of the entry; `audit list` shows it.")],
    tree_size: Annotated[
        int, typer.Option("--tree-size", min=0, metavar="N", help="In the tree of so many entries; else of all.")
    ] = 0,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Prove that an entry is in the audit.

    The proof is checked here; exit code 7 when it does not hold. Compare the root with that of a head that you kept.
    """
    with open_registry(server, tenant) as registry:
        found = registry.audit_proof(position=position, tree_size=tree_size)
    if as_json:
        print_json(found)
    else:
        print(proof_card(found))
    if not found.is_valid:
        raise DataLoss(
            f"the proof of entry {position} does not hold",
            reason="AUDIT_ALTERED",
            metadata={"position": str(position), "tree_size": str(found.tree_size)},
        )


def _time(text: str | None) -> datetime | None:
    return None if text is None else parse_time(text)


def _kept(head_file: Path | None, keys: Sequence[VerifierKey], root: str, size: int | None) -> AuditHead | None:
    if bool(root) is not (size is not None):
        raise typer.BadParameter("--root and --size go together")
    if head_file is not None:
        if root:
            raise typer.BadParameter("either --head, or --root and --size")
        return read_head(head_file, keys)
    return None if size is None else AuditHead("", size, root.lower(), "")


def _keep(head: AuditHead, path: Path) -> None:
    if not head.checkpoint:
        raise NotFound(
            "the registry has no key that signs heads; --json gives one unsigned", reason="AUDIT_HEAD_UNSIGNED"
        )
    try:
        path.write_text(head.checkpoint, encoding="utf-8")
    except OSError as exc:
        raise InvalidArgument(f"{path} cannot be written: {exc.strerror}", reason="FILE_UNWRITABLE") from exc


def _altered(verdict: AuditVerdict) -> DataLoss:
    metadata = {"tenant": verdict.head.tenant}
    if verdict.altered_position is not None:
        metadata["position"] = str(verdict.altered_position)
    return DataLoss(str(verdict), reason="AUDIT_ALTERED", metadata=metadata)
