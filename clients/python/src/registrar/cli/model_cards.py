"""`card …`: what a version is for, how good it is and for whom, and what can go wrong."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registrar.card_types import CardFormat, ModelCardRevision
from registrar.cli.documents import print_json
from registrar.cli.exits import tell
from registrar.cli.session import AsJson, Comment, Ref, RequestId, Server, Tenant, open_registry
from registrar.cli.text import ago, columns, plain
from registrar.errors import InvalidArgument, RegistrarError

if TYPE_CHECKING:
    from registrar.client import Registry

_SUFFIXES = {".md": CardFormat.MARKDOWN, ".yaml": CardFormat.YAML, ".yml": CardFormat.YAML, ".json": CardFormat.YAML}
_EDITOR = "vi"

card = typer.Typer(help="Read and write model cards.", no_args_is_help=True)

Revision = Annotated[
    int | None, typer.Option("--revision", "-r", min=1, metavar="N", help="Which revision; without: the last.")
]
Format = Annotated[CardFormat | None, typer.Option("--format", help="markdown, as on the Hugging Face Hub, or yaml.")]


@card.command("show")
def show(
    ref: Ref, *, revision: Revision = None, server: Server = None, tenant: Tenant = None, as_json: AsJson = False
) -> None:
    """Show the card of a version."""
    with open_registry(server, tenant) as registry:
        found = registry.card(ref, revision=revision)
        text = "" if as_json else registry.render_card(ref, revision=found.revision)
    if as_json:
        print_json(found)
    else:
        print(f"{_named(found)}  by {plain(found.author)}  {ago(found.create_time)}\n")
        print(_shown(_without_front_matter(text)))


@card.command("history")
def history(ref: Ref, *, server: Server = None, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """List the revisions of the card of a version, the newest first."""
    with open_registry(server, tenant) as registry:
        found = list(registry.card_revisions(ref))
    if as_json:
        print_json({"revisions": found})
        return
    rows = [
        (str(one.revision), ago(one.create_time), one.author, f"{len(one.sections)} of 9 sections", one.digest[:19])
        for one in found
    ]
    print(columns(rows, right=(0,)) if rows else "it has no card")


@card.command("export")
def export(
    ref: Ref,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", dir_okay=False, help="Without: standard output.")
    ] = None,
    card_format: Format = None,
    revision: Revision = None,
    server: Server = None,
    tenant: Tenant = None,
) -> None:
    """Write the card of a version to a file: Markdown, or YAML where the file is called so."""
    chosen = card_format or _format_of(output, CardFormat.MARKDOWN)
    with open_registry(server, tenant) as registry:
        text = registry.render_card(ref, chosen, revision=revision)
    if output is not None:
        output.write_text(text, encoding="utf-8", newline="\n")
        tell(f"written: {output}")
    elif sys.stdout.isatty():
        print(_shown(text))
    else:
        sys.stdout.write(text)


@card.command("import")
def import_(
    ref: Ref,
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="A card as text.")],
    *,
    card_format: Format = None,
    etag: Annotated[
        str, typer.Option("--etag", metavar="ETAG", help="Only when nobody has written another since.")
    ] = "",
    comment: Comment = "",
    request_id: RequestId = None,
    server: Server = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Make a file the card of a version: a README.md of the Hugging Face Hub, or a model_card.yaml.

    What the registry has no field for is kept all the same.
    """
    text = _read(file)
    with open_registry(server, tenant) as registry:
        parsed = registry.parse_card(text, card_format or _format_of(file, CardFormat.MARKDOWN))
        written = registry.update_card(ref, parsed, etag=etag, comment=comment, request_id=request_id)
    print_json(written) if as_json else print(_named(written))


@card.command("edit")
def edit(
    ref: Ref,
    *,
    card_format: Format = None,
    comment: Comment = "",
    server: Server = None,
    tenant: Tenant = None,
) -> None:
    """Change the card of a version in your editor [VISUAL, EDITOR].

    Refused when somebody else has written another meanwhile; then, or when the text is no card, it is kept in a file.
    """
    chosen = card_format or CardFormat.MARKDOWN
    with open_registry(server, tenant) as registry:
        before = registry.card(ref)
        text = registry.render_card(ref, chosen, revision=before.revision)
        suffix = ".md" if chosen is CardFormat.MARKDOWN else ".yaml"
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", newline="\n", prefix="model-card-", suffix=suffix, delete=False
        ) as file:
            file.write(text)
        path = Path(file.name)
        try:
            after = _changed(registry, ref, before, path, chosen, comment)
        except (RegistrarError, OSError) as error:
            error.add_note(f"your text is in {path}")
            raise
        path.unlink()
    is_same = after.revision == before.revision
    print(f"{_named(after)}: nothing has changed" if is_same else _named(after))


def _changed(
    registry: Registry, ref: str, before: ModelCardRevision, path: Path, chosen: CardFormat, comment: str
) -> ModelCardRevision:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or _EDITOR
    subprocess.run([*shlex.split(editor), str(path)], check=False)
    parsed = registry.parse_card(_read(path), chosen)
    return registry.update_card(ref, parsed, etag=before.etag, comment=comment)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidArgument(f"{file} is no text in UTF-8", reason="CARD_MALFORMED") from None


def _format_of(file: Path | None, default: CardFormat) -> CardFormat:
    return default if file is None else _SUFFIXES.get(file.suffix.lower(), default)


def _named(revision: ModelCardRevision) -> str:
    prefilled = " (prefilled)" if revision.is_prefilled else ""
    return f"{plain(revision.model)}/{revision.version}  card revision {revision.revision}{prefilled}"


def _without_front_matter(text: str) -> str:
    """What people read: front matter is for machines."""
    if not text.startswith("---\n"):
        return text
    _, _, rest = text.removeprefix("---\n").partition("\n---\n")
    return rest.lstrip("\n")


def _shown(text: str) -> str:
    return "\n".join(plain(line) for line in text.rstrip("\n").split("\n"))
