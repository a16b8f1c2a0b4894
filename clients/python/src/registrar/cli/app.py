"""The command `registrar`: its commands, those that other distributions add, and how it ends."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
import typer.core

from registrar.cli import (
    approvals,
    audit,
    catalogue,
    evidence,
    fetch,
    governance,
    lineage,
    login,
    model_cards,
    policies,
    publish,
    reviews,
    roles,
    schemas,
    search,
    status,
    tenants,
    tokens,
    verify,
)
from registrar.cli.exits import MEANINGS, ExitCode, notes_of, report, tell
from registrar.cli.session import TARGET, Server, Target, Tenant
from registrar.errors import RegistrarError

EXTENSIONS = "registrar.commands"
"""Entry points of this group load to a function that takes the `typer.Typer` and adds commands to it."""

SERVER_COMMANDS = frozenset({"serve", "migrate", "check-config", "bootstrap-token"})
_VALUED_OPTIONS = frozenset({"--server", "-s", "--tenant"})
_COMMANDS: dict[str, Callable[..., None]] = {
    "push": publish.push,
    "abort": publish.abort,
    "register": publish.register,
    "pull": fetch.pull,
    "verify": verify.verify,
    "get": catalogue.get,
    "list": catalogue.list_,
    "search": search.search,
    "lineage": lineage.lineage,
    "compare": catalogue.compare,
    "promote": governance.promote,
    "rollback": governance.rollback,
    "approve": approvals.approve,
    "reject": approvals.reject,
    "comment": reviews.comment,
    "comments": reviews.comments,
    "history": governance.history,
    "update": catalogue.update,
    "delete": catalogue.delete,
    "undelete": catalogue.undelete,
    "info": status.info,
    "ping": status.ping,
    "login": login.login,
    "logout": login.logout,
    "whoami": login.whoami,
}
_GROUPS = {
    "alias": governance.alias,
    "approval": approvals.approval,
    "audit": audit.audit,
    "card": model_cards.card,
    "check": reviews.check,
    "evidence": evidence.evidence,
    "policy": policies.policy,
    "role": roles.role,
    "token": tokens.token,
    "tenant": tenants.tenant,
    "schema": schemas.schema,
}
_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:>3}  {meaning}" for code, meaning in MEANINGS.items())


class _Commands(typer.core.TyperGroup):
    """Ctrl-C ends with 130 whatever typer's version makes of it, and in silence."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            tell("interrupted", *notes_of(interrupt))
            raise typer.Exit(ExitCode.INTERRUPTED) from None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; answers the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an arrow that a terminal cannot show is no reason to fail
    try:
        return _run(arguments)
    except KeyboardInterrupt as interrupt:
        tell("interrupted", *notes_of(interrupt))
        return ExitCode.INTERRUPTED
    except RegistrarError as error:
        return report(error)
    except Exception as error:
        if "--traceback" in arguments:
            raise
        tell(f"error: unexpected {type(error).__name__}: {error}", "  try: `registrar --traceback …` shows where")
        return ExitCode.UNEXPECTED


def _run(arguments: list[str]) -> int:
    app = client_app()
    word = _first_word(arguments)
    if word not in {*_COMMANDS, *_GROUPS}:
        is_complete = extend(app)
        if word in SERVER_COMMANDS and word not in _names(app):
            if is_complete:
                tell(f"error: `registrar {word}` comes with the server", "  try: pip install registrar-server")
            return ExitCode.USAGE if is_complete else ExitCode.UNEXPECTED
    try:
        app(args=arguments, prog_name="registrar")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else ExitCode.OK if ended.code is None else ExitCode.UNEXPECTED
    return ExitCode.OK


def client_app() -> typer.Typer:
    """The commands of this distribution."""
    app = typer.Typer(
        cls=_Commands,
        help="Registrar: push models, promote them, pull them.",
        epilog=_EPILOG,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(_root)
    for name, command in _COMMANDS.items():
        app.command(name)(command)
    for name, group in _GROUPS.items():
        app.add_typer(group, name=name)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"registrar {version('registrar-client')}")
        raise typer.Exit


def _root(
    server: Server = None,
    tenant: Tenant = None,
    version: Annotated[  # noqa: ARG001  (its callback has done it)
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version of this command.")
    ] = False,
    traceback: Annotated[  # noqa: ARG001  (main looks for it: it must also work while options are read)
        bool, typer.Option("--traceback", help="Show where an unexpected failure came from.")
    ] = False,
) -> None:
    TARGET.set(Target(server, tenant))


def extend(app: typer.Typer) -> bool:
    """Add the commands of other distributions; answers whether all could be added.

    They are looked for only when needed: a `get` must stay quick.
    """
    from importlib.metadata import entry_points

    is_complete = True
    for entry_point in entry_points(group=EXTENSIONS):
        try:
            entry_point.load()(app)
        except Exception as error:  # noqa: BLE001  (a broken extension must not take the other commands with it)
            tell(f"warning: the commands of {entry_point.value} cannot be used: {type(error).__name__}: {error}")
            is_complete = False
    return is_complete


def _names(app: typer.Typer) -> set[str]:
    return {name for command in app.registered_commands if (name := command.name)}


def _first_word(arguments: Sequence[str]) -> str:
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            return word
        if word in _VALUED_OPTIONS:
            next(words, None)
    return ""
