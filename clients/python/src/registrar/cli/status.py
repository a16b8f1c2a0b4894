"""`info` and `ping`: the server itself."""

from __future__ import annotations

from typing import Annotated

import typer

from registrar.cli.cards import server_card
from registrar.cli.documents import print_json
from registrar.cli.exits import ExitCode, tell
from registrar.cli.session import AsJson, Server, Tenant, open_registry


def info(server: Server = None, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Show what the server is and allows."""
    with open_registry(server, tenant) as registry:
        found = registry.server_info()
    print_json(found) if as_json else print(server_card(registry.target, found))


def ping(
    *,
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait.")] = 3.0,
    server: Server = None,
    as_json: AsJson = False,
) -> None:
    """Ask whether the server is serving.

    Exit code 0 when it is, 6 when it is not.
    """
    with open_registry(server, None) as registry:
        is_serving = registry.is_serving(timeout_seconds=timeout)
    if as_json:
        print_json({"server": registry.target, "is_serving": is_serving})
    elif is_serving:
        print(f"{registry.target} is serving")
    else:
        tell(f"error: {registry.target} is not serving")
    if not is_serving:
        raise typer.Exit(ExitCode.UNAVAILABLE)
