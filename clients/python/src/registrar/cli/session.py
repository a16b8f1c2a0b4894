"""The options that every command has, and the registry that it talks to."""

from __future__ import annotations

import sys
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from registrar.cli.exits import ExitCode, tell

if TYPE_CHECKING:
    from registrar.channel import Endpoint
    from registrar.client import Registry

CONNECT_SECONDS = 5.0
"""How long an answer is waited for before anybody at all is there: people and scripts want to know soon."""

Server = Annotated[
    str | None, typer.Option("--server", "-s", metavar="HOST:PORT", help="Where the registry is [REGISTRAR_SERVER].")
]
Tenant = Annotated[
    str | None, typer.Option("--tenant", metavar="NAME", help="Tenant of references without one [REGISTRAR_TENANT].")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, not even on a terminal.")]
Ref = Annotated[
    str, typer.Argument(metavar="REF", help="NAME/3, NAME/1.4.0, NAME@^1.4, NAME@alias or NAME:production.")
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the model.")]
Comment = Annotated[str, typer.Option("--comment", "-m", metavar="TEXT", help="Why; kept in the history.")]
RequestId = Annotated[
    str | None,
    typer.Option("--request-id", metavar="ID", help="Repeating the command with the same id does it only once."),
]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="From then on: 2026-03-01, 2026-03-01T14:05, or 7d ago.")
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Only what was before.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, not even on a terminal.")]


@dataclass(frozen=True, slots=True)
class Target:
    """What was said before the command's name: `registrar --server HOST:PORT list`."""

    server: str | None = None
    tenant: str | None = None


TARGET: ContextVar[Target] = ContextVar("TARGET", default=Target())  # noqa: B039  (it is frozen)


def open_registry(server: str | None, tenant: str | None, token: str | None = None) -> Registry:
    """A registry, to be used in a `with`; gRPC is imported here and not before. `token`: see `registrar.connect`."""
    from registrar.client import connect

    said = TARGET.get()
    return connect(
        server or said.server,
        tenant=tenant if tenant is not None else said.tenant,
        connect_timeout_seconds=CONNECT_SECONDS,
        token=token,
    )


def endpoint_at(server: str | None) -> Endpoint:
    """Where the registry is that `open_registry` opens: its address is what a login is kept under."""
    from registrar.channel import endpoint_of
    from registrar.settings import target_of
    from registrar.tls import credentials_of_environment

    return endpoint_of(target_of(server or TARGET.get().server), credentials_of_environment())


def confirm(question: str, *, is_sure: bool) -> None:
    """Ask on a terminal whether to go on; a script has been thought about before."""
    if is_sure or not sys.stdin.isatty():
        return
    if not typer.confirm(question, err=True):
        tell("nothing was changed")
        raise typer.Exit(ExitCode.INTERRUPTED)
