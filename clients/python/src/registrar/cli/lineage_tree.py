"""Lineage as a tree that people read: above what it comes from, below what came from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from registrar.cli.text import plain
from registrar.lineage_types import Lineage, LineageEdgeType, LineageThing, LineageVersion
from registrar.values import Dataset, Stage

_UP = {
    LineageEdgeType.TRAINED_ON: "trained on",
    LineageEdgeType.VALIDATED_ON: "validated on",
    LineageEdgeType.PRODUCED_BY: "produced by",
    LineageEdgeType.DERIVED_FROM: "made from",
    LineageEdgeType.HOLDS: "holds",
}
_DOWN = {
    LineageEdgeType.TRAINED_ON: "trained",
    LineageEdgeType.VALIDATED_ON: "validated",
    LineageEdgeType.PRODUCED_BY: "produced",
    LineageEdgeType.DERIVED_FROM: "became",
    LineageEdgeType.HOLDS: "served as",
}
_Steps = Callable[[str], Iterable[tuple[LineageEdgeType, str]]]


def lineage_tree(found: Lineage) -> str:
    """A line a thing. What was shown before is not unfolded again."""
    lines: list[str] = []
    for start in found.start_ids:
        lines.append(_label(found.nodes[start]))
        lines += _branches(found, start, found.upstream_of, _UP, "  ", {start})
        lines += _branches(found, start, found.downstream_of, _DOWN, "  ", {start})
    if found.is_truncated:
        lines.append("There is more: begin further along, or give a smaller --depth.")
    return "\n".join(lines)


def _branches(
    found: Lineage, node: str, steps: _Steps, words: dict[LineageEdgeType, str], indent: str, shown: set[str]
) -> Iterator[str]:
    """Depth first, without calling itself: lineage may be as deep as it likes."""
    waiting = [(indent, kind, other) for kind, other in reversed(list(steps(node)))]
    while waiting:
        margin, kind, other = waiting.pop()
        is_again = other in shown
        yield f"{margin}{words[kind]} {_label(found.nodes[other])}{' …' if is_again and any(steps(other)) else ''}"
        if not is_again:
            shown.add(other)
            waiting += [(margin + "  ", *step) for step in reversed(list(steps(other)))]


def _label(thing: LineageThing) -> str:
    match thing:
        case Dataset():
            return plain(_dataset(thing))
        case LineageVersion():
            facts = [
                thing.semantic_version,
                "" if thing.stage is Stage.NONE else str(thing.stage),
                f"commit {thing.git_commit[:12]}" if thing.git_commit else "",
                "deleted" if thing.is_deleted else "",
            ]
            said = ", ".join(filter(None, facts))
            return plain(f"{thing} ({said})" if said else str(thing))
        case _:
            return plain(str(thing))


def _dataset(data: Dataset) -> str:
    name = data.name or data.uri or data.digest
    version = f" {data.version}" if data.version else ""
    others = ", ".join(text for text in (data.uri, data.digest) if text and text != name)
    return f"data {name}{version}" + (f" ({others})" if others else "")
