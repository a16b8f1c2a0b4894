"""Semantic versions (semver.org 2.0.0) and ranges of them, by the rules that npm made common.

A version has a key: text whose order by bytes is the order of precedence (section 11), so that a database orders versions
by an index. Between two keys lies what a range allows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

# semver.org, "Is there a suggested regular expression"; build metadata is left out, it does not order.
_IDENTIFIER = r"(?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_PRE_RELEASE = rf"{_IDENTIFIER}(?:\.{_IDENTIFIER})*"
_NUMBER = r"(?:0|[1-9][0-9]{0,8})"
SEMANTIC_VERSION = re.compile(rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_PRE_RELEASE}))?")

RANGE_CHARACTERS = 256

_PART = rf"(?:{_NUMBER}|[xX*])"
_PARTIAL = re.compile(rf"({_PART})(?:\.({_PART})(?:\.({_PART})(?:-({_PRE_RELEASE}))?)?)?")
_COMPARATOR = re.compile(r"(<=|>=|[<>=^~]|)(.+)")
_SPACE_BEHIND_OPERATOR = re.compile(r"([<>=^~]) +")
_HYPHEN = re.compile(r"(\S+) +- +(\S+)")

# One digit more than a version's numbers have: a range may end at the number after the highest.
_DIGITS = 10
CORE_CHARACTERS = 3 * _DIGITS + 2
"""Length of what `core_key` gives."""
RELEASE = "~"
"""What follows it in the key of a release."""
_LOWEST, _HIGHEST = "", "~"


class Step(StrEnum):
    """Which number rises from one version to the next."""

    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"


@dataclass(frozen=True, slots=True)
class SemanticVersion:
    """One version. `pre_release` is empty for a release."""

    major: int
    minor: int
    patch: int
    pre_release: str = ""

    @classmethod
    def parse(cls, text: str) -> SemanticVersion:
        """Read `major.minor.patch` with an optional `-pre.release`; ValueError when it is something else."""
        found = SEMANTIC_VERSION.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no semantic version")
        return cls(int(found[1]), int(found[2]), int(found[3]), found[4] or "")

    @property
    def core(self) -> tuple[int, int, int]:
        """The version without its pre-release."""
        return self.major, self.minor, self.patch

    @property
    def key(self) -> str:
        """Text whose order by bytes is the order of precedence; equal for equal versions only.

        A pre-release stands before its release: `,` is less than `~`. `,` is less than every character of an identifier
        too, so `a.b` stands before `a-b`. A number is preceded by `#` and its length, any other identifier by `@`.
        """
        core = core_key(self.core)
        if not self.pre_release:
            return core + RELEASE
        return core + "".join(map(_identifier_key, self.pre_release.split(".")))

    def next(self, step: Step) -> SemanticVersion:
        """The release that comes next. As npm's `inc`: that of a pre-release may be the one that it comes before."""
        major, minor, patch = self.core
        match step:
            case Step.MAJOR:
                is_before = self.pre_release and not minor and not patch
                return SemanticVersion(major if is_before else major + 1, 0, 0)
            case Step.MINOR:
                is_before = self.pre_release and not patch
                return SemanticVersion(major, minor if is_before else minor + 1, 0)
            case Step.PATCH:
                return SemanticVersion(major, minor, patch if self.pre_release else patch + 1)

    def may_break(self, earlier: SemanticVersion) -> bool:
        """Whether its numbers tell callers of an earlier version to expect a break: of 0.y.z the minor does."""
        kept = 2 if earlier.major == 0 else 1
        return self.core[:kept] > earlier.core[:kept]

    def __str__(self) -> str:
        core = f"{self.major}.{self.minor}.{self.patch}"
        return f"{core}-{self.pre_release}" if self.pre_release else core


@dataclass(frozen=True, slots=True)
class SemanticRange:
    """What a range allows: versions whose key is at least `low` and less than `high`.

    Pre-releases are left out, but for those of the cores (`core_key`) in `opened`.
    """

    text: str
    low: str
    high: str
    opened: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> SemanticRange:
        """Read a range; ValueError, with what is wrong in words, when it is none.

        `2.1.0`, `2.1`, `2.x`, `*`, `^2.1`, `~2.1.3`, `>=2.0 <3`, `>=2.0, <3`, `2.1.0 - 2.3`. As in npm, `^` keeps the leftmost
        number that is not zero, and a pre-release is only allowed where the range names a pre-release of the same
        major.minor.patch.
        """
        if len(text) > RANGE_CHARACTERS:
            raise ValueError(f"has {len(text)} characters, at most {RANGE_CHARACTERS} are allowed")
        comparators = _comparators(text.strip(" "))
        bounds = [_bounds(operator, partial) for operator, partial in comparators]
        opened = (core_key(partial.core) for _, partial in comparators if partial.pre_release)
        low, high = max(low for low, _ in bounds), min(high for _, high in bounds)
        return cls(text, low, high, tuple(dict.fromkeys(opened)))

    def includes(self, version: SemanticVersion) -> bool:
        """Whether the version is in the range."""
        key = version.key
        return self.low <= key < self.high and (not version.pre_release or key[:CORE_CHARACTERS] in self.opened)


def core_key(core: tuple[int, int, int]) -> str:
    """What the keys of a release and all its pre-releases begin with, and are greater than."""
    return ".".join(f"{number:0{_DIGITS}d}" for number in core)


def _identifier_key(identifier: str) -> str:
    return f",#{len(identifier):03d}{identifier}" if identifier.isdigit() else f",@{identifier}"


def _above(key: str) -> str:
    """Greater than this key and not greater than any other: a space is less than every character of a key."""
    return f"{key} "


@dataclass(frozen=True, slots=True)
class _Partial:
    """A version of which the last numbers may be left open. `core` has 0 for those."""

    core: tuple[int, int, int]
    given: int
    pre_release: str

    @property
    def first(self) -> str:
        """Key of the lowest version meant."""
        return SemanticVersion(*self.core, self.pre_release).key

    @property
    def end(self) -> str:
        """Lower bound of the keys behind the last version meant."""
        return _above(self.first) if self.given == 3 else self.behind(self.given)

    def behind(self, kept: int) -> str:
        """Lower bound of the keys of versions whose first `kept` numbers are greater."""
        if kept == 0:
            return _HIGHEST
        major, minor, patch = self.core
        return core_key([(major + 1, 0, 0), (major, minor + 1, 0), (major, minor, patch + 1)][kept - 1])


def _comparators(text: str) -> list[tuple[str, _Partial]]:
    """Operators with what they compare to, at least one; all of them have to hold."""
    hyphen = _HYPHEN.fullmatch(text)
    if hyphen:
        return [(">=", _partial(hyphen[1])), ("<=", _partial(hyphen[2]))]
    words = [word for word in _SPACE_BEHIND_OPERATOR.sub(r"\1", text.replace(",", " ")).split(" ") if word]
    if not words:
        raise _refused(text)
    return [_comparator(word) for word in words]


def _comparator(word: str) -> tuple[str, _Partial]:
    found = _COMPARATOR.fullmatch(word)
    if found is None:
        raise _refused(word)
    return found[1], _partial(found[2])


def _partial(text: str) -> _Partial:
    found = _PARTIAL.fullmatch(text)
    if found is None:
        raise _refused(text)
    parts = [part or "x" for part in found.groups()[:3]]
    given = next((place for place, part in enumerate(parts) if not part.isdigit()), 3)
    if any(part.isdigit() for part in parts[given:]) or (found[4] and given < 3):
        raise _refused(text)
    major, minor, patch = (int(part) if part.isdigit() else 0 for part in parts)
    return _Partial((major, minor, patch), given, found[4] or "")


def _bounds(operator: str, partial: _Partial) -> tuple[str, str]:
    """Keys from which and up to which an operator allows."""
    match operator:
        case ">=":
            return partial.first if partial.given else _LOWEST, _HIGHEST
        case ">":
            return partial.end, _HIGHEST
        case "<":
            return _LOWEST, partial.first if partial.given == 3 else core_key(partial.core)
        case "<=":
            return _LOWEST, partial.end
        case "^":
            kept = _kept_by_caret(partial)
        case "~":
            kept = min(partial.given, 2)
        case _:
            return partial.first, partial.end
    return partial.first, partial.behind(kept)


def _kept_by_caret(partial: _Partial) -> int:
    """How many numbers `^` keeps: up to the first that is not zero, of those that are given."""
    for place, number in enumerate(partial.core[: partial.given], start=1):
        if number:
            return place
    return partial.given


def _refused(text: str) -> ValueError:
    return ValueError(f"must be a version, or a range such as ^2.1 or >=2.0 <3; {text!r} is neither")
