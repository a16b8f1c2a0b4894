"""The options that describe a new version, shared by `push` and `register`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Concatenate, ParamSpec, get_type_hints

import typer

from registrar.cli.arguments import parse_metric, parse_pairs, parse_parameter, parse_slices
from registrar.fields import VersionFields
from registrar.reference import VersionRef
from registrar.values import Documentation, Provenance, RiskAssessment, RiskLevel

P = ParamSpec("P")

Texts = list[str] | None

_LAST = frozenset({"request_id", "quiet", "server", "tenant", "as_json"})
"""In the help, what every command has stands behind what this one is about."""


def version_fields(
    metric: Annotated[Texts, typer.Option(metavar="NAME=NUMBER", help="A metric on all evaluation data.")] = None,
    param: Annotated[
        Texts, typer.Option(metavar="NAME=VALUE", help="A training parameter; 200, 0.05 and true keep their types.")
    ] = None,
    tag: Annotated[Texts, typer.Option(metavar="NAME=TEXT", help="A tag.")] = None,
    metric_slice: Annotated[
        Texts,
        typer.Option("--slice", metavar="DIM=VALUE:METRIC=NUMBER", help="A metric on a part: region=eu:accuracy=0.91."),
    ] = None,
    description: Annotated[str, typer.Option("--description", "-d", metavar="TEXT", help="What is special.")] = "",
    semantic_version: Annotated[
        str, typer.Option(metavar="1.2.3|auto", help="Unique in the model; auto: what the registry suggests.")
    ] = "",
    flavor: Annotated[Texts, typer.Option(metavar="NAME", help="MLflow flavor; else what `MLmodel` says.")] = None,
    run_id: Annotated[str, typer.Option(metavar="ID", help="MLflow run that made it.")] = "",
    git_commit: Annotated[str, typer.Option(metavar="HASH", help="Commit of the training code.")] = "",
    git_dirty: Annotated[
        bool | None, typer.Option("--git-dirty/--git-clean", help="Whether that had uncommitted changes.")
    ] = None,
    git_repository: Annotated[str, typer.Option(metavar="URL", help="Repository of the training code.")] = "",
    ci_build: Annotated[str, typer.Option(metavar="ID", help="CI build that made it.")] = "",
    parent: Annotated[str, typer.Option(metavar="REF", help="Version that it was made from.")] = "",
    risk: Annotated[RiskLevel | None, typer.Option(help="Level that a risk assessment found.")] = None,
    risk_assessment: Annotated[str, typer.Option(metavar="ID", help="That assessment.")] = "",
    model_card: Annotated[str, typer.Option(metavar="URI", help="Model card kept elsewhere.")] = "",
    datasheet: Annotated[str, typer.Option(metavar="URI", help="Datasheet of the training data.")] = "",
    drift_monitor: Annotated[str, typer.Option(metavar="ID", help="Monitor that watches it for drift.")] = "",
    reuse: Annotated[
        bool, typer.Option("--reuse", help="Answer with the version of the same content, if there is one.")
    ] = False,
) -> VersionFields:
    """What the options say, as `Registry.register` takes it."""
    return VersionFields(
        metrics=parse_pairs(metric or (), parse_metric),
        parameters=parse_pairs(param or (), parse_parameter),
        tags=parse_pairs(tag or (), str),
        metric_slices=parse_slices(metric_slice or ()),
        description=description,
        semantic_version=semantic_version,
        flavors=flavor or (),
        provenance=Provenance(
            run_id=run_id,
            git_commit=git_commit,
            is_git_dirty=git_dirty,
            git_repository=git_repository,
            ci_build=ci_build,
            parent=VersionRef.parse(parent) if parent else None,
        ),
        risk=RiskAssessment(risk, risk_assessment),
        documentation=Documentation(model_card, datasheet),
        drift_monitor_id=drift_monitor,
        reuse_same_content=reuse,
    )


def describes_version(command: Callable[Concatenate[VersionFields, P], None]) -> Callable[P, None]:
    """Give a command, which takes VersionFields first, the options of `version_fields` behind its own.

    Typer reads options from a function's signature; written out in both commands, they would drift apart.
    """
    own = _parameters(command)[1:]
    shared = _parameters(version_fields)
    names = {parameter.name for parameter in shared}

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        described = {name: value for name, value in kwargs.items() if name in names}
        for name in described:
            del kwargs[name]
        # The names and types are those of its own signature, as typer read them there.
        command(version_fields(**described), *args, **kwargs)  # type: ignore[arg-type]

    parameters = sorted([*own, *shared], key=lambda parameter: parameter.name in _LAST)
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del run.__wrapped__
    return run


def _parameters(function: Callable[..., object]) -> list[inspect.Parameter]:
    hints = get_type_hints(function, include_extras=True)
    return [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(function).parameters.items()
    ]
