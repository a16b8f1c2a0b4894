"""How results look to a person: short, aligned, the important first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from registrar.amounts import exactly, moment, size
from registrar.cli.text import ago, columns, number, pairs, plain, point_aligned, shortened
from registrar.types import (
    AliasMove,
    ApprovalSummary,
    AsOf,
    Comparison,
    MetricComparison,
    Model,
    ModelVersion,
    ServerInfo,
    Transition,
)
from registrar.values import Dataset, MetricGoal, Stage, VersionState

_COMMENT_WIDTH = 48
_NO_MODELS = "There are no models yet. `registrar push PATH --name NAME` makes the first."
_ARROWS = {MetricGoal.MAXIMIZE: "↑", MetricGoal.MINIMIZE: "↓", None: ""}


def models_table(models: Sequence[Model]) -> str:
    """One line a model."""
    if not models:
        return _NO_MODELS
    rows = [("MODEL", "LATEST", "PRODUCTION", "STAGING", "UPDATED", "")]
    rows += [
        (
            model.name,
            _number_or_dash(model.latest_version),
            _number_or_dash(model.production_version),
            _number_or_dash(model.staging_version),
            ago(model.update_time),
            "deleted" if model.delete_time else shortened(model.description, _COMMENT_WIDTH),
        )
        for model in models
    ]
    return columns(rows, right=(1, 2, 3))


def versions_table(versions: Sequence[ModelVersion]) -> str:
    """One line a version of a model."""
    return _version_lines(versions, lambda version: str(version.version), right=(0,))


def found_table(versions: Sequence[ModelVersion], *, is_more: bool) -> str:
    """One line a version, of whichever model. `is_more`: there are others that were not asked for."""
    table = _version_lines(versions, lambda version: f"{version.name}/{version.version}")
    return table + ("\nThere are more: --limit shows them." if is_more and versions else "")


def _version_lines(
    versions: Sequence[ModelVersion], name_of: Callable[[ModelVersion], str], *, right: Sequence[int] = ()
) -> str:
    if not versions:
        return "No versions."
    rows = [("VERSION", "SEMANTIC", "STAGE", "ALIASES", "REGISTERED", "BY", "")]
    rows += [
        (
            name_of(version),
            version.semantic_version or "-",
            _stage(version),
            " ".join(f"@{alias}" for alias in version.aliases),
            ago(version.create_time),
            version.created_by,
            shortened(version.description, _COMMENT_WIDTH),
        )
        for version in versions
    ]
    return columns(rows, right=right)


def _stage(version: ModelVersion) -> str:
    if version.delete_time:
        return "deleted"
    if version.state is not VersionState.READY:
        return version.state
    return "-" if version.stage is Stage.NONE else version.stage


def version_card(version: ModelVersion) -> str:
    """All that is known about a version, a block for each kind of thing."""
    standing = "" if _stage(version) == "-" else f"  {_stage(version)}"
    aliases = "".join(f"  @{plain(alias)}" for alias in version.aliases)
    blocks = [f"{version}{standing}{aliases}"]
    if version.description:
        blocks.append(version.description.strip())
    blocks.append(columns(list(_facts(version)), indent="  "))
    if version.metrics:
        values = point_aligned([number(value) for value in version.metrics.values()])
        blocks.append("Metrics\n" + columns(list(zip(version.metrics, values, strict=True)), indent="  "))
    if version.metric_slices:
        slices = [
            (f"{s.dimension}={s.value}" + (f" ({s.dataset})" if s.dataset else ""), name, number(value))
            for s in version.metric_slices
            for name, value in s.metrics.items()
        ]
        aligned = point_aligned([value for _, _, value in slices])
        rows = [(where, name, value) for (where, name, _), value in zip(slices, aligned, strict=True)]
        blocks.append("Slices\n" + columns(rows, indent="  "))
    if version.parameters:
        parameters = [(name, _parameter(value)) for name, value in version.parameters.items()]
        blocks.append("Parameters\n" + columns(parameters, indent="  "))
    return "\n\n".join(blocks)


def _parameter(value: float | str | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _facts(version: ModelVersion) -> Iterable[tuple[str, str]]:
    origin = version.provenance
    dirty = {True: " (with uncommitted changes)", False: "", None: ""}[origin.is_git_dirty]
    risk = " ".join(filter(None, (version.risk.level, version.risk.assessment_id)))
    in_stage = f"{ago(version.stage_time)}   {moment(version.stage_time)}" if version.stage_time else ""
    facts = (
        *(_as_of(version.as_of) if version.as_of else ()),
        ("failed", version.failure),
        ("deprecated", version.deprecation_note),
        ("deleted", moment(version.delete_time) if version.delete_time else ""),
        ("registered", f"{ago(version.create_time)}   {moment(version.create_time)}   by {version.created_by}"),
        ("in stage", in_stage if version.stage is not Stage.NONE else ""),
        ("semantic", version.semantic_version),
        ("files", version.artifact_uri + ("" if version.artifact_id else "   (external, not verified)")),
        ("digest", version.manifest_digest),
        ("artifact", version.artifact_id),
        ("flavors", ", ".join(version.flavors)),
        ("run", origin.run_id),
        ("commit", f"{origin.git_commit}{dirty}" if origin.git_commit else ""),
        ("repository", origin.git_repository),
        ("build", origin.ci_build),
        ("image", origin.environment.image if origin.environment else ""),
        ("trained on", ", ".join(_dataset(d) for d in origin.training_data)),
        ("validated on", ", ".join(_dataset(d) for d in origin.validation_data)),
        ("parent", str(origin.parent or "")),
        ("risk", risk),
        ("approval", _approval(version.approval) if version.approval else ""),
        ("card", version.documentation.model_card_uri),
        ("datasheet", version.documentation.datasheet_uri),
        ("drift monitor", version.drift_monitor_id),
        ("tags", pairs(version.tags)),
    )
    return ((name, text) for name, text in facts if text)


def _as_of(as_of: AsOf) -> Iterable[tuple[str, str]]:
    """The moment that is spoken of, and who had decided what is said of it."""
    yield "as of", exactly(as_of.time)
    if move := as_of.alias_move:
        yield "alias by", _decision(move.actor, move.move_time, f"@{move.alias}", move.comment)
    if moved := as_of.transition:
        yield (
            "stage by",
            _decision(moved.actor, moved.transition_time, f"{moved.from_stage} to {moved.to_stage}", _why(moved)),
        )


def _decision(actor: str, time: datetime, what: str, why: str) -> str:
    return "   ".join(filter(None, (actor, exactly(time), what, why)))


def _approval(summary: ApprovalSummary) -> str:
    who = f"by {', '.join(summary.approved_by)}" if summary.approved_by else ""
    when = moment(summary.approval_time) if summary.approval_time else ""
    return "   ".join(filter(None, (summary.status, who, when, summary.notes)))


def _dataset(dataset: Dataset) -> str:
    return " ".join(filter(None, (dataset.name or dataset.uri, dataset.version, shortened(dataset.digest, 20))))


def comparison_card(comparison: Comparison) -> str:
    """A line a metric, a column a version, a star at the best, and the recommendation."""
    numbers = [compared.version for compared in comparison.versions]
    heads = [""]
    for index, compared in enumerate(comparison.versions):
        stage = "" if compared.stage is Stage.NONE else f" {compared.stage}"
        heads += [f"{compared.version}{stage}", *([] if index == 0 else ["Δ"])]
    rows = [tuple(heads), *(_metric_row(metric, numbers) for metric in comparison.metrics)]
    if parameters := _parameter_rows(comparison):
        rows += [("",) * len(heads), *parameters]
    table = columns(rows, right=range(1, len(heads)), gap="  ")
    as_of = f"As of {exactly(comparison.as_of_time)}\n\n" if comparison.as_of_time else ""
    return f"{as_of}{table}\n\n{plain(comparison.recommendation)}".rstrip()


def _metric_row(metric: MetricComparison, numbers: Sequence[int]) -> tuple[str, ...]:
    where = f" [{metric.slice_dimension}={metric.slice_value}]" if metric.slice_dimension else ""
    cells = [f"{metric.metric}{where} {_ARROWS[metric.goal]}"]
    values = {value.version: value for value in metric.values}
    for index, version in enumerate(numbers):
        value = values.get(version)
        star = "*" if version in metric.winners else " "
        cells.append(f"{number(value.value)}{star}" if value else "- ")
        if index:
            cells.append(f"{value.delta:+.4g}" if value and value.delta is not None else "")
    return tuple(cells)


def _parameter_rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """The parameters in which the versions differ."""
    rows = []
    for name in sorted({name for compared in comparison.versions for name in compared.parameters}):
        values = [compared.parameters.get(name) for compared in comparison.versions]
        if any(value != values[0] for value in values):
            shown = ["- " if value is None else f"{_parameter(value)} " for value in values]
            rows.append((name, shown[0], *(cell for value in shown[1:] for cell in (value, ""))))
    return rows


def _why(move: Transition) -> str:
    if move.caused_by_version is None:
        return move.comment
    cause = f"{move.kind.replace('_', ' ')}: version {move.caused_by_version}"
    return f"{cause}; {move.comment}" if move.comment else cause


def moves_table(moves: Sequence[AliasMove]) -> str:
    """One line a move."""
    if not moves:
        return "No alias has been set yet."
    rows = [("WHEN", "ALIAS", "FROM", "TO", "BY", "WHY")]
    rows += [
        (
            ago(move.move_time),
            f"@{move.alias}",
            _number_or_dash(move.from_version),
            _number_or_dash(move.to_version),
            move.actor,
            shortened(f"break-glass: {move.comment}" if move.is_break_glass else move.comment, _COMMENT_WIDTH),
        )
        for move in moves
    ]
    return columns(rows, right=(2, 3))


def server_card(target: str, info: ServerInfo) -> str:
    """What the server is and how it is."""
    mirror, caller, limits = info.mirror, info.caller, info.limits
    behind = mirror.event_sequence - mirror.mirrored_sequence
    facts = [
        ("you are", f"{caller.actor}   tenant {caller.tenant}   {', '.join(caller.roles)}"),
        ("files", info.artifact_root),
        ("bulk", info.bulk_endpoint),
        ("MLflow", "follows" if behind <= 0 else f"is {behind} changes behind, in {mirror.pending_models} models"),
        ("events", str(mirror.event_sequence)),
        ("cache", _cache(info)),
        ("bundle", f"at most {limits.bundle_files} files, in chunks of {size(limits.chunk_bytes)}"),
        ("transfers", f"at most {limits.transfer_slots} at once in a worker"),
        ("features", ", ".join(info.features)),
    ]
    rows = columns([(name, text) for name, text in facts if text], indent="  ")
    return f"Registrar {plain(info.server_version)} at {target}\n\n{rows}"


def _cache(info: ServerInfo) -> str:
    if not info.cache_ttl:
        return "off"
    follows = "does not follow changes of other processes" if info.cache.is_degraded else "follows"
    return f"{follows}, at most {info.cache_ttl.total_seconds():g} s old"


def _number_or_dash(value: int | None) -> str:
    return "-" if value is None else str(value)
