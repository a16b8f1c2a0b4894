"""Make docs/errors.md from the comments of protos/, or with --check tell whether it is current.

    .venv/bin/python tools/make_errors_page.py [--check]

The comment of a reason says its gRPC code, when it happens and what to do; the comments of services and RPCs say which
of them answers with it. buf reads the comments, offline.
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

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "errors.md"
PREFIX = "ERROR_REASON_"

# Numbers of fields in google/protobuf/descriptor.proto: a comment is found by the path to what it is about.
_FILE_ENUM, _FILE_SERVICE, _SERVICE_METHOD, _ENUM_VALUE = 5, 6, 2, 2

_COMMENT = re.compile(r"(?P<code>[A-Z_]+)\. (?P<text>.*?)(?: Metadata: (?P<metadata>[^.]+)\.)?", re.DOTALL)
_WORD = re.compile(r"[A-Z][A-Z_]+")

_INTRODUCTION = """\
# Errors

<!-- Made by tools/make_errors_page.py from protos/registrar/v1. Change the comments there. -->

Every error of this API is a gRPC status with details. `google.rpc.ErrorInfo` is always among them: its `reason` is one
of those below, its `domain` is `registrar`, and its `metadata` holds the facts. Branch on the reason; the message is for
people and may change. `BadRequest` lists every wrong field at once, `PreconditionFailure` every condition that does not
hold, `RetryInfo` says when trying again can help.

In Python each code is an exception (`registrar.NotFound`, `registrar.Aborted`, …) with `reason`, `metadata`,
`violations`, `preconditions` and `retry_after`. The SDK tries again by itself what is safe to try again.
`grpcurl -format-error` prints the details as JSON. What nobody expected is INTERNAL “internal error”, without a reason:
the request id in the trailer `x-request-id` finds it in the server's log.
"""

_CODES: Mapping[str, str] = {
    "INVALID_ARGUMENT": "The request can never succeed as it is. Mend it.",
    "UNAUTHENTICATED": "The caller did not say who it is, or nobody believes it.",
    "PERMISSION_DENIED": "The caller lacks a right.",
    "NOT_FOUND": "There is no such thing, or the caller may not know of it.",
    "ALREADY_EXISTS": "The name is taken.",
    "FAILED_PRECONDITION": "The thing is not in the state that this needs. Change that first.",
    "ABORTED": "Somebody else was faster. Read again, decide, try again.",
    "OUT_OF_RANGE": "An offset or a range does not fit the file.",
    "RESOURCE_EXHAUSTED": "A slot, a quota or the store's room is used up.",
    "DEADLINE_EXCEEDED": "It took longer than allowed. A change may have happened: repeat it with its request id.",
    "DATA_LOSS": "Bytes are not what was pushed.",
    "UNAVAILABLE": "The server, or something behind it, does not answer. Try again, after `RetryInfo` where it is given.",
    "UNIMPLEMENTED": "The server does not know the method.",
}


@dataclass(frozen=True, slots=True)
class ErrorReason:
    """A value of the enumeration, without its prefix, as its comment describes it."""

    name: str
    code: str
    text: str
    metadata: str


@dataclass(frozen=True, slots=True)
class Contract:
    """The reasons, and which RPCs name them: by full name, or `… in general` from a service's comment."""

    reasons: Sequence[ErrorReason]
    named_by: Mapping[str, Sequence[str]]


def main() -> int:
    parser = argparse.ArgumentParser(description="Make docs/errors.md from the comments of protos/.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail when the page is not current")
    arguments = parser.parse_args()
    page = render(read_contract())
    if arguments.check:
        if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page:
            return 0
        print(f"not current: {PAGE.relative_to(ROOT)} (run tools/make_errors_page.py)", file=sys.stderr)
        return 1
    PAGE.write_text(page, encoding="utf-8")
    return 0


def read_contract() -> Contract:
    """Reasons and RPCs with their comments. ValueError for a reason whose comment does not begin with a code."""
    files = [file for file in _descriptors() if file.get("package") == "registrar.v1"]
    reasons = [reason for file in files for reason in _reasons(file)]
    known = {reason.name for reason in reasons}
    named_by: dict[str, list[str]] = {}
    for file in files:
        for who, comment in _callables(file):
            for name in dict.fromkeys(_WORD.findall(comment)):
                if name in known:
                    named_by.setdefault(name, []).append(who)
    return Contract(reasons, named_by)


def render(contract: Contract) -> str:
    """The page."""
    lines = [_INTRODUCTION]
    for code, meaning in _CODES.items():
        reasons = [reason for reason in contract.reasons if reason.code == code]
        if reasons:
            lines += [f"## {code}", "", meaning, ""]
        for reason in reasons:
            lines += [f"### {reason.name}", "", reason.text]
            lines += ["", f"Metadata: {reason.metadata}."] if reason.metadata else []
            names = contract.named_by.get(reason.name, ())
            lines += ["", f"Where: {', '.join(names)}."] if names else []
            lines.append("")
    if unknown := {reason.code for reason in contract.reasons} - set(_CODES):
        raise ValueError(f"codes without a meaning: {', '.join(sorted(unknown))}")
    return "\n".join(lines).rstrip() + "\n"


def _descriptors() -> list[dict[str, Any]]:
    """Every file of the contract as buf sees it, comments included."""
    buf = Path(sys.executable).parent / "buf"
    with tempfile.TemporaryDirectory(prefix="registrar-errors-") as directory:
        image = Path(directory) / "image.json"
        subprocess.run([str(buf), "build", "-o", str(image), "--as-file-descriptor-set"], cwd=ROOT, check=True)
        files: list[dict[str, Any]] = json.loads(image.read_text(encoding="utf-8"))["file"]
    return sorted(files, key=lambda file: str(file["name"]))


def _reasons(file: Mapping[str, Any]) -> Iterator[ErrorReason]:
    for number, enum in enumerate(file.get("enumType", ())):
        if enum["name"] != "ErrorReason":
            continue
        for index, value in enumerate(enum["value"]):
            name = str(value["name"]).removeprefix(PREFIX)
            if name == "UNSPECIFIED":
                continue
            comment = _comment(file, [_FILE_ENUM, number, _ENUM_VALUE, index])
            matched = _COMMENT.fullmatch(comment)
            if matched is None:
                raise ValueError(f"the comment of {value['name']} does not begin with a gRPC code: {comment!r}")
            yield ErrorReason(name, matched["code"], matched["text"], matched["metadata"] or "")


def _callables(file: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Services and RPCs, each with its comment."""
    for number, service in enumerate(file.get("service", ())):
        yield f"{service['name']} in general", _comment(file, [_FILE_SERVICE, number])
        for index, method in enumerate(service["method"]):
            comment = _comment(file, [_FILE_SERVICE, number, _SERVICE_METHOD, index])
            yield f"{service['name']}.{method['name']}", comment


def _comment(file: Mapping[str, Any], path: list[int]) -> str:
    """The comment before an element, on one line."""
    for location in file["sourceCodeInfo"]["location"]:
        if location.get("path") == path:
            return " ".join(str(location.get("leadingComments", "")).split())
    return ""


if __name__ == "__main__":
    sys.exit(main())
