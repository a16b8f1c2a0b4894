"""What a run measures."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.reads.backends import BACKENDS

PARTS = ("scale", "load")


@dataclass(frozen=True)
class Plan:
    """`scale` and `load` are the parts. `name` is that of the file of results: a small run takes no whole one's place."""

    name: str
    is_small: bool
    parts: tuple[str, ...]
    backends: tuple[str, ...]
    model_counts: tuple[int, ...]
    """Of the catalogues of `scale`; `load` has the largest."""
    calls: int
    """Of each read at each size."""
    trials: int
    seconds: float
    """Of one run of the load generator."""

    @classmethod
    def of(cls, *, is_small: bool = False, parts: str = "", backends: str = "") -> Plan:
        """Names with commas between; empty: all. ValueError for a name that there is not."""
        return cls(
            name="reads-small" if is_small else "reads",
            is_small=is_small,
            parts=_chosen("part", parts, PARTS),
            backends=_chosen("backend", backends, BACKENDS),
            model_counts=(10, 30, 100) if is_small else (10, 100, 1_000),
            calls=60 if is_small else 400,
            trials=2 if is_small else 5,
            seconds=0.5 if is_small else 2.0,
        )


def _chosen(what: str, names: str, known: tuple[str, ...]) -> tuple[str, ...]:
    wanted = [name.strip() for name in names.split(",") if name.strip()] or known
    if unknown := [name for name in wanted if name not in known]:
        raise ValueError(f"there is no {what} {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(name for name in known if name in wanted)
