"""Exit codes, and how a failure is told to a person: what, why, which fields, what to do."""

from __future__ import annotations

import sys
from enum import IntEnum

from registrar.cli.gates import next_steps, refusal_lines
from registrar.cli.text import plain
from registrar.errors import Code, RegistrarError


class ExitCode(IntEnum):
    """What the exit code of `registrar` means. Stable."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    CONFLICT = 5
    UNAVAILABLE = 6
    DATA_LOSS = 7
    NOT_ALLOWED = 8
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.UNEXPECTED: "unexpected failure, here or in the server",
    ExitCode.USAGE: "wrong use of the command line",
    ExitCode.NOT_FOUND: "no such model, version, alias, file, policy",
    ExitCode.REFUSED: "refused: invalid, or not in the state for it",
    ExitCode.CONFLICT: "taken, or somebody else was faster: look again",
    ExitCode.UNAVAILABLE: "not reachable, busy or too slow: try later",
    ExitCode.DATA_LOSS: "bytes are not what was pushed, or the audit not what was written",
    ExitCode.NOT_ALLOWED: "you may not do this",
    ExitCode.INTERRUPTED: "Ctrl-C",
}

_BY_CODE = {
    Code.NOT_FOUND: ExitCode.NOT_FOUND,
    Code.INVALID_ARGUMENT: ExitCode.REFUSED,
    Code.FAILED_PRECONDITION: ExitCode.REFUSED,
    Code.OUT_OF_RANGE: ExitCode.REFUSED,
    Code.ABORTED: ExitCode.CONFLICT,
    Code.ALREADY_EXISTS: ExitCode.CONFLICT,
    Code.UNAVAILABLE: ExitCode.UNAVAILABLE,
    Code.RESOURCE_EXHAUSTED: ExitCode.UNAVAILABLE,
    Code.DEADLINE_EXCEEDED: ExitCode.UNAVAILABLE,
    Code.DATA_LOSS: ExitCode.DATA_LOSS,
    Code.PERMISSION_DENIED: ExitCode.NOT_ALLOWED,
    Code.UNAUTHENTICATED: ExitCode.NOT_ALLOWED,
}

_HINTS = {
    "UNREACHABLE": "start one with `registrar serve`, or say where it is with --server or REGISTRAR_SERVER",
    "MODEL_NOT_FOUND": "`registrar list` shows the models",
    "VERSION_NOT_FOUND": "`registrar list {model}` shows its versions",
    "ALIAS_NOT_FOUND": "`registrar list {model}` shows the aliases of its versions",
    "FILTER_INVALID": "`registrar search --help` names the fields; docs/search.md has the language",
    "STAGE_EMPTY": "`registrar list {model}` shows the stages of its versions; `registrar promote` moves one",
    "STAGE_HAS_SEVERAL_HOLDERS": "name one by its number",
    "VERSION_IN_USE": "archive it with `registrar promote … --to archived`, and remove its aliases, first",
    "VERSION_DELETED": "`registrar undelete` brings it back",
    "ALIAS_MOVED": "look where it points now, and decide again",
    "STAGE_HOLDER_CHANGED": "look who holds the stage now, and decide again",
    "ETAG_MISMATCH": "it changed since it was read: look again",
    "SEMANTIC_VERSION_EXISTS": "choose another --semantic-version",
    "REQUEST_ID_REUSED": "leave --request-id out, or use a new one",
    "ARTIFACT_CORRUPT": "push the bundle again, and tell who runs the store",
    "ARTIFACT_UNVERIFIED": "its files are not in this registry: push them, or register the run",
    "DESTINATION_EXISTS": "name a folder that does not exist yet, or an empty one",
    "DISK_FULL": "make room, or name a folder on another disk",
    "STORE_UNREACHABLE": "leave --direct out: then the bytes go through the registry",
    "STORE_REFUSED": "leave --direct out: then the bytes go through the registry",
    "METHOD_NOT_IMPLEMENTED": "ask who runs the registry for a newer one, or use an older client",
    "NOTE_NOT_SIGNED": "give the key that signed it: old keys go on verifying what they signed, in one file with the new",
    "AUDIT_HEAD_UNSIGNED": "whoever runs the registry sets REGISTRAR_AUDIT_SIGNING_KEY_FILE",
    "UPLOAD_COMMITTED": "`registrar delete` hides a version that was made of it",
    "UPLOAD_NOT_FOUND": "give the same command again",
    "UPLOAD_PENDING": "the registry goes on by itself: give the same command again later",
    "FILE_CHANGED": "push when nothing writes to it any more",
    "REGISTRATION_PENDING": "it goes on by itself: `registrar get {model}#{uid}` shows how far it is",
    "MLFLOW_UNAVAILABLE": "what was accepted goes on when MLflow answers",
    "NO_TRANSFER_SLOT": "too many transfers at once: try again in a moment",
    "CREDENTIALS_MISSING": "`registrar login`, or set REGISTRAR_TOKEN",
    "CREDENTIALS_INVALID": "`registrar login`, or set REGISTRAR_TOKEN to one that holds",
    "CREDENTIALS_EXPIRED": "`registrar login`, or set REGISTRAR_TOKEN to a new one",
    "LOGIN_ENDED": "`registrar login`",
    "LOGIN_EXPIRED": "`registrar login` gives a new code",
    "LOGIN_NOT_OFFERED": "ask who runs the registry for a token, and set REGISTRAR_TOKEN",
    "IDENTITY_PROVIDER_UNAVAILABLE": "try again in a moment, or tell who runs the identity provider",
    "INSECURE_CHANNEL": "put grpcs:// in front of the address, or say with REGISTRAR_CA who signs its certificate",
    "CREDENTIALS_FILE_CORRUPT": "remove the file, and `registrar login` again",
    "PERMISSION_DENIED": "who administers tenant {tenant} can give it with `registrar role bind`; `registrar whoami` shows "
    "what you have",
    "TENANT_NOT_FOUND": "`registrar whoami` shows where you have a role",
    "TENANT_SUSPENDED": "ask who runs the registry",
    "TENANT_IN_USE": "archive what is in production, or give --force",
    "TENANT_EXISTS": "choose another name, or `registrar tenant undelete {tenant}` if it is a deleted one",
    "QUOTA_EXCEEDED": "delete what is not needed, or ask who runs the registry for more",
    "ROLE_NOT_FOUND": "`registrar role list` shows the roles",
    "ROLE_EXISTS": "`registrar role update {role}` changes it",
    "ROLE_BUILT_IN": "`registrar role create` makes one of your own",
    "ROLE_IN_USE": "`registrar role bindings --role {role}` and `registrar token list` show who has it",
    "ROLE_BINDING_NOT_FOUND": "`registrar role bindings` shows them with their ids",
    "TOKEN_NOT_FOUND": "`registrar token list` shows them with their ids",
    "AUDIT_ALTERED": "keep what shows it, `registrar audit export FILE`, and tell who answers for the registry",
    "AUDIT_ENTRY_NOT_FOUND": "`registrar audit head` says how many entries there are",
    "POLICY_NOT_FOUND": "`registrar policy list` shows the policies",
    "POLICY_EXISTS": "`registrar policy apply` changes one; the name of a deleted policy is not given again",
    "APPROVAL_NOT_FOUND": "`registrar approval list` shows them with their ids; `registrar approval request` asks for one",
    "APPROVAL_EXISTS": "`registrar approval show {approval_id}` says where it stands",
    "APPROVAL_NOT_REQUIRED": "nobody has to approve: `registrar promote` or `registrar alias set` moves it",
    "APPROVAL_CLOSED": "`registrar approval show {approval_id}` says what became of it; `registrar approval request` asks anew",
    "APPROVAL_OUT_OF_ORDER": "come again when {awaiting} has decided",
    "FOUR_EYES": "somebody else who has the role must decide",
    "DECIDED_BEFORE": "somebody else who has the role must decide",
    "PEOPLE_ONLY": "`registrar login`, and decide as yourself",
    "COMMENT_NOT_FOUND": "`registrar comments NAME` shows them with their ids",
    "SIGNATURE_BREAKING": "give --semantic-version {suggested_semantic_version}, or keep what callers count on",
    "METADATA_INCOMPLETE": "`registrar schema show` says what versions must have",
    "DATASET_NOT_FOUND": "`registrar search 'data_digest = …'` finds versions by their data",
    "STORE_FULL": "the store has no room: tell who runs it",
}


def exit_code_of(error: RegistrarError) -> ExitCode:
    """The exit code for an error."""
    # Of all that is used up, a quota is the one that waiting does not bring back.
    if error.reason == "QUOTA_EXCEEDED":
        return ExitCode.REFUSED
    return _BY_CODE.get(error.code, ExitCode.UNEXPECTED)


def report(error: RegistrarError) -> ExitCode:
    """Tell about an error on stderr; answers the exit code."""
    lines = refusal_lines(error) if error.reason == "POLICY_NOT_MET" else _message_lines(error)
    if error.reason and error.reason != "UNREACHABLE":
        shown = " ".join(f"{key}={plain(value)}" for key, value in sorted(error.metadata.items()))
        lines.append(f"  reason: {error.reason}" + (f" ({shown})" if shown else ""))
    lines += notes_of(error)
    hints = next_steps(error) if error.reason == "POLICY_NOT_MET" else [_hint(error)]
    lines += [f"  try: {plain(hint)}" for hint in hints if hint]
    tell(*lines)
    return exit_code_of(error)


def _message_lines(error: RegistrarError) -> list[str]:
    details = [(v.field, v.description) for v in error.violations]
    details += [(f"{p.type} {p.subject}".strip(), p.description) for p in error.preconditions]
    details += [(q.subject, q.description) for q in error.quotas]
    message = error.message
    if len(details) > 1:
        # The message says them all in a row: its beginning is enough where they follow one by one.
        message = message.partition(f": {details[0][0]}")[0]
    elif all(description in message for _, description in details):
        details = []
    return [f"error: {plain(message)}", *(f"  - {plain(subject)}: {plain(text)}" for subject, text in details)]


def _hint(error: RegistrarError) -> str:
    template = _HINTS.get(error.reason, "")
    try:
        return plain(template.format_map(error.metadata))
    except KeyError:
        return template.format_map(_Placeholder())


def notes_of(failure: BaseException) -> list[str]:
    """What an interrupted operation has left, and how it goes on."""
    notes: list[str] = getattr(failure, "__notes__", [])
    return [f"  {plain(note)}" for note in notes]


class _Placeholder(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return key.upper() if key != "model" else "NAME"


def tell(*lines: str) -> None:
    """Lines on stderr, beside the results on stdout."""
    print(*lines, sep="\n", file=sys.stderr)
