"""What a search asks for: a tree of typed restrictions that knows neither how it was written nor how it is answered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from registrar_server.domain.semantic_versions import SemanticRange

TEXT_CHARACTERS = 200
"""Most characters of a text that a restriction compares with."""


class Column(StrEnum):
    """What a version has exactly one of; SEMANTIC_VERSION may be absent, and then nothing compares with it."""

    NAME = "name"
    NUMBER = "version"
    STAGE = "stage"
    CREATOR = "creator"
    GIT_COMMIT = "git_commit"
    RUN_ID = "run_id"
    CREATE_TIME = "create_time"
    UPDATE_TIME = "update_time"
    SEMANTIC_VERSION = "semantic_version"


class Facet(StrEnum):
    """What a version has any number of."""

    TAG = "tags"
    METRIC = "metrics"
    SLICE = "slices"
    PARAMETER = "parameters"
    FLAVOR = "flavor"
    DATA_DIGEST = "data_digest"
    ALIAS = "alias"
    DATA_URI = "data_uri"
    DATA_NAME = "data_name"
    GIT_DIRTY = "git_dirty"
    GIT_REPOSITORY = "git_repository"
    CI_BUILD = "ci_build"
    IMAGE = "image"
    LOCK_DIGEST = "lock_digest"
    PARENT = "parent"
    RISK_LEVEL = "risk_level"
    RISK_ASSESSMENT = "risk_assessment"
    APPROVAL = "approval"


@dataclass(frozen=True, slots=True)
class Property:
    """One key of a facet: `(TAG, (key,))`, `(SLICE, (dimension, value, metric))`, `(FLAVOR, ())`."""

    facet: Facet
    path: tuple[str, ...] = ()


Field: TypeAlias = Column | Property
Value: TypeAlias = str | int | float | datetime
"""A semantic version is its key, a stage its value, a number of a property a float."""


class Operator(StrEnum):
    """How a value is compared; text by its bytes in UTF-8."""

    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    GREATER = ">"
    AT_LEAST = ">="


@dataclass(frozen=True, slots=True)
class Compared:
    """The value compares so. Of a property with several values: one of them does."""

    operator: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class Begins:
    """The text begins so."""

    text: str


@dataclass(frozen=True, slots=True)
class Ends:
    """The text ends so."""

    text: str


@dataclass(frozen=True, slots=True)
class Contains:
    """The text contains this somewhere."""

    text: str


@dataclass(frozen=True, slots=True)
class Present:
    """There is a value; a text that is empty is none, but for a tag's and a parameter's."""


@dataclass(frozen=True, slots=True)
class InRange:
    """The semantic version is in the range."""

    range: SemanticRange


Test: TypeAlias = Compared | Begins | Ends | Contains | Present | InRange


@dataclass(frozen=True, slots=True)
class Restriction:
    """A field, and what must hold of it. Where the field is absent, nothing holds."""

    field: Field
    test: Test


@dataclass(frozen=True, slots=True)
class Word:
    """One word as `domain.words` makes them; `is_prefix`: any that begins so."""

    text: str
    is_prefix: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """All of them occur in the texts of the version or its model."""

    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Every:
    """All parts hold; of no parts: always."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One part or more holds."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Filter


Filter: TypeAlias = Restriction | Words | Every | Either | Not

EVERYTHING = Every(())


@dataclass(frozen=True, slots=True)
class Order:
    """By a column or a metric; those that have none are left out. Equal ones come by registration, in the same direction.

    Without a field: by registration.
    """

    field: Field | None = None
    is_descending: bool = True


@dataclass(frozen=True, slots=True)
class Position:
    """Where a version stands in an order: its value, as the database compares it, and the sequence of its registration."""

    sequence: int
    value: str | int | float = ""


@dataclass(frozen=True, slots=True)
class Search:
    """Versions of a tenant in an order, behind a position."""

    tenant: str
    filter: Filter = EVERYTHING
    order: Order = Order()
    after: Position | None = None
    limit: int = 100


def fields_of(part: Filter) -> Iterator[Field]:
    """Every field that a filter names, as often as it does."""
    match part:
        case Every(parts) | Either(parts):
            for one in parts:
                yield from fields_of(one)
        case Not(one):
            yield from fields_of(one)
        case Restriction(field, _):
            yield field
        case Words():
            pass


def has_column(part: Filter) -> bool:
    """Whether a filter names a column."""
    return any(isinstance(field, Column) for field in fields_of(part))


def has_words(part: Filter) -> bool:
    """Whether a filter asks for words."""
    match part:
        case Every(parts) | Either(parts):
            return any(map(has_words, parts))
        case Not(one):
            return has_words(one)
        case _:
            return isinstance(part, Words)
