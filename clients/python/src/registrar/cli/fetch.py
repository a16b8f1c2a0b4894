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
    quiet: Quiet = False,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Pull a version's files into a folder.

    All of them and verified, or nothing. Prints the version that it was.
    """
    with open_registry(server, tenant) as registry:
        # Resolved here, so that what is printed is what was pulled, whatever moves meanwhile.
        version = registry.get(ref)
        folder = registry.pull(version, destination, progress=False if quiet else None)
    if as_json:
        print_json({"version": version, "destination": str(folder)})
    else:
        print(version)
