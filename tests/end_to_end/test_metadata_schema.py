"""A tenant says what versions must say about themselves, and the registry keeps them to it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import grpc
import pytest

import registrar
from registrar import MetadataField, MetadataRequirement, MetadataType
from registrar.cli import main
from registrar.v1 import admin_service_pb2 as pb
from registrar.v1 import metadata_schema_pb2 as schema_pb
from tests.end_to_end.api import CALL_SECONDS, CODE, Api, refused, violated
from tests.fixtures.server import RunningServer

REQUIRED, RECOMMENDED = MetadataRequirement.REQUIRED, MetadataRequirement.RECOMMENDED
TENANT = "acme-corp"


@pytest.fixture
def theirs(server: RunningServer) -> Iterator[registrar.Registry]:
    """The SDK's client for the tenant whose schema the tests write; each about models of its own."""
    with server.connect(tenant=TENANT) as connected:
        yield connected
        connected.update_metadata_schema([])


def demand(registry: registrar.Registry, name: str, *fields: MetadataField, **options: Any) -> registrar.MetadataSchema:
    about = [
        MetadataField(**{**{slot: getattr(one, slot) for slot in one.__slots__}, "model_patterns": (f"{name}*",)})
        for one in fields
    ]
    return registry.update_metadata_schema(about, **options)


def push(registry: registrar.Registry, name: str, directory: Path, **fields: Any) -> registrar.ModelVersion:
    file = directory / "model.pkl"
    file.write_bytes(name.encode())
    return registry.push(file, name=name, progress=False, **fields)


def test_what_is_required_is_missed_all_at_once_and_nothing_is_made(
    theirs: registrar.Registry, unique_name: str, tmp_path: Path
) -> None:
    schema = demand(
        theirs,
        unique_name,
        MetadataField("tags.owner", REQUIRED, description="who answers for it"),
        MetadataField("provenance.git_commit", REQUIRED),
        MetadataField("metrics.f1", REQUIRED, min=0.5),
        MetadataField("risk.level", RECOMMENDED, allowed_values=("low", "limited")),
        MetadataField("documentation.datasheet_uri", RECOMMENDED, MetadataType.URI),
    )
    assert theirs.metadata_schema() == schema
    with pytest.raises(registrar.InvalidArgument) as caught:
        push(theirs, unique_name, tmp_path, metrics={"f1": 0.4})
    assert (caught.value.reason, caught.value.metadata["tenant"]) == ("METADATA_INCOMPLETE", TENANT)
    assert {one.field: one.description for one in caught.value.violations} == {
        "tags.owner": "is required by the metadata schema: who answers for it",
        "provenance.git_commit": "is required by the metadata schema",
        "metrics.f1": "must be at least 0.5",
    }
    assert unique_name not in {model.name for model in theirs.models()}
    told: dict[str, Any] = {
        "metrics": {"f1": 0.9},
        "tags": {"owner": "core"},
        "provenance": registrar.Provenance(git_commit="abc1234"),
    }
    version = push(theirs, unique_name, tmp_path, **told)
    assert version.advice is not None
    assert list(version.advice.missing_recommended) == ["risk.level", "documentation.datasheet_uri"]
    checked = theirs.check(unique_name, artifact_id=version.artifact_id, **told)
    assert checked.missing_recommended == version.advice.missing_recommended
    with pytest.raises(registrar.InvalidArgument, match="must be one of low, limited"):
        theirs.check(
            unique_name,
            artifact_id=version.artifact_id,
            risk=registrar.RiskAssessment(registrar.RiskLevel.HIGH),
            **told,
        )


def test_an_update_takes_nothing_away_that_is_required_and_may_leave_what_was_missing(
    theirs: registrar.Registry, unique_name: str, tmp_path: Path
) -> None:
    push(theirs, unique_name, tmp_path, tags={"owner": "core", "since": "2025-11-29"})
    demand(
        theirs,
        unique_name,
        MetadataField("tags.owner", REQUIRED),
        MetadataField("tags.since", type=MetadataType.DATE),
        MetadataField("description", REQUIRED),
    )
    ref = f"{unique_name}/1"
    with pytest.raises(registrar.InvalidArgument) as caught:
        theirs.update(ref, tags={"since": "yesterday"})
    assert [one.field for one in caught.value.violations] == ["tags.owner", "tags.since"]
    # It never had a description: that is no reason to refuse another tag.
    assert theirs.update(ref, tags={"owner": "growth"}).tags == {"owner": "growth"}
    theirs.update(ref, description="said at last")
    with pytest.raises(registrar.InvalidArgument) as caught:
        theirs.update(ref, description="")
    assert [one.field for one in caught.value.violations] == ["description"]


def test_other_models_and_other_tenants_are_not_asked(
    theirs: registrar.Registry, registry: registrar.Registry, unique_name: str, tmp_path: Path
) -> None:
    demand(theirs, unique_name, MetadataField("tags.owner", REQUIRED))
    assert push(theirs, f"other-{unique_name}", tmp_path).version == 1
    assert push(registry, unique_name, tmp_path).version == 1
    assert registry.metadata_schema().tenant == "default"


def test_each_change_is_a_revision_that_an_etag_guards_and_the_audit_tells(
    theirs: registrar.Registry, unique_name: str
) -> None:
    first = demand(theirs, unique_name, MetadataField("tags.owner", REQUIRED), comment="from now on")
    same = demand(theirs, unique_name, MetadataField("tags.owner", REQUIRED))
    assert (same.revision, same.etag) == (first.revision, first.etag)
    second = demand(theirs, unique_name, MetadataField("tags.team", REQUIRED), etag=first.etag)
    assert second.revision == first.revision + 1
    with pytest.raises(registrar.Aborted) as caught:
        demand(theirs, unique_name, MetadataField("tags.owner", REQUIRED), etag=first.etag)
    assert caught.value.reason == "ETAG_MISMATCH"
    told = next(iter(theirs.audit_events(action="metadata_schema.updated")))
    assert json.loads(told.after)["revision"] == second.revision


def test_of_many_changes_at_once_that_read_the_same_one_is_made(theirs: registrar.Registry, unique_name: str) -> None:
    etag = demand(theirs, unique_name, MetadataField("tags.owner", REQUIRED)).etag

    def attempt(number: int) -> bool:
        try:
            demand(theirs, unique_name, MetadataField(f"tags.t{number}", REQUIRED), etag=etag)
        except registrar.Aborted:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(attempt, range(4))) == 1


def test_a_repetition_answers_as_the_first_did(theirs: registrar.Registry, unique_name: str) -> None:
    first, again = (
        demand(theirs, unique_name, MetadataField("tags.owner", REQUIRED), request_id=unique_name) for _ in range(2)
    )
    assert first == again
    with pytest.raises(registrar.InvalidArgument) as caught:
        demand(theirs, unique_name, MetadataField("tags.other", REQUIRED), request_id=unique_name)
    assert caught.value.reason == "REQUEST_ID_REUSED"


def send(api: Api, fields: Sequence[schema_pb.MetadataField], tenant: str = TENANT) -> None:
    request = pb.UpdateMetadataSchemaRequest(tenant=tenant, fields=fields)
    api.admin.UpdateMetadataSchema(request, timeout=CALL_SECONDS)


def test_a_schema_that_makes_no_sense_is_refused_field_by_field(channel: grpc.Channel) -> None:
    field = schema_pb.MetadataField
    found = violated(
        lambda: send(
            Api(channel),
            [
                field(path="owner"),
                field(),
                field(
                    path="signature", type=schema_pb.METADATA_TYPE_DATE, allowed_values=["x", "x"], max_characters=-1
                ),
                field(path="description", min=1.0),
                field(path="metrics.f1", min=2.0, max=1.0),
                field(path="metrics.f2", min=float("nan")),
                field(path="tags.t", model_patterns=["*a*"], description="x" * 257),
                field(path="tags.u"),
                field(path="tags.u"),
                field(path="tags." + "x" * 300, allowed_values=[""]),
            ],
        )
    )
    assert set(found) == {
        "fields[0].path",
        "fields[1].path",
        "fields[2].type",
        "fields[2].allowed_values",
        "fields[2].allowed_values[1]",
        "fields[2].max_characters",
        "fields[3].min",
        "fields[4].max",
        "fields[5].min",
        "fields[6].model_patterns[0]",
        "fields[6].description",
        "fields[8]",
        "fields[9].path",
        "fields[9].allowed_values[0]",
    }


def test_a_schema_that_is_too_large_or_of_nobody_is_refused(channel: grpc.Channel) -> None:
    api = Api(channel)
    many = [schema_pb.MetadataField(path=f"tags.t{number}") for number in range(201)]
    assert "fields" in violated(lambda: send(api, many))
    refused(lambda: send(api, [], "nobody-here"), CODE.NOT_FOUND, "TENANT_NOT_FOUND")
    absent = pb.GetMetadataSchemaRequest(tenant="nobody-here")
    refused(lambda: api.admin.GetMetadataSchema(absent, timeout=CALL_SECONDS), CODE.NOT_FOUND, "TENANT_NOT_FOUND")


SCHEMA = """
fields:
  - path: tags.owner
    requirement: required
    description: who answers for it
  - {path: provenance.is_git_dirty, allowed_values: [false], model_patterns: [NAME]}
  - {path: metrics.f1, requirement: recommended, min: 0.5}
"""


def run(server: RunningServer, *words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["--server", server.address, "--tenant", TENANT, *words])
    return code, out.getvalue(), err.getvalue()


def test_the_command_line_applies_a_file_shows_it_and_hints_at_what_is_recommended(
    theirs: registrar.Registry, server: RunningServer, unique_name: str, tmp_path: Path
) -> None:
    file = tmp_path / "schema.yaml"
    file.write_text(SCHEMA.replace("NAME", unique_name), encoding="utf-8")
    code, out, _ = run(server, "schema", "apply", str(file))
    assert code == 0
    assert "tags.owner" in out
    assert "who answers for it" in out
    code, out, _ = run(server, "schema", "show", "--json")
    shown = tmp_path / "shown.json"
    shown.write_text(out, encoding="utf-8")
    revision = json.loads(out)["revision"]
    assert json.loads(run(server, "schema", "apply", str(shown), "--json")[1])["revision"] == revision
    (tmp_path / "model.pkl").write_bytes(b"1")
    words = ("push", str(tmp_path / "model.pkl"), "-n", unique_name, "-q")
    code, _, err = run(server, *words, "--git-dirty")
    assert code != 0
    assert "  - tags.owner: is required by the metadata schema: who answers for it" in err
    assert "  - provenance.is_git_dirty: must be one of false" in err
    code, out, err = run(server, *words, "--tag", "owner=core")
    assert (code, out, err) == (0, f"{unique_name}/1\n", "recommended and missing: metrics.f1\n")


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ('{"fields": [{"path": "tags.a", "pattern": "x"}]}', "fields[0]: 'pattern' is not known"),
        ('{"field": []}', "'field' is not known"),
        ('{"fields": [{"path": "tags.a", "requirement": "must"}]}', "fields[0]: 'must' is not a valid"),
        ('{"fields": [{"path": "tags.a", "min": "1"}]}', "fields[0]: `min` must be a number"),
        ('{"fields": {}}', "`fields` must be a list"),
    ],
)
def test_a_file_that_is_no_schema_says_where(
    theirs: registrar.Registry, server: RunningServer, tmp_path: Path, document: str, problem: str
) -> None:
    file = tmp_path / "schema.json"
    file.write_text(document, encoding="utf-8")
    code, _, err = run(server, "schema", "apply", str(file))
    assert code != 0
    assert problem in err
