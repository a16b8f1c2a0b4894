"""What the calls of `Registry` send and give."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

import registrar
from registrar.v1.lifecycle_service_pb2 import TransitionStageRequest
from registrar.v1.model_service_pb2 import ListModelsRequest, UpdateModelRequest
from registrar.v1.model_version_service_pb2 import (
    GetModelVersionRequest,
    RegisterModelVersionRequest,
    SetAliasRequest,
    UpdateModelVersionRequest,
)
from registrar.values import Environment
from tests.unit.client.fake_state import State

RUN = "runs:/1/model"


def test_all_that_is_said_about_a_version_comes_back_as_it_was(registry: registrar.Registry) -> None:
    said = registrar.Provenance(
        run_id="r1",
        git_commit="abcdef1",
        is_git_dirty=False,
        git_repository="https://example.org/x",
        ci_build="ci/1",
        environment=Environment("image@sha256:1", "sha256:2"),
        training_data=(registrar.Dataset("d", "s3://d", "md5:1", "v2"),),
        validation_data=(registrar.Dataset("e"),),
        parent=registrar.VersionRef.parse("base/2"),
        preprocessing="scaled",
    )
    parameters: dict[str, registrar.Parameter] = {"n": 200, "lr": 0.05, "flag": True, "kind": "200", "one": 1.0}
    slices = (registrar.MetricSlice("region", "eu", {"auc": 0.9}, "test"),)
    signature = registrar.Signature(
        (registrar.TensorSpec("x", "float32", (-1, 4)),), (registrar.TensorSpec("", "int64"),)
    )
    version = registry.register(
        "a",
        run_artifact=RUN,
        description="d",
        tags={"b": "2", "a": "1"},
        metrics={"auc": 0.97},
        metric_slices=slices,
        parameters=parameters,
        signature=signature,
        flavors=["sklearn"],
        semantic_version="1.2.3",
        provenance=said,
        risk=registrar.RiskAssessment(registrar.RiskLevel.HIGH, "ra-1"),
        documentation=registrar.Documentation("card", "sheet"),
        drift_monitor_id="m",
    )
    assert version == registry.get(version)
    assert version.parameters == parameters
    assert {key: type(value) for key, value in version.parameters.items()} == {
        k: type(v) for k, v in parameters.items()
    }
    assert (version.provenance, version.metric_slices, version.signature) == (said, slices, signature)
    assert list(version.tags.items()) == [("a", "1"), ("b", "2")]
    assert (version.risk.level, version.documentation) == ("high", registrar.Documentation("card", "sheet"))
    assert version.create_time.tzinfo is datetime.UTC
    assert (str(version), str(version.ref)) == ("a/1", "default/a/1")


def test_a_number_of_more_than_64_bits_is_refused_before_anything_is_sent(
    registry: registrar.Registry, state: State, bundle: Path
) -> None:
    with pytest.raises(registrar.InvalidArgument):
        registry.push(bundle, name="a", parameters={"n": 2**63})
    assert not state.requests


def test_lists_are_iterated_over_all_pages(registry: registrar.Registry, state: State) -> None:
    for _ in range(5):
        registry.register("a", run_artifact=RUN)
    for name in ("b", "c", "ab"):
        registry.create_model(name)
    assert [v.version for v in registry.versions("a", page_size=2)] == [5, 4, 3, 2, 1]
    assert [v.version for v in registry.search(page_size=2) if v.name == "a"] == [5, 4, 3, 2, 1]
    assert [m.name for m in registry.models(page_size=3)] == ["a", "ab", "b", "c"]
    assert [m.name for m in registry.models(prefix="a", page_size=1)] == ["a", "ab"]
    assert len({r.consistency.at_least_sequence for r in state.seen(ListModelsRequest)}) == 1


def test_reads_ask_for_what_this_caller_changed(registry: registrar.Registry, state: State) -> None:
    state.sequence = 40
    registry.register("a", run_artifact=RUN)
    registry.get("a/1")
    registry.get("a/1", strong=True)
    first, second = state.seen(GetModelVersionRequest)
    assert first.consistency.at_least_sequence == registry.event_sequence == 41
    assert second.consistency.strong


def test_before_the_first_change_a_read_asks_for_nothing(
    target: str, registry: registrar.Registry, state: State
) -> None:
    registry.register("a", run_artifact=RUN)
    with registrar.connect(target) as other:
        other.get("a/1")
    assert not state.seen(GetModelVersionRequest)[0].HasField("consistency")


def test_every_change_has_a_request_id_of_its_own_unless_one_is_given(
    registry: registrar.Registry, state: State
) -> None:
    registry.register("a", run_artifact=RUN)
    registry.register("a", run_artifact=RUN)
    again = registry.register("a", run_artifact=RUN, request_id="mine")
    assert registry.register("a", run_artifact=RUN, request_id="mine") == again
    ids = [request.request_id for request in state.seen(RegisterModelVersionRequest)]
    assert len(set(ids)) == 3
    assert all(ids)


def test_only_what_is_given_is_updated(registry: registrar.Registry, state: State) -> None:
    registry.register("a", run_artifact=RUN, description="old", tags={"k": "v"})
    assert registry.update("a/1", tags={}).description == "old"
    assert registry.update_model("a", description="").description == ""
    assert list(state.seen(UpdateModelVersionRequest)[0].update_mask.paths) == ["tags"]
    assert list(state.seen(UpdateModelRequest)[0].update_mask.paths) == ["description"]


def test_an_alias_moves_only_from_where_it_is_expected(registry: registrar.Registry, state: State) -> None:
    registry.register("a", run_artifact=RUN)
    registry.register("a", run_artifact=RUN)
    registry.set_alias("a", "champion", 1, expected=0, comment="first")
    with pytest.raises(registrar.Aborted):
        registry.set_alias("a", "champion", 2, expected=0)
    registry.set_alias("a", "champion", "a/2")
    assert registry.get("a@champion").version == 2
    assert registry.delete_alias("a", "champion") == 2
    moves = [(move.from_version, move.to_version) for move in registry.alias_history("a")]
    assert moves == [(2, None), (1, 2), (None, 1)]
    assert [r.HasField("expected_version") for r in state.seen(SetAliasRequest)] == [True, True, False]


def test_a_promotion_tells_whom_it_displaced_and_a_check_changes_nothing(
    registry: registrar.Registry, state: State
) -> None:
    registry.register("a", run_artifact=RUN)
    registry.register("a", run_artifact=RUN)
    registry.promote("a/1", to=registrar.Stage.PRODUCTION, expected_holder=0)
    before = registry.event_sequence
    checked = registry.promote("a/2", to=registrar.Stage.PRODUCTION, validate_only=True)
    assert [v.version for v in checked.displaced] == [1]
    assert registry.get("a:production").version == 1
    assert (registry.event_sequence, state.seen(TransitionStageRequest)[-1].request_id) == (before, "")
    promoted = registry.promote("a/2", to=registrar.Stage.PRODUCTION)
    assert (promoted.version.stage, promoted.displaced[0].version) == ("production", 1)
    assert [move.version for move in registry.transitions("a")] == [2, 1]


def test_versions_are_compared_by_number_or_reference(registry: registrar.Registry) -> None:
    registry.register("a", run_artifact=RUN, metrics={"auc": 0.5})
    registry.register("a", run_artifact=RUN, metrics={"auc": 0.75, "f1": 0.5})
    comparison = registry.compare("a", [1, "a/2"])
    auc, f1 = comparison.metrics
    assert [(value.version, value.value, value.delta) for value in auc.values] == [(1, 0.5, 0.0), (2, 0.75, 0.25)]
    assert [value.delta for value in f1.values] == [None]
    assert (auc.goal, auc.winners, comparison.recommended_version) == ("maximize", (2,), 2)


def test_references_are_of_the_tenant_that_was_chosen(target: str, state: State) -> None:
    with registrar.connect(target, tenant="acme") as registry:
        registry.register("a", run_artifact=RUN)
        registry.get("a/1")
        registry.get("other/a/1")
    assert [request.ref.model.tenant for request in state.seen(GetModelVersionRequest)] == ["acme", "other"]


def test_the_environment_says_where_the_registry_is(target: str, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRAR_SERVER", target)
    monkeypatch.setenv("REGISTRAR_TENANT", "acme")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with registrar.connect() as registry:
        assert registry.is_serving()
        assert registry.target == target
        list(registry.models())
    assert state.seen(ListModelsRequest)[0].tenant == "acme"


def test_waiting_for_the_mirror_ends_when_it_has_the_last_change(registry: registrar.Registry, state: State) -> None:
    registry.register("a", run_artifact=RUN)
    state.mirrored_sequence = 0
    registry.wait_mirrored(timeout_seconds=20)
    with pytest.raises(registrar.DeadlineExceeded):
        registry.wait_mirrored(10**6, timeout_seconds=0.0)


def test_either_a_bundle_or_a_run_is_registered(registry: registrar.Registry) -> None:
    with pytest.raises(registrar.InvalidArgument):
        registry.register("a")
    with pytest.raises(registrar.InvalidArgument):
        registry.register("a", artifact_id="1", run_artifact=RUN)


def test_a_check_registers_nothing(registry: registrar.Registry, state: State) -> None:
    registry.check("a", run_artifact=RUN)
    assert not state.versions
    with pytest.raises(registrar.NotFound):
        registry.check("a", artifact_id="0" * 32)
