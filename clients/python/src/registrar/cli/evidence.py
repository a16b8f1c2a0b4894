"""`evidence …`: all that proves what is said about a version, in one file that needs nobody to vouch for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from registrar.amounts import size
from registrar.audit.export import read_head
from registrar.audit.notes import read_keys
from registrar.cli.documents import print_json
from registrar.cli.exits import tell
from registrar.cli.session import AsJson, Ref, Server, Tenant, open_registry
from registrar.cli.text import plain
from registrar.errors import DataLoss, InvalidArgument
from registrar.evidence import EvidenceVerdict
from registrar.evidence import verify as verify_archive

evidence = typer.Typer(help="Export what proves a version's history, and verify it offline.", no_args_is_help=True)


@evidence.command("export")
def export(
    *,
    ref: Ref,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", dir_okay=False, help="Archive to write; one that is there goes."
        ),
    ],
    tree_size: Annotated[
        int, typer.Option("--tree-size", min=0, metavar="N", help="As it was after N entries of the audit; else now.")
    ] = 0,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Write all that the registry can prove about a version into a tar archive.

    Its files' digests, card, approvals, moves, policies, the audit's entries about its model, and proofs of these. With the
    same --tree-size it is the same file, byte for byte, whatever has happened since.
    """
    with open_registry(server, tenant) as registry:
        try:
            written = registry.export_evidence(ref, output, tree_size=tree_size)
        except OSError as exc:
            raise InvalidArgument(f"{output} cannot be written: {exc.strerror}", reason="FILE_UNWRITABLE") from exc
    if as_json:
        print_json({"file": str(output), "tree_size": written.tree_size, "size_bytes": written.size_bytes})
        return
    print(f"{plain(output)}: {size(written.size_bytes)}, as of {written.tree_size} entries of the audit")
    tell(f"`registrar evidence verify {plain(output)} --key KEY` tells whether it holds; `audit key` gives the key")


@evidence.command("verify")
def verify(
    *,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True, help="An archive of evidence.")
    ],
    verifier_key: Annotated[
        str,
        typer.Option("--key", metavar="KEY", help="What `audit key` printed, or a file of such: who must have signed."),
    ] = "",
    head_file: Annotated[
        Path | None,
        typer.Option(
            "--head",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="A head of the same tree that was kept.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find out whether an archive of evidence proves what it says.

    Makes no connection. Exit code 0 when it does; 7 when it does not: everything that does not fit is named. Without --key
    it is only found to be consistent, by the key that it brings along.
    """
    keys = read_keys(verifier_key) if verifier_key else ()
    kept = None if head_file is None else read_head(head_file, keys)
    verdict = verify_archive(file, keys=keys, kept=kept)
    if as_json:
        print_json(verdict)
    elif verdict.is_valid:
        print(plain(verdict))
    if not verdict.is_valid:
        raise _altered(verdict)
    if not keys:
        tell("give --key, from elsewhere than from the archive: else anybody could have made it")


def _altered(verdict: EvidenceVerdict) -> DataLoss:
    metadata = {"tenant": verdict.tenant, "model": verdict.model, "version": str(verdict.version)}
    return DataLoss(str(verdict), reason="EVIDENCE_ALTERED", metadata=metadata)
