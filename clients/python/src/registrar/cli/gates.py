"""How failed gates look to a person: by policy, a line for each, and what to do about them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from registrar.cli.text import plain
from registrar.errors import Precondition, RegistrarError
from registrar.policy_types import FailedGate

_APPROVAL = "APPROVAL"
_PENDING = re.compile(r"approval ([0-9a-f]{32}) is PENDING")


def gates_card(gates: Iterable[FailedGate], *, indent: str = "  ") -> str:
    """The name of each policy, and under it what it demands that does not hold."""
    return "\n".join(_by_policy(((gate.policy.name, gate.description) for gate in gates), indent))


def refusal_lines(error: RegistrarError) -> list[str]:
    """A POLICY_NOT_MET for a person: what cannot be done, and every failed gate of every policy."""
    gates = [(_policy_of(gate), gate.description) for gate in error.preconditions]
    # The message says them all in a row: its beginning is enough where they follow one by one.
    what = error.message.partition(f": {gates[0][1]}")[0] if gates else error.message
    return [f"error: {plain(what)}", *_by_policy(gates, "  ")]


def next_steps(error: RegistrarError) -> list[str]:
    """What may help against a POLICY_NOT_MET."""
    said = error.metadata
    missing = [gate for gate in error.preconditions if gate.type != _APPROVAL]
    steps = []
    if missing:
        shown = ", ".join(f"`registrar policy show {name}`" for name in _names(map(_policy_of, missing)))
        steps.append(f"mend that, and come again; all that is demanded: {shown}")
    approvals = [gate.description for gate in error.preconditions if gate.type == _APPROVAL]
    pending = [found[1] for found in map(_PENDING.search, approvals) if found]
    if pending:
        steps.append(f"`registrar approval show {pending[0]}` says who must still approve")
    elif approvals:
        target = f"--alias {said.get('alias', 'ALIAS')}" if "alias" in said else f"--to {said.get('stage', 'STAGE')}"
        version = f"{said.get('model', 'NAME')}/{said.get('version', 'N')}"
        steps.append(f"`registrar approval request {version} {target}` asks those who must approve")
    return steps


def _by_policy(gates: Iterable[tuple[str, str]], indent: str) -> list[str]:
    of_policy: dict[str, list[str]] = {}
    for policy, description in gates:
        of_policy.setdefault(policy, []).append(description)
    lines = []
    for policy, descriptions in of_policy.items():
        lines.append(f"{indent}{plain(policy)}")
        lines += [f"{indent}  - {plain(description)}" for description in descriptions]
    return lines


def _policy_of(gate: Precondition) -> str:
    return gate.subject.partition("/")[0]


def _names(policies: Iterable[str]) -> Sequence[str]:
    return list(dict.fromkeys(policies))
