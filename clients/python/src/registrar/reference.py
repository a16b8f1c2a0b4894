"""References to models and versions, as people write them.

    NAME/3           version 3
    NAME/1.4.0       the version with this semantic version
    NAME@^1.4        the highest semantic version in a range (also 1.x, ~1.4.0, ">=1.2 <2"): for reading only
    NAME@champion    the version that an alias points at
    NAME:production  the version that holds a stage (staging or production)
    NAME#UID         by uid, 32 hex digits: finds a version that has no number yet

Each may be preceded by `TENANT/`. That is unambiguous because a version always ends in a selector: `a/3` is version 3
of the model `a`, `t/a/3` the same of the tenant `t`. Where a model is meant, `t/a` is the model `a` of the tenant `t`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from registrar.errors import InvalidArgument, Violation
from registrar.values import Stage

_TENANT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_SEMANTIC = re.compile(
    r"(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)(?:-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z.-]+)?"
)
_COMPARATOR = r"(?:(?:[<>]=?|[=^~]) *)?(?:[0-9]+|\*)(?:\.(?:[0-9]+|[xX*])){0,2}(?:-[0-9A-Za-z.-]+)?"
# No alias begins so. What a range means is for the server to say.
_RANGE = re.compile(rf"{_COMPARATOR}(?:(?: +- +|[ ,]+){_COMPARATOR})*")
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_UID = re.compile(r"[0-9a-f]{32}")
_STAGES = {"staging": Stage.STAGING, "production": Stage.PRODUCTION}
_FORMS = "NAME/3, NAME/1.4.0, NAME@^1.4, NAME@alias, NAME:production or NAME#uid"


@dataclass(frozen=True, slots=True)
class ModelRef:
    """Names a model. An empty tenant is the caller's."""

    name: str
    tenant: str = ""

    @classmethod
    def parse(cls, text: str) -> ModelRef:
        """Read `NAME` or `TENANT/NAME`; InvalidArgument when it is neither."""
        tenant, slash, name = text.rpartition("/")
        if slash and name.isdigit():
            raise _refused("model", text, text, "is a version, and a model is meant here: leave the number out")
        return cls(name=_checked_name(name, text), tenant=_checked_tenant(tenant, text) if slash else "")

    def __str__(self) -> str:
        return f"{self.tenant}/{self.name}" if self.tenant else self.name


@dataclass(frozen=True, slots=True)
class VersionRef:
    """Names one version of a model; exactly one of the selectors is set. `semantic_version` may be a range."""

    model: ModelRef
    version: int | None = None
    alias: str | None = None
    stage: Stage | None = None
    semantic_version: str | None = None
    uid: str | None = None

    def __post_init__(self) -> None:
        selectors = (self.version, self.alias, self.stage, self.semantic_version, self.uid)
        if sum(selector is not None for selector in selectors) != 1:
            raise InvalidArgument(
                f"a reference to a version of {self.model} needs exactly one selector", reason="INVALID_FIELD"
            )

    @classmethod
    def parse(cls, text: str) -> VersionRef:
        """Read one of the forms above; InvalidArgument when it is none of them."""
        for mark in "@:#":
            model, found, selector = text.partition(mark)
            if found:
                return _marked(_model_of(model, text), mark, selector, text)
        model, found, selector = text.rpartition("/")
        if found and _NUMBER.fullmatch(selector):
            return cls(_model_of(model, text), version=int(selector))
        if found and _SEMANTIC.fullmatch(selector):
            return cls(_model_of(model, text), semantic_version=selector)
        raise _refused("ref", text, text, f"is no reference to a version: write {_FORMS}")

    def __str__(self) -> str:
        if self.alias is not None:
            return f"{self.model}@{self.alias}"
        if self.stage is not None:
            return f"{self.model}:{self.stage}"
        if self.uid is not None:
            return f"{self.model}#{self.uid}"
        if self.semantic_version is not None:
            mark = "/" if _SEMANTIC.fullmatch(self.semantic_version) else "@"
            return f"{self.model}{mark}{self.semantic_version}"
        return f"{self.model}/{self.version}"


def _marked(model: ModelRef, mark: str, selector: str, text: str) -> VersionRef:
    if mark == "@" and _RANGE.fullmatch(selector):
        return VersionRef(model, semantic_version=selector)
    if mark == "@":
        if not _ALIAS.fullmatch(selector):
            raise _refused(
                "alias",
                selector,
                text,
                "is neither an alias (a letter, then letters, digits, `_`, `-`) nor a range of versions",
            )
        return VersionRef(model, alias=selector)
    if mark == "#":
        if not _UID.fullmatch(selector):
            raise _refused("uid", selector, text, "is no uid: 32 lower-case hex digits")
        return VersionRef(model, uid=selector)
    if selector not in _STAGES:
        raise _refused("stage", selector, text, "names no single version: staging or production does")
    return VersionRef(model, stage=_STAGES[selector])


def _model_of(text: str, whole: str) -> ModelRef:
    tenant, slash, name = text.rpartition("/")
    return ModelRef(name=_checked_name(name, whole), tenant=_checked_tenant(tenant, whole) if slash else "")


def _checked_name(name: str, text: str) -> str:
    if not _NAME.fullmatch(name):
        raise _refused(
            "model.name", name, text, "is no model name: a letter or digit, then up to 127 of those, `.`, `_`, `-`"
        )
    return name


def _checked_tenant(tenant: str, text: str) -> str:
    if not _TENANT.fullmatch(tenant):
        raise _refused("model.tenant", tenant, text, "is no tenant: 2 to 63 of a-z, 0-9 and `-`")
    return tenant


def _refused(field: str, part: str, text: str, problem: str) -> InvalidArgument:
    where = "" if part == text else f" (in {text!r})"
    return InvalidArgument(f"{part!r}{where} {problem}", reason="INVALID_FIELD", violations=[Violation(field, problem)])
