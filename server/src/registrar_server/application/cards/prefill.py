"""The first revision of a card: what the registry knows of a version, and what its bundle says already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import PurePosixPath

import structlog

from registrar_server.application.cards.document import NoCard, card_digest, dump_card, normal
from registrar_server.application.cards.layout import PLACES, Kind, part_of
from registrar_server.application.cards.texts import parse
from registrar_server.application.ports.bundle_store import BundleStore
from registrar_server.application.ports.database import Database
from registrar_server.domain.bundles import BundleFile
from registrar_server.domain.cards import (
    CARD_BYTES,
    REGISTRY_AUTHOR,
    CardData,
    CardDataset,
    CardFormat,
    CardMetrics,
    CardRevision,
    CardState,
    EthicalConsiderations,
    GroupMetrics,
    HuggingFaceMetadata,
    ModelCard,
    ModelDetails,
    QuantitativeAnalyses,
)
from registrar_server.domain.errors import RegistrarError
from registrar_server.domain.versions import Dataset, Facts, ModelVersion, Provenance, TensorSpec

_log = structlog.get_logger()

_FORMATS: Mapping[str, CardFormat] = {
    ".md": CardFormat.HUGGING_FACE_MARKDOWN,
    ".yaml": CardFormat.YAML,
    ".yml": CardFormat.YAML,
    # What is JSON is YAML.
    ".json": CardFormat.YAML,
}
_GENERIC_FLAVOR = "python_function"


class CardPrefill:
    """Writes first revisions."""

    def __init__(self, database: Database, store: BundleStore) -> None:
        self._database = database
        self._store = store

    def read_own(self, version: ModelVersion) -> ModelCard | None:
        """The card that the version's bundle brings along; None where it has none that can be read.

        The store is asked only where the bundle has such a file. Never raises for what the file says, or because the
        store does not answer.
        """
        if not version.artifact.is_bundle:
            return None
        with self._database.reading() as transaction:
            bundle = transaction.bundles.get(version.artifact.bundle_uid)
            files = transaction.cards.files(version.artifact.bundle_uid)
        if bundle is None:
            return None
        for file in sorted(filter(_is_readable, files), key=_preference):
            try:
                return parse(self._read(f"{bundle.prefix}/{file.path}"), _FORMATS[_suffix(file)])
            except (RegistrarError, UnicodeDecodeError) as exc:
                reason = exc.reason.value if isinstance(exc, RegistrarError) else "no text"
                _log.info("card.not_taken", version_uid=version.uid, path=file.path, reason=reason)
        return None

    def _read(self, key: str) -> str:
        with self._store.open_reader(key) as reader:
            return b"".join(reader).decode()


def first_revision(version: ModelVersion, number: int, own: ModelCard | None, time: datetime) -> CardRevision:
    """Revision 1 of a version that gets this number, not yet with the sequence of its event."""
    facts = known_card(version, number)
    card, content = _fitting(facts if own is None else _filled(own, facts))
    return CardRevision(
        version_uid=version.uid,
        state=CardState(1, card_digest(content, 1), card.sections, REGISTRY_AUTHOR, is_prefilled=True, time=time),
        content=content,
        sequence=0,
    )


def known_card(version: ModelVersion, number: int) -> ModelCard:
    """What the registry knows of a version, as a card."""
    facts, notes, provenance = version.facts, version.notes, version.facts.provenance
    flavors = [flavor for flavor in facts.flavors if flavor != _GENERIC_FLAVOR] or list(facts.flavors)
    signature = facts.signature
    return ModelCard(
        title=version.model.name,
        model_details=ModelDetails(
            description=notes.description,
            name=version.model.name,
            version=facts.semantic_version or str(number),
            framework=", ".join(flavors),
            registry_uri=f"models:/{version.model.name}/{number}",
            source=_source(provenance, version.run_id),
            environment=", ".join(filter(None, (provenance.image, provenance.lock_digest))),
            parameters=tuple(f"{name}: {value}" for name, value in sorted(facts.parameters.items())),
            inputs=tuple(map(_tensor, signature.inputs)) if signature else (),
            outputs=tuple(map(_tensor, signature.outputs)) if signature else (),
            resources=(notes.model_card_uri,) if notes.model_card_uri else (),
        ),
        metrics=CardMetrics(overall=facts.metrics),
        evaluation_data=CardData(datasets=_datasets(provenance.validation_data)),
        training_data=CardData(
            preprocessing=provenance.preprocessing,
            datasheet_uri=notes.datasheet_uri,
            datasets=_datasets(provenance.training_data),
        ),
        quantitative_analyses=QuantitativeAnalyses(per_group=tuple(_groups(facts))),
        ethical_considerations=EthicalConsiderations(risk_assessment=_risk(facts)),
        hugging_face=HuggingFaceMetadata(library_name=flavors[0] if flavors else ""),
    )


def _filled(own: ModelCard, facts: ModelCard) -> ModelCard:
    """A card with what the registry knows where it says nothing; metrics by their names."""
    parts: dict[str, dict[str, object]] = {}
    for place in PLACES:
        said, known = (getattr(part_of(card, place.part), place.field.name) for card in (own, facts))
        is_numbers = place.field.kind is Kind.NUMBERS
        parts.setdefault(place.part, {})[place.field.name] = {**known, **said} if is_numbers else said or known
    groups = own.quantitative_analyses.per_group or facts.quantitative_analyses.per_group
    parts["quantitative_analyses"]["per_group"] = groups
    names = [name for name in parts if name]
    changed = {name: type(part_of(own, name))(**parts[name]) for name in names}
    return replace(own, **changed, title=own.title or facts.title)


def _fitting(card: ModelCard) -> tuple[ModelCard, str]:
    """A card in its normal form, and its content; without its longest lists where it would be too large."""
    details, short = card.model_details, replace(card, quantitative_analyses=QuantitativeAnalyses())
    details = replace(details, parameters=(), inputs=(), outputs=())
    shorter = replace(short, model_details=details, metrics=CardMetrics())
    least = ModelCard(title=card.title, model_details=replace(details, description=""))
    for candidate in (card, short, shorter):
        try:
            made = normal(candidate)
        except NoCard:
            continue
        content = dump_card(made)
        if len(content.encode()) <= CARD_BYTES:
            return made, content
    made = normal(least)
    return made, dump_card(made)


def _source(provenance: Provenance, run_id: str) -> str:
    commit = provenance.git_commit + (" (with local changes)" if provenance.is_git_dirty else "")
    named = (
        ("repository", provenance.git_repository),
        ("commit", commit if provenance.git_commit else ""),
        ("build", provenance.ci_build),
        ("run", run_id or provenance.run_id),
    )
    return ", ".join(f"{name} {value}" for name, value in named if value)


def _tensor(tensor: TensorSpec) -> str:
    sizes = "".join(f"[{size if size >= 0 else ''}]" for size in tensor.shape)
    text = f"{tensor.name}: {tensor.dtype}{sizes}" if tensor.name else f"{tensor.dtype}{sizes}"
    return f"{text} (optional)" if tensor.is_optional else text


def _datasets(data: Sequence[Dataset]) -> tuple[CardDataset, ...]:
    return tuple(CardDataset(one.name, one.uri, one.digest, one.version) for one in data)


def _groups(facts: Facts) -> Iterator[GroupMetrics]:
    for part in facts.metric_slices:
        yield GroupMetrics(part.dimension, part.value, part.dataset, part.metrics)


def _risk(facts: Facts) -> str:
    level = facts.risk_level.value if facts.risk_level else ""
    return ", ".join(filter(None, (level, facts.risk_assessment_id)))


def _suffix(file: BundleFile) -> str:
    return PurePosixPath(file.path).suffix.lower()


def _is_readable(file: BundleFile) -> bool:
    return file.size_bytes <= CARD_BYTES and _suffix(file) in _FORMATS


def _preference(file: BundleFile) -> tuple[int, bool, str]:
    """Files at the top come first, and what is called a model card before a README."""
    path = PurePosixPath(file.path)
    return len(path.parts), path.name.lower() == "readme.md", file.path
