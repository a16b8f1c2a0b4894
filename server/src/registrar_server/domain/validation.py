"""Check values from outside and collect every violation, so that a caller mends all of them at once."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager

from registrar_server.domain import limits
from registrar_server.domain.errors import InvalidRequest, Violation
from registrar_server.domain.lifecycle import is_reserved_alias
from registrar_server.domain.semantic_versions import SEMANTIC_VERSION, SemanticRange
from registrar_server.domain.values import (
    ALIAS_NAME,
    MODEL_NAME,
    REQUEST_ID,
    TENANT_NAME,
    BySemanticRange,
    BySemanticVersion,
    Parameter,
)


class Checker:
    """Collects violations. Each check returns its value, good or not; `finish` raises when any was not."""

    def __init__(self) -> None:
        self._violations: list[Violation] = []

    def fail(self, field: str, description: str) -> None:
        """Add a violation."""
        self._violations.append(Violation(field, description))

    def finish(self) -> None:
        """Raise `InvalidRequest` with everything that was found."""
        if self._violations:
            raise InvalidRequest(self._violations)

    def text(self, field: str, value: str, maximum: int, *, is_required: bool = False) -> str:
        """At most `maximum` characters, no NUL (PostgreSQL refuses it)."""
        if is_required and not value:
            self.fail(field, "is required")
        if len(value) > maximum:
            self.fail(field, f"has {len(value)} characters, at most {maximum} are allowed")
        if "\x00" in value:
            self.fail(field, "must not contain NUL")
        return value

    def pattern(self, field: str, value: str, pattern: re.Pattern[str], wanted: str) -> str:
        """The whole value matches; `wanted` says in words or as a pattern what it must be."""
        if not value:
            self.fail(field, "is required")
        elif not pattern.fullmatch(value):
            self.fail(field, f"must be {wanted}")
        return value

    def model_name(self, field: str, value: str) -> str:
        """A model's name."""
        return self.pattern(field, value, MODEL_NAME, "[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

    def tenant(self, field: str, value: str) -> str:
        """A tenant's name."""
        return self.pattern(
            field, value, TENANT_NAME, "2 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit"
        )

    def alias(self, field: str, value: str) -> str:
        """An alias that may be read."""
        return self.pattern(field, value, ALIAS_NAME, "[A-Za-z][A-Za-z0-9_-]{0,63}")

    def new_alias(self, field: str, value: str) -> str:
        """An alias that may be set: names of stages, `latest` and `v` with digits belong to others."""
        if is_reserved_alias(value):
            self.fail(field, f"{value} is reserved: stages have aliases of their own, `latest` and `v1` are MLflow's")
            return value
        return self.alias(field, value)

    def request_id(self, field: str, value: str) -> str:
        """A request id; empty means none."""
        return self.pattern(field, value, REQUEST_ID, "1 to 128 printable ASCII characters") if value else value

    def semantic_version(self, field: str, value: str) -> str:
        """major.minor.patch with an optional pre-release."""
        self.text(field, value, limits.LABEL_CHARACTERS)
        return self.pattern(field, value, SEMANTIC_VERSION, "major.minor.patch, optionally with -pre.release")

    def semantic_selector(self, field: str, value: str) -> BySemanticVersion | BySemanticRange:
        """A semantic version, or a range of them."""
        if SEMANTIC_VERSION.fullmatch(value):
            return BySemanticVersion(self.semantic_version(field, value))
        try:
            return BySemanticRange(SemanticRange.parse(value))
        except ValueError as exc:
            self.fail(field, str(exc) if value else "is required")
            return BySemanticVersion(value)

    def count(self, field: str, value: Sized, maximum: int) -> None:
        """At most so many entries."""
        if len(value) > maximum:
            self.fail(field, f"has {len(value)} entries, at most {maximum} are allowed")

    def tags(self, field: str, value: Mapping[str, str]) -> dict[str, str]:
        """Tags of a model or a version."""
        self.count(field, value, limits.TAGS)
        for key, text in value.items():
            at = _entry(field, key)
            self.text(f"{at} (key)", key, limits.TAG_KEY_CHARACTERS, is_required=True)
            self.text(at, text, limits.TAG_VALUE_CHARACTERS)
            if key.startswith(("mlflow.", "registrar.")):
                self.fail(f"{at} (key)", "must not begin with `mlflow.` or `registrar.`")
        return dict(value)

    def metrics(self, field: str, value: Mapping[str, float]) -> dict[str, float]:
        """Finite values by name."""
        self.count(field, value, limits.METRICS)
        for name, number in value.items():
            at = _entry(field, name)
            self.text(f"{at} (key)", name, limits.METRIC_NAME_CHARACTERS, is_required=True)
            self.finite(at, number)
        return dict(value)

    def finite(self, field: str, value: float) -> float:
        """Neither NaN nor infinite: neither can be compared, stored as JSON, or logged to MLflow's databases."""
        if not math.isfinite(value):
            self.fail(field, "must be a finite number")
        return value

    def parameters(self, field: str, value: Mapping[str, Parameter | None]) -> dict[str, Parameter]:
        """Typed parameters; None stands for one without a value."""
        self.count(field, value, limits.METRICS)
        checked: dict[str, Parameter] = {}
        for name, parameter in value.items():
            at = _entry(field, name)
            self.text(f"{at} (key)", name, limits.METRIC_NAME_CHARACTERS, is_required=True)
            if parameter is None:
                self.fail(at, "has no value")
                continue
            if isinstance(parameter, float):
                self.finite(at, parameter)
            elif isinstance(parameter, str):
                self.text(at, parameter, limits.DESCRIPTION_CHARACTERS)
            checked[name] = parameter
        return checked

    def unique(self, field: str, values: Iterable[object]) -> None:
        """No entry twice."""
        seen: set[object] = set()
        for index, value in enumerate(values):
            if value in seen:
                self.fail(f"{field}[{index}]", "is there twice")
            seen.add(value)


@contextmanager
def checking() -> Iterator[Checker]:
    """A checker whose findings are raised when the block ends."""
    checker = Checker()
    yield checker
    checker.finish()


def _entry(field: str, key: str) -> str:
    """Path of a map's entry; a long key is cut, since it is shown to people."""
    return f"{field}[{key[:64]!r}]"
