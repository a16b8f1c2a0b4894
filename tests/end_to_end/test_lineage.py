"""GetLineage over the wire: whose graph it is, where it begins, what it refuses; and the tree on the command line."""

from __future__ import annotations

import asyncio
import io
import json
import secrets
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

import registrar
from registrar import Dataset, LineageDirection, LineageHolder, LineageRun, LineageVersion, Provenance, VersionRef, aio
from registrar.cli import main
from registrar.v1 import lineage_service_pb2 as pb
from registrar.v1.lineage_service_pb2_grpc import LineageServiceStub
from tests.end_to_end.api import CALL_SECONDS, CODE, Api, by_number, refused, register, violated
from tests.fixtures.guarded import GuardedServer


@dataclass(frozen=True)
class Family:
    """A base and its fine-tuned child, in production and under an alias."""

    name: str
    raw: Dataset
    run: str

    @property
    def base(self) -> str:
        return f"{self.name}-base"


@pytest.fixture
def family(registry: registrar.Registry, unique_name: str, tmp_path: Path) -> Family:
    found = Family(
        unique_name, Dataset("raw", f"s3://{unique_name}/raw", f"sha256:{unique_name}"), secrets.token_hex(16)
    )
    (tmp_path / "model.pkl").write_bytes(unique_name.encode())

    def push(name: str, **fields: Any) -> registrar.ModelVersion:
        return registry.push(tmp_path / "model.pkl", name=name, progress=False, **fields)

    push(
        found.base,
        semantic_version="1.0.0",
        provenance=Provenance(git_commit="abc1234", training_data=[found.raw]),
    )
    registry.set_alias(found.base, "blessed", 1)
    parent = VersionRef.parse(f"{found.base}@blessed")
    child = push(unique_name, provenance=Provenance(parent=parent, validation_data=[found.raw]))
    push(unique_name, provenance=Provenance(parent=VersionRef.parse(f"{unique_name}/1")), metrics={"f1": 1.0})
    registry.promote(child, to=registrar.Stage.PRODUCTION)
    registry.set_alias(unique_name, "champion", 1)
    # Where the alias points later changes nothing about whom the child comes from.
    push(found.base, metrics={"f1": 0.5})
    registry.set_alias(found.base, "blessed", 2)
    return found


def names(found: registrar.Lineage) -> list[str]:
    return sorted(str(thing) for thing in found.nodes.values() if not isinstance(thing, Dataset | LineageRun))


def test_a_version_s_lineage_goes_up_to_data_and_down_to_what_serves_it(
    registry: registrar.Registry, family: Family
) -> None:
    name = family.name
    found = registry.lineage(f"{name}:production")
    assert names(found) == sorted(
        [f"{name}/1", f"{family.base}/1", f"{name}:production", f"{name}@champion", f"{name}/2"]
    )
    assert [thing for thing in found.nodes.values() if isinstance(thing, Dataset)] == [family.raw]
    (start,) = found.start_ids
    assert sorted(kind.value for kind, _ in found.upstream_of(start)) == ["derived_from", "validated_on"]
    assert sorted(kind.value for kind, _ in found.downstream_of(start)) == ["derived_from", "holds", "holds"]
    up = registry.lineage(f"{name}@champion", direction=LineageDirection.UPSTREAM, depth=1)
    assert names(up) == sorted([f"{name}/1", f"{family.base}/1"])


def test_data_leads_to_every_version_that_was_made_or_judged_with_it(
    registry: registrar.Registry, family: Family
) -> None:
    by_digest = registry.lineage(dataset_digest=family.raw.digest, depth=1)
    for found in (by_digest, registry.lineage(dataset_uri=family.raw.uri, depth=1)):
        assert names(found) == sorted([f"{family.base}/1", f"{family.name}/1"])


def test_a_run_leads_to_its_versions_and_one_that_the_registry_made_is_none(
    registry: registrar.Registry, family: Family
) -> None:
    run_id = registry.get(f"{family.name}/1").provenance.run_id
    assert run_id
    with pytest.raises(registrar.NotFound) as caught:
        registry.lineage(run_id=run_id)
    assert caught.value.reason == "RUN_NOT_FOUND"


def test_what_is_deleted_stays_in_the_graph_and_is_marked(registry: registrar.Registry, family: Family) -> None:
    registry.delete(f"{family.name}/2")
    found = registry.lineage(f"{family.base}/1", direction=LineageDirection.DOWNSTREAM)
    versions = {str(one): one.is_deleted for one in found.nodes.values() if isinstance(one, LineageVersion)}
    assert versions[f"{family.name}/2"] is True
    assert versions[f"{family.name}/1"] is False
    assert [one.stage for one in found.nodes.values() if isinstance(one, LineageHolder) and one.stage] == ["production"]


def test_a_parent_that_is_not_there_is_refused_and_nothing_is_registered(
    registry: registrar.Registry, family: Family
) -> None:
    artifact_id = registry.get(f"{family.name}/1").artifact_id
    for parent, reason in (
        (f"{family.name}/99", "VERSION_NOT_FOUND"),
        (f"{family.name}@nobody", "ALIAS_NOT_FOUND"),
        (f"{family.name}-none/1", "MODEL_NOT_FOUND"),
    ):
        provenance = Provenance(parent=VersionRef.parse(parent))
        for call in (registry.check, registry.register):
            with pytest.raises(registrar.NotFound) as caught:
                call(family.name, artifact_id=artifact_id, provenance=provenance)
            assert caught.value.reason == reason
    assert [version.version for version in registry.versions(family.name)] == [2, 1]


def test_provenance_is_searchable(registry: registrar.Registry, unique_name: str, tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(unique_name.encode())
    first = registry.push(tmp_path / "model.pkl", name=unique_name, progress=False)
    registry.push(
        tmp_path / "model.pkl",
        name=unique_name,
        progress=False,
        metrics={"f1": 1.0},
        provenance=Provenance(
            is_git_dirty=False,
            git_repository="https://git.example.com/x",
            ci_build="github-actions/124",
            environment=registrar.Environment("registry.example.com/train@sha256:1", "sha256:2"),
            training_data=[Dataset("raw", "s3://data/raw", "md5:1")],
            parent=first.ref,
        ),
        risk=registrar.RiskAssessment(registrar.RiskLevel.HIGH, "ra-2025-11-29-17"),
    )
    for text in (
        "git_dirty = false",
        'git_repository = "https://git.example.com/*"',
        'ci_build = "github-actions/*"',
        'image : "registry.example.com/train@sha256:1"',
        'lock_digest = "sha256:2"',
        'data_uri = "s3://data/*"',
        "data_name = raw",
        'data_digest = "md5:1"',
        f'parent = "{unique_name}/1"',
        "risk_level = high",
        "risk_assessment = ra-2025-11-29-17",
    ):
        found = [version.version for version in registry.search(f"name = {unique_name} AND {text}")]
        assert found == [2], text
    assert [one.version for one in registry.search(f"name = {unique_name} AND NOT git_dirty = *")] == [1]


def test_what_makes_no_sense_is_refused_field_by_field(channel: grpc.Channel, unique_name: str) -> None:
    stub = LineageServiceStub(channel)

    def ask(**fields: Any) -> Any:
        return lambda: stub.GetLineage(pb.GetLineageRequest(**fields), timeout=CALL_SECONDS)

    assert list(violated(ask())) == ["start"]
    assert set(violated(ask(run_id="x" * 257, depth=21, direction=9))) == {"run_id", "depth", "direction"}
    assert set(violated(ask(dataset_uri="a\0b", depth=-1))) == {"dataset_uri", "depth"}
    assert set(violated(ask(dataset_digest=""))) == {"dataset_digest"}
    assert set(violated(ask(version=by_number(unique_name, 1), tenant=TENANT))) == {"tenant"}
    refused(ask(version=by_number(unique_name, 1)), CODE.NOT_FOUND, "MODEL_NOT_FOUND")
    refused(ask(dataset_digest=unique_name), CODE.NOT_FOUND, "DATASET_NOT_FOUND")
    refused(ask(run_id=unique_name, tenant="nobody-here"), CODE.NOT_FOUND, "TENANT_NOT_FOUND")


TENANT = "acme-corp"


def test_asyncio_has_the_same(registry: registrar.Registry, family: Family) -> None:
    async def ask() -> registrar.Lineage:
        async with aio.connect(registry.target) as connected:
            return await connected.lineage(f"{family.name}/1")

    assert asyncio.run(ask()) == registry.lineage(f"{family.name}/1")


def test_the_command_line_draws_a_tree(registry: registrar.Registry, family: Family) -> None:
    def run(*words: str) -> str:
        out = io.StringIO()
        with redirect_stdout(out):
            assert main(["--server", registry.target, "lineage", *words]) == 0
        return out.getvalue()

    name, raw = family.name, f"data raw ({family.raw.uri}, {family.raw.digest})"
    assert run(f"{name}/1").splitlines() == [
        f"{name}/1 (production)",
        f"  made from {family.base}/1 (1.0.0, commit abc1234)",
        f"    trained on {raw}",
        f"  validated on {raw}",
        f"  served as {name}:production",
        f"  served as {name}@champion",
        f"  became {name}/2",
    ]
    assert run(f"{name}/1", "--downstream", "--depth", "1").splitlines()[1:] == [
        f"  served as {name}:production",
        f"  served as {name}@champion",
        f"  became {name}/2",
    ]
    assert run("--data", family.raw.digest).splitlines()[0] == raw
    assert run("--data", family.raw.uri).splitlines()[0] == raw
    document = json.loads(run(f"{name}/1", "--upstream", "--json"))
    assert document["is_truncated"] is False
    assert {edge["type"] for edge in document["edges"]} == {"derived_from", "trained_on", "validated_on"}


@pytest.fixture
def reader(guarded: GuardedServer, unique_name: str) -> Iterator[tuple[grpc.Channel, str]]:
    """Somebody of acme who may read models that begin so."""
    with guarded.channel(guarded.secret("acme", "reader", f"{unique_name}-open*")) as channel:
        yield channel, unique_name


def test_a_reader_of_some_models_sees_nothing_of_the_others(
    guarded: GuardedServer, reader: tuple[grpc.Channel, str]
) -> None:
    channel, name = reader
    data = [{"digest": f"sha256:{name}"}]
    with guarded.channel(guarded.secret("acme", "administrator")) as whole:
        api = Api(whole)
        for model, parent in (
            (f"{name}-open", None),
            (f"{name}-closed", f"{name}-open"),
            (f"{name}-open-too", f"{name}-closed"),
        ):
            artifact = api.upload(model, {"model.pkl": b"1"}, "acme")
            provenance: dict[str, Any] = {"training_data": data, "run_id": f"run-{name}"[:32]}
            if parent:
                provenance["parent"] = by_number(parent, 1, "acme")
            request = register(model, artifact.id, "acme", provenance=provenance)
            api.versions.RegisterModelVersion(request, timeout=CALL_SECONDS)
    stub = LineageServiceStub(channel)

    def seen(**start: Any) -> set[str]:
        reply = stub.GetLineage(pb.GetLineageRequest(**start), timeout=CALL_SECONDS)
        return {node.version.name for node in reply.nodes if node.HasField("version")}

    both = {f"{name}-open", f"{name}-open-too"}
    assert seen(version=by_number(f"{name}-open", 1, "acme")) == {f"{name}-open"}
    assert seen(dataset_digest=f"sha256:{name}", tenant="acme") == both
    assert seen(run_id=f"run-{name}"[:32], tenant="acme") == both
    closed = pb.GetLineageRequest(version=by_number(f"{name}-closed", 1, "acme"))
    refused(lambda: stub.GetLineage(closed, timeout=CALL_SECONDS), CODE.NOT_FOUND, "MODEL_NOT_FOUND")
    with guarded.channel(guarded.secret("globex", "administrator")) as strange:
        theirs = pb.GetLineageRequest(dataset_digest=f"sha256:{name}", tenant="acme")
        ask = LineageServiceStub(strange)
        refused(lambda: ask.GetLineage(theirs, timeout=CALL_SECONDS), CODE.NOT_FOUND, "TENANT_NOT_FOUND")
        own = pb.GetLineageRequest(dataset_digest=f"sha256:{name}")
        refused(lambda: ask.GetLineage(own, timeout=CALL_SECONDS), CODE.NOT_FOUND, "DATASET_NOT_FOUND")
