"""Make docs/rights.md from the option `access` of every RPC, or with --check tell whether it is current.

    .venv/bin/python tools/make_rights_page.py [--check]

What rights and scopes mean, and what an RPC does, are the first words of their comments in protos/; buf reads them,
offline. The roles are those of the server's own table.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registrar_server.domain.access import BUILT_IN_ROLES

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "rights.md"
OPTION = "[registrar.v1.access]"
RIGHT, SCOPE, STAGE = "RIGHT_", "ACCESS_SCOPE_", "STAGE_"

# Numbers of fields in google/protobuf/descriptor.proto: a comment is found by the path to what it is about.
_FILE_ENUM, _FILE_SERVICE, _SERVICE_METHOD, _ENUM_VALUE = 5, 6, 2, 2

_SENTENCE = re.compile(r".*?[.](?=\s|$)", re.DOTALL)

_INTRODUCTION = """\
# Rights

<!-- Made by tools/make_rights_page.py from protos/registrar/v1 and the built-in roles. Change those. -->

Every RPC says in the contract which right it needs, and on what. The server reads that before it does anything else, and
refuses an RPC that says nothing to everybody. `grpcurl … describe registrar.v1.ModelService.DeleteModel` shows it, too.
[security.md](security.md) explains how callers come by rights, and what they are told without.
"""


@dataclass(frozen=True, slots=True)
class Demand:
    """What an RPC demands of its caller: names of the contract without prefixes, in lower case; empty: none."""

    service: str
    rpc: str
    scope: str
    right: str
    stage: str
    does: str


@dataclass(frozen=True, slots=True)
class Contract:
    """Rights and scopes with their meanings, in the contract's order, and what every RPC demands."""

    rights: Mapping[str, str]
    scopes: Mapping[str, str]
    demands: Sequence[Demand]


def main() -> int:
    parser = argparse.ArgumentParser(description="Make docs/rights.md from the option `access` of every RPC.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail when the page is not current")
    arguments = parser.parse_args()
    page = render(read_contract())
    if arguments.check:
        if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page:
            return 0
        print(f"not current: {PAGE.relative_to(ROOT)} (run tools/make_rights_page.py)", file=sys.stderr)
        return 1
    PAGE.write_text(page, encoding="utf-8")
    return 0


def read_contract() -> Contract:
    """What protos/ say. ValueError for an RPC that says nothing of access."""
    files = [file for file in _descriptors() if file.get("package") == "registrar.v1"]
    meanings = {name: text for file in files for name, text in _values(file)}
    return Contract(
        rights=_named(meanings, RIGHT),
        scopes=_named(meanings, SCOPE),
        demands=[demand for file in files for demand in _demands(file)],
    )


def render(contract: Contract) -> str:
    """The page."""
    lines = [_INTRODUCTION, "## Rights", "", *_table("Right", "What it allows")]
    lines += [_row(f"`{right}`", meaning) for right, meaning in contract.rights.items()]
    lines += ["", "## Built-in roles", "", *_table("Role", "Rights", "What for")]
    lines += [
        _row(f"`{role.name}`", ", ".join(f"`{grant.right}`" for grant in role.grants), role.description)
        for role in BUILT_IN_ROLES.values()
    ]
    lines += ["", "They hold in every tenant, without limits, and cannot be changed."]
    lines += ["", "## On what", "", *_table("On", "The right is needed on")]
    lines += [_row(scope, meaning) for scope, meaning in contract.scopes.items()]
    for service in dict.fromkeys(demand.service for demand in contract.demands):
        lines += ["", f"## {service}", "", *_table("RPC", "Right", "On", "What it does")]
        lines += [
            _row(demand.rpc, _right(demand), demand.scope, demand.does)
            for demand in contract.demands
            if demand.service == service
        ]
    return "\n".join(lines) + "\n"


def _table(*headings: str) -> list[str]:
    return [_row(*headings), "|" + "---|" * len(headings)]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _right(demand: Demand) -> str:
    if not demand.right:
        return "none"
    return f"`{demand.right}`" + (f" to {demand.stage}" if demand.stage else "")


def _named(meanings: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {
        name.removeprefix(prefix).lower(): meaning
        for name, meaning in meanings.items()
        if name.startswith(prefix) and not name.endswith("_UNSPECIFIED")
    }


def _demands(file: Mapping[str, Any]) -> Iterator[Demand]:
    for number, service in enumerate(file.get("service", ())):
        for index, method in enumerate(service["method"]):
            access = method.get("options", {}).get(OPTION, {})
            if "scope" not in access:
                raise ValueError(f"{service['name']}.{method['name']} says nothing of access")
            comment = _comment(file, [_FILE_SERVICE, number, _SERVICE_METHOD, index])
            yield Demand(
                service=service["name"],
                rpc=method["name"],
                scope=access["scope"].removeprefix(SCOPE).lower(),
                right=access.get("right", "").removeprefix(RIGHT).lower(),
                stage=access.get("stage", "").removeprefix(STAGE).lower(),
                does=_what_it_does(comment, method["name"]),
            )


def _values(file: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Values of enumerations, each with its comment."""
    for number, enum in enumerate(file.get("enumType", ())):
        for index, value in enumerate(enum["value"]):
            yield str(value["name"]), _comment(file, [_FILE_ENUM, number, _ENUM_VALUE, index])


def _what_it_does(comment: str, rpc: str) -> str:
    """The first sentence, which begins with the RPC's name, without that."""
    matched = _SENTENCE.match(comment)
    sentence = (matched[0] if matched else comment).removeprefix(f"{rpc} ")
    return sentence[:1].upper() + sentence[1:]


def _descriptors() -> list[dict[str, Any]]:
    """Every file of the contract as buf sees it, comments included."""
    buf = Path(sys.executable).parent / "buf"
    with tempfile.TemporaryDirectory(prefix="registrar-rights-") as directory:
        image = Path(directory) / "image.json"
        subprocess.run([str(buf), "build", "-o", str(image), "--as-file-descriptor-set"], cwd=ROOT, check=True)
        files: list[dict[str, Any]] = json.loads(image.read_text(encoding="utf-8"))["file"]
    return sorted(files, key=lambda file: str(file["name"]))


def _comment(file: Mapping[str, Any], path: list[int]) -> str:
    """The comment before an element, on one line."""
    for location in file["sourceCodeInfo"]["location"]:
        if location.get("path") == path:
            return " ".join(str(location.get("leadingComments", "")).split())
    return ""


if __name__ == "__main__":
    sys.exit(main())
