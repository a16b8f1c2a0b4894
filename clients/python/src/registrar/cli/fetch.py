"""`pull`: a version's files into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from registrar.cli.documents import print_json
from registrar.cli.session import AsJson, Quiet, Ref, Server, Tenant, open_registry


def pull(
    *,
    ref: Ref,
    destination: Annotated[
        Path, typer.Argument(metavar="DEST", help="Folder to make; it must not exist, or be empty.")
    ],
    direct: Annotated[
        bool, typer.Option("--direct", help="Straight from the store, which must be reachable from here.")
    ] = False,
    quiet: Quiet = False,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Pull a version's files into a folder.

    All of them and verified, or nothing. A pull that was interrupted goes on where it stopped when the same command is
    given again. Prints the version that it was.
    """
    with open_registry(server, tenant) as registry:
        # Resolved here, so that what is printed is what was pulled, whatever moves meanwhile.
        version = registry.get(ref)
        folder = registry.pull(version, destination, direct=direct, progress=False if quiet else None)
    if as_json:
        print_json({"version": version, "destination": str(folder)})
    else:
        print(version)
