"""`comment`, `comments` and `check …`: what people and checks say about versions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from registrar.cli.arguments import parse_time
from registrar.cli.documents import print_json
from registrar.cli.session import AsJson, Name, Ref, RequestId, Server, Since, Tenant, Until, open_registry
from registrar.cli.text import ago, columns, plain, shortened
from registrar.review_types import CheckOutcome, CheckResult
from registrar.review_types import Comment as Said

_WIDTH = 48

check = typer.Typer(help="Write down what checks have found, and read it.", no_args_is_help=True)


def comment(
    *,
    ref: Ref,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What there is to say.")],
    reply_to: Annotated[str, typer.Option("--reply-to", metavar="ID", help="Comment that it answers.")] = "",
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Say something about a version.

    Comments are only added; `registrar history` shows them among all that happened.
    """
    with open_registry(server, tenant) as registry:
        said = registry.comment(ref, text, reply_to=reply_to, request_id=request_id)
    print_json(said) if as_json else print(f"noted on version {said.version}; id {said.id}")


def comments(
    *,
    name: Name,
    version: Annotated[int | None, typer.Option("--version", metavar="N", help="Only on this version.")] = None,
    since: Since = None,
    until: Until = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """List the comments on a model's versions, in full.

    The newest first.
    """
    with open_registry(server, tenant) as registry:
        found = list(registry.comments(name, version=version, start_time=_time(since), end_time=_time(until)))
    print_json({"comments": found}) if as_json else print(_comments_card(found))


@check.command("report")
def report_check(
    *,
    ref: Ref,
    name: Annotated[str, typer.Argument(metavar="CHECK", help="Name of the check, such as pickle-scan.")],
    outcome: Annotated[CheckOutcome, typer.Argument(help="What it found.")],
    summary: Annotated[str, typer.Option("--summary", "-m", metavar="TEXT", help="In words.")] = "",
    details: Annotated[str, typer.Option("--details", metavar="URI", help="Where more is said.")] = "",
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Write down what a check of a version found.

    The last result of a name counts.
    """
    with open_registry(server, tenant) as registry:
        result = registry.report_check(
            ref, name, outcome=outcome, summary=summary, details_uri=details, request_id=request_id
        )
    print_json(result) if as_json else print(plain(f"{result.name} of version {result.version}: {result.outcome}"))


@check.command("list")
def list_checks(*, ref: Ref, server: Server = None, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """List what checks of a version have found.

    The newest first.
    """
    with open_registry(server, tenant) as registry:
        found = list(registry.checks(ref))
    print_json({"checks": found}) if as_json else print(_checks_table(found))


def _checks_table(results: list[CheckResult]) -> str:
    if not results:
        return "No check was reported."
    rows = [("WHEN", "CHECK", "OUTCOME", "BY", "SUMMARY", "DETAILS")]
    rows += [
        (
            ago(result.report_time),
            result.name,
            result.outcome,
            result.reported_by,
            shortened(result.summary, _WIDTH),
            result.details_uri,
        )
        for result in results
    ]
    return columns(rows)


def _comments_card(found: list[Said]) -> str:
    if not found:
        return "No comments."
    return "\n\n".join(_comment_lines(said) for said in found)


def _comment_lines(said: Said) -> str:
    answers = f", answers {said.reply_to}" if said.reply_to else ""
    head = plain(f"version {said.version}   {said.author}   {ago(said.create_time)}   id {said.id}{answers}")
    return "\n".join([head, *(f"  {plain(line)}" for line in said.text.splitlines())])


def _time(text: str | None) -> datetime | None:
    return None if text is None else parse_time(text)
