"""What is indexed about a version: terms by field, and words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from registrar_server.domain.search import TEXT_CHARACTERS, Facet, Property
from registrar_server.domain.values import Parameter
from registrar_server.domain.versions import Dataset, Facts, Notes
from registrar_server.domain.words import distinct_words

WORDS_OF_A_VERSION = 2_000
"""PostgreSQL takes 1 MB of them, and a version has its model's too."""

# One more than a restriction may have: whether a text is longer than that still shows in what is indexed of it.
INDEXED_CHARACTERS = TEXT_CHARACTERS + 1
_FIELD_DEPTH = 2
_FIELD_CHARACTERS = 120
TAGS = f"{Facet.TAG.value}."


@dataclass(frozen=True, slots=True)
class Term:
    """One value of one field: either a text or a number. `place` tells apart the values that a field has several of."""

    field: str
    text: str | None = None
    number: float | None = None
    place: int = 0

    @property
    def columns(self) -> Mapping[str, str | float | int | None]:
        """As the table has it, but for sequence and field."""
        is_long = self.text is not None and len(self.text) > INDEXED_CHARACTERS
        return {
            "place": self.place,
            "text": None if self.text is None else self.text[:INDEXED_CHARACTERS],
            "whole": self.text if is_long else None,
            "number": self.number,
        }


def field_name(field: Property) -> str:
    """Name of a property in the index; that of a long one is a digest, since an index's entries are limited."""
    match field.path:
        case ():
            return field.facet.value
        case (key,):
            name = f"{field.facet.value}.{key}"
        case path:
            name = f"{field.facet.value}.{json.dumps(path, ensure_ascii=False)}"
    if len(name) <= _FIELD_CHARACTERS:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()
    return f"{name[: _FIELD_CHARACTERS - len(digest) - 1]}#{digest}"


def fact_terms(facts: Facts) -> list[Term]:
    """Terms of what can never change."""
    return [
        *(Term(field_name(Property(Facet.METRIC, (name,))), number=value) for name, value in facts.metrics.items()),
        *_slice_terms(facts),
        *(_parameter_term(name, value) for name, value in facts.parameters.items()),
        *_listed(Facet.FLAVOR, facts.flavors),
        *_listed(Facet.DATA_DIGEST, [data.digest for data in _data(facts) if data.digest]),
        *provenance_terms(facts),
    ]


PROVENANCE_FIELDS = (
    Facet.DATA_URI.value,
    Facet.DATA_NAME.value,
    Facet.GIT_DIRTY.value,
    Facet.GIT_REPOSITORY.value,
    Facet.CI_BUILD.value,
    Facet.IMAGE.value,
    Facet.LOCK_DIGEST.value,
    Facet.RISK_LEVEL.value,
    Facet.RISK_ASSESSMENT.value,
    Facet.PARENT.value,
)
"""Fields of `provenance_terms` and `parent_term`."""


def provenance_terms(facts: Facts) -> list[Term]:
    """Terms of where a version comes from, and of its risk; what is empty is none."""
    provenance = facts.provenance
    is_dirty = provenance.is_git_dirty
    single = {
        Facet.GIT_DIRTY: "" if is_dirty is None else str(is_dirty).lower(),
        Facet.GIT_REPOSITORY: provenance.git_repository,
        Facet.CI_BUILD: provenance.ci_build,
        Facet.IMAGE: provenance.image,
        Facet.LOCK_DIGEST: provenance.lock_digest,
        Facet.RISK_LEVEL: facts.risk_level.value if facts.risk_level else "",
        Facet.RISK_ASSESSMENT: facts.risk_assessment_id,
    }
    return [
        *_listed(Facet.DATA_URI, [data.uri for data in _data(facts) if data.uri]),
        *_listed(Facet.DATA_NAME, [data.name for data in _data(facts) if data.name]),
        *(term for facet, value in single.items() if value for term in _listed(facet, [value])),
    ]


def parent_term(name: str, number: int) -> list[Term]:
    """The term of a parent, as people write it: `churn/3`. None of one that has no number."""
    return _listed(Facet.PARENT, [f"{name}/{number}"] if number else [])


def tag_terms(tags: Mapping[str, str]) -> list[Term]:
    """Terms of the tags."""
    return [Term(field_name(Property(Facet.TAG, (key,))), text=value) for key, value in tags.items()]


def version_words(name: str, notes: Notes, card: Mapping[str, object] | None = None) -> list[str]:
    """The words of a version, with those of its card as a JSON document."""
    texts = [name, notes.description, notes.deprecation_note, notes.model_card_uri, notes.datasheet_uri]
    said = [*texts, *_tag_texts(notes.tags), *_card_texts(card or {})]
    return distinct_words(said, limit=WORDS_OF_A_VERSION)


def card_words(card: Mapping[str, object]) -> list[str]:
    """The words of a card, as a JSON document."""
    return distinct_words(_card_texts(card), limit=WORDS_OF_A_VERSION)


def model_words(description: str, tags: Mapping[str, str]) -> list[str]:
    """The words that a version has from its model."""
    return distinct_words([description, *_tag_texts(tags)], limit=WORDS_OF_A_VERSION)


def _slice_terms(facts: Facts) -> Iterator[Term]:
    """A slice of several data sets has a metric several times."""
    seen: dict[str, list[float]] = {}
    for part in facts.metric_slices:
        for metric, value in part.metrics.items():
            name = field_name(Property(Facet.SLICE, (part.dimension, part.value, metric)))
            values = seen.setdefault(name, [])
            if value not in values:
                values.append(value)
                yield Term(name, number=value, place=len(values) - 1)


def _parameter_term(name: str, value: Parameter) -> Term:
    field = field_name(Property(Facet.PARAMETER, (name,)))
    if isinstance(value, bool):
        return Term(field, text=str(value).lower())
    return Term(field, text=value) if isinstance(value, str) else Term(field, number=float(value))


def _listed(facet: Facet, values: Sequence[str]) -> list[Term]:
    name = field_name(Property(facet))
    return [Term(name, text=value, place=place) for place, value in enumerate(dict.fromkeys(values))]


def _data(facts: Facts) -> Sequence[Dataset]:
    return (*facts.provenance.training_data, *facts.provenance.validation_data)


def _tag_texts(tags: Mapping[str, str]) -> Iterator[str]:
    for key, value in tags.items():
        yield key
        yield value


def _card_texts(value: object) -> Iterator[str]:
    """Every text of a JSON document, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _card_texts(one)
    elif isinstance(value, Sequence):
        for one in value:
            yield from _card_texts(one)
