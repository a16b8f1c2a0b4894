"""`verify`: whether the stored bytes of a version are still what was pushed."""

from __future__ import annotations

from registrar.amounts import size
from registrar.cli.documents import print_json
from registrar.cli.session import AsJson, Quiet, Ref, Server, Tenant, open_registry
from registrar.cli.text import plain
from registrar.errors import DataLoss
from registrar.types import Artifact, VerifiedFile


def verify(
    *, ref: Ref, quiet: Quiet = False, server: Server = None, tenant: Tenant = None, as_json: AsJson = False
) -> None:
    """Have the registry read every stored byte of a version again.

    Exit code 0 when all files are what was pushed; 7 when one is not: each of those is named, with what is expected and
    what is stored.
    """
    files: list[VerifiedFile] = []
    with open_registry(server, tenant) as registry:
        version = registry.get(ref)
        try:
            artifact = registry.verify(version, on_file=files.append, progress=False if quiet else None)
        except DataLoss:
            if as_json:
                print_json({"version": version, "is_intact": False, "files": files})
            raise
    if as_json:
        print_json({"version": version, "is_intact": True, "files": files, "verify_time": artifact.verify_time})
    else:
        print(f"{plain(version)}: {_found(artifact)}")


def _found(artifact: Artifact) -> str:
    files = "1 file" if artifact.file_count == 1 else f"{artifact.file_count} files"
    return f"{files}, {size(artifact.size_bytes)}, all as they were pushed"
