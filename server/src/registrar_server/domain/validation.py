"""Check values from outside and collect every violation, so that a caller mends all of them at once."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager

from registrar_server.domain import limits
from registrar_server.domain.access import (
    ALIAS_PATTERN,
    EVERYWHERE,
    MEMBER,
    MODEL_PATTERN,
    ROLE_NAME,
    SERVICE_NAME,
    Grant,
    NamePattern,
    Right,
)
from registrar_server.domain.errors import InvalidRequest, Violation
from registrar_server.domain.lifecycle import is_reserved_alias
from registrar_server.domain.semantic_versions import SEMANTIC_VERSION, SemanticRange
from registrar_server.domain.tenants import Quotas
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

    def tenant_or_all(self, field: str, value: str) -> str:
        """A tenant's name, or `*` for all."""
        return value if value == EVERYWHERE else self.tenant(field, value)

    def role_name(self, field: str, value: str) -> str:
        """A role's name."""
        return self.pattern(field, value, ROLE_NAME, "[a-z][a-z0-9-]{0,62}")

    def service_name(self, field: str, value: str) -> str:
        """A service's name."""
        return self.pattern(field, value, SERVICE_NAME, "[a-z0-9][a-z0-9._-]{0,62}")

    def member(self, field: str, value: str) -> str:
        """Who is bound to a role."""
        return self.pattern(
            field, value, MEMBER, "user:NAME, group:NAME or certificate:NAME, of at most 256 characters in all"
        )

    def user(self, field: str, value: str) -> str:
        """A member that is a user."""
        if value and not value.startswith("user:"):
            self.fail(field, "must be user:NAME")
            return value
        return self.member(field, value)

    def model_pattern(self, field: str, value: str) -> NamePattern:
        """Which models; empty: all."""
        text = self.pattern(field, value or "*", MODEL_PATTERN, "a model's name, or the beginning of one with * behind")
        return NamePattern(text)

    def grants(self, field: str, grants: Sequence[Grant]) -> tuple[Grant, ...]:
        """What a role allows: something, and each limit with the right that it is for."""
        if not grants:
            self.fail(field, "is required")
        self.count(field, grants, limits.GRANTS)
        for index, grant in enumerate(grants):
            at = f"{field}[{index}]"
            self._limit(f"{at}.stages", grant.stages, grant.right, Right.PROMOTE)
            self._limit(f"{at}.alias_patterns", grant.alias_patterns, grant.right, Right.MOVE_ALIAS)
            self._limit(f"{at}.approver_roles", grant.approver_roles, grant.right, Right.APPROVE)
            for place, pattern in enumerate(grant.alias_patterns):
                wanted = "an alias, or the beginning of one with * behind"
                self.pattern(f"{at}.alias_patterns[{place}]", pattern.text, ALIAS_PATTERN, wanted)
            for place, role in enumerate(grant.approver_roles):
                self.role_name(f"{at}.approver_roles[{place}]", role)
        return tuple(grants)

    def quotas(self, field: str, quotas: Quotas) -> Quotas:
        """What a tenant may hold."""
        for name in ("models", "versions", "bytes", "concurrent_transfers"):
            value: int | None = getattr(quotas, name)
            if value is not None and not 0 <= value < 2**63:
                self.fail(f"{field}.{name}", "must be from 0 to 9223372036854775807")
        return quotas

    def token_seconds(self, field: str, seconds: float) -> float:
        """How long a token holds."""
        if not limits.TOKEN_SECONDS_MINIMUM <= seconds <= limits.TOKEN_SECONDS_MAXIMUM:
            self.fail(field, "must be from 1 minute to 366 days")
        return seconds

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

    def _limit(self, field: str, limit: Sequence[object], right: Right, meant: Right) -> None:
        if limit and right is not meant:
            self.fail(field, f"is for the right to {meant.value.replace('_', ' ')} only")
        self.count(field, limit, limits.GRANTS)
        self.unique(field, limit)


@contextmanager
def checking() -> Iterator[Checker]:
    """A checker whose findings are raised when the block ends."""
    checker = Checker()
    yield checker
    checker.finish()


def _entry(field: str, key: str) -> str:
    """Path of a map's entry; a long key is cut, since it is shown to people."""
    return f"{field}[{key[:64]!r}]"
