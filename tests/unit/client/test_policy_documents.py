"""Policies as files say them: what is read, what is refused and where, and that nothing is lost either way."""

from __future__ import annotations

import io
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from registrar import (
    ApprovalRule,
    ApproverRequirement,
    CardRule,
    CardSection,
    CheckRule,
    InvalidArgument,
    MetricGate,
    Policy,
    PolicyRules,
    PolicyScope,
    ProvenanceField,
    RiskLevel,
    SignatureRule,
    SliceScope,
    SliceSelector,
    Stage,
)
from registrar.cli.document_files import LARGEST_BYTES, is_document, read_document
from registrar.cli.documents import to_json
from registrar.v1.policy_pb2 import Policy as PolicyMessage

FULL = Policy(
    name="production-gate",
    description="What has to hold before a churn model serves customers.",
    tenant="acme",
    scope=PolicyScope(["churn-*"], [Stage.PRODUCTION], ["champion"], [RiskLevel.HIGH, None], includes_rollbacks=True),
    rules=PolicyRules(
        approval=ApprovalRule(
            (ApproverRequirement("ml-lead", 2), ApproverRequirement("risk-officer")),
            is_ordered=True,
            requires_four_eyes=True,
            valid_for=timedelta(days=30),
            people_only=True,
        ),
        metric_gates=(
            MetricGate("f1", min=0.85, max_relative_regression=0.01, slices=SliceScope.EVERY, max_slice_gap=0.1),
            MetricGate("latency", max=20.0, slices=SliceScope.NAMED, named_slices=(SliceSelector("region", "eu"),)),
        ),
        required_files=("MLmodel", "*.safetensors"),
        card=CardRule((CardSection.INTENDED_USE, CardSection.CAVEATS_AND_RECOMMENDATIONS), timedelta(days=90), True),
        required_provenance=(ProvenanceField.CLEAN_GIT_COMMIT, ProvenanceField.TRAINING_DATA),
        signature=SignatureRule(is_required=True, must_be_compatible=True),
        requires_risk_assessment=True,
        from_stages=(Stage.STAGING,),
        max_holders=2,
        checks=(CheckRule("pickle-scan"), CheckRule("openssf-signature", only_if_reported=True)),
    ),
)

durations = st.none() | st.integers(0, 10**8).map(lambda seconds: timedelta(seconds=seconds))
numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
policies = st.builds(
    Policy,
    name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    description=texts,
    scope=st.builds(
        PolicyScope,
        model_patterns=st.lists(texts, max_size=2).map(tuple),
        target_stages=st.lists(st.sampled_from(Stage), max_size=2).map(tuple),
        alias_patterns=st.lists(texts, max_size=2).map(tuple),
        risk_levels=st.lists(st.sampled_from([*RiskLevel, None]), max_size=2).map(tuple),
        includes_rollbacks=st.booleans(),
    ),
    rules=st.builds(
        PolicyRules,
        approval=st.none()
        | st.builds(
            ApprovalRule,
            approvers=st.lists(st.builds(ApproverRequirement, texts, st.integers(1, 20)), max_size=2).map(tuple),
            is_ordered=st.booleans(),
            valid_for=durations,
            is_automatic=st.booleans(),
        ),
        metric_gates=st.lists(
            st.builds(
                MetricGate,
                texts,
                min=numbers,
                max=numbers,
                max_regression=numbers,
                slices=st.sampled_from(SliceScope),
                named_slices=st.lists(st.builds(SliceSelector, texts, texts, texts), max_size=2).map(tuple),
                max_slice_gap=numbers,
            ),
            max_size=2,
        ).map(tuple),
        card=st.none()
        | st.builds(CardRule, st.lists(st.sampled_from(CardSection), max_size=2).map(tuple), durations, st.booleans()),
        required_provenance=st.lists(st.sampled_from(ProvenanceField), max_size=2).map(tuple),
        signature=st.none() | st.builds(SignatureRule, st.booleans(), st.booleans()),
        from_stages=st.lists(st.sampled_from(Stage), max_size=2).map(tuple),
        max_holders=st.integers(0, 100),
        checks=st.lists(st.builds(CheckRule, texts, st.booleans()), max_size=2).map(tuple),
    ),
)


def minimal(**rules: object) -> dict[str, Any]:
    return {"name": "gate", "scope": {"target_stages": ["production"]}, "rules": rules}


def violations_of(document: Any) -> dict[str, str]:
    with pytest.raises(InvalidArgument) as caught:
        Policy.from_document(document)
    return {violation.field: violation.description for violation in caught.value.violations}


@settings(max_examples=40, deadline=None)
@given(policies)
def test_nothing_is_lost_on_the_way_to_a_document_and_back(policy: Policy) -> None:
    assert Policy.from_document(json.loads(json.dumps(policy.to_document()))) == policy


@settings(max_examples=40, deadline=None)
@given(policies)
def test_what_the_command_line_prints_can_be_given_back(policy: Policy) -> None:
    assert Policy.from_document(json.loads(json.dumps(to_json(policy)))) == policy


def test_a_document_is_protobufs_json_with_the_contracts_names() -> None:
    document = FULL.to_document()
    message = json_format.ParseDict(document, PolicyMessage())
    assert (message.rules.card.max_age.seconds, message.rules.metric_gates[1].named_slices[0].value) == (
        90 * 86_400,
        "eu",
    )
    assert document["scope"] == {
        "model_patterns": ["churn-*"],
        "target_stages": ["STAGE_PRODUCTION"],
        "alias_patterns": ["champion"],
        "risk_levels": ["RISK_LEVEL_HIGH", "RISK_LEVEL_UNSPECIFIED"],
        "includes_rollbacks": True,
    }


def test_short_names_and_durations_of_people_are_read() -> None:
    policy = Policy.from_document(
        minimal(
            approval={"approvers": [{"role": "risk-officer"}], "valid_for": "30d"},
            metric_gates=[{"metric": "f1", "min": 1, "slices": "every"}],
            card={"required_sections": ["intended_use"], "max_age": 3600},
            required_provenance=["git_commit"],
        )
    )
    assert policy.scope.target_stages == (Stage.PRODUCTION,)
    assert policy.rules.approval == ApprovalRule((ApproverRequirement("risk-officer"),), valid_for=timedelta(days=30))
    assert policy.rules.metric_gates == (MetricGate("f1", min=1.0, slices=SliceScope.EVERY),)
    assert policy.rules.card == CardRule((CardSection.INTENDED_USE,), timedelta(hours=1))
    assert policy.rules.required_provenance == (ProvenanceField.GIT_COMMIT,)


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("90m", 5400), ("12h", 43_200), ("1.5d", 129_600), ("2592000s", 2_592_000)]
)
def test_a_duration_has_a_unit(text: str, seconds: int) -> None:
    approval = Policy.from_document(minimal(approval={"valid_for": text})).rules.approval
    assert approval is not None
    assert approval.valid_for == timedelta(seconds=seconds)


@pytest.mark.parametrize("value", ["soon", "-1s", "1w", "", -1, True, 1e300, "9999999999999d"])
def test_what_is_no_duration_is_refused(value: object) -> None:
    assert set(violations_of(minimal(approval={"valid_for": value}))) == {"rules.approval.valid_for"}


def test_a_misspelt_demand_is_refused_where_it_stands() -> None:
    found = violations_of(
        {
            "name": "gate",
            "scope": {"target_stages": ["production"], "risks": []},
            "rules": {"metric_gate": [], "metric_gates": [{"metric": "f1", "minimum": 1}], "card": {"maxAge": "1d"}},
        }
    )
    assert set(found) == {
        "scope.risks",
        "rules.metric_gate",
        "rules.metric_gates[0].minimum",
        "rules.card.maxAge",
    }
    assert "metric_gates" in found["rules.metric_gate"]


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ({"metric_gates": [{"metric": "a"}, {"metric": 3}]}, "rules.metric_gates[1].metric"),
        ({"metric_gates": {"metric": "a"}}, "rules.metric_gates"),
        ({"metric_gates": [{"metric": "a", "min": "0.5"}]}, "rules.metric_gates[0].min"),
        ({"metric_gates": [{"metric": "a", "min": True}]}, "rules.metric_gates[0].min"),
        ({"metric_gates": [{"metric": "a", "min": float("nan")}]}, "rules.metric_gates[0].min"),
        ({"metric_gates": [{"metric": "a", "min": 10**400}]}, "rules.metric_gates[0].min"),
        ({"from_stages": ["prod"]}, "rules.from_stages[0]"),
        ({"from_stages": [None]}, "rules.from_stages[0]"),
        ({"required_provenance": ["PROVENANCE_FIELD_UNSPECIFIED"]}, "rules.required_provenance[0]"),
        ({"card": ["intended_use"]}, "rules.card"),
        ({"card": {"required_sections": "intended_use"}}, "rules.card.required_sections"),
        ({"requires_risk_assessment": "yes"}, "rules.requires_risk_assessment"),
        ({"max_holders": 1.5}, "rules.max_holders"),
        ({"max_holders": 2**40}, "rules.max_holders"),
        ({"required_files": ["\ud800"]}, "rules.required_files[0]"),
        ({"required_files": [None]}, "rules.required_files[0]"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_of_another_kind_is_refused_where_it_stands(rules: dict[str, object], field: str) -> None:
    assert set(violations_of(minimal(**rules))) == {field}


def test_a_policy_has_a_name_a_scope_and_rules() -> None:
    assert set(violations_of({})) == {"name", "scope", "rules"}
    assert set(violations_of(["name"])) == {""}


def test_what_the_registry_fills_in_is_passed_over_but_for_the_etag() -> None:
    filled = {"revision": "7", "digest": 3, "update_time": "then", "delete_time": None, "updated_by": "x", "etag": "p7"}
    policy = Policy.from_document(minimal() | filled)
    assert (policy.etag, policy.revision, policy.digest, policy.updated_by) == ("p7", 0, "", "")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )
)
def test_whatever_a_document_holds_is_read_or_refused(value: Any) -> None:
    for document in (value, {"name": "gate", "scope": value, "rules": value}, minimal(metric_gates=value, card=value)):
        try:
            Policy.from_document(document)
        except InvalidArgument as error:
            assert error.violations


class TestFiles:
    def test_json_and_yaml_say_the_same(self, tmp_path: Path) -> None:
        (tmp_path / "gate.json").write_text(json.dumps(minimal(required_files=["MLmodel"])))
        (tmp_path / "gate.yaml").write_text(
            "name: gate\nscope: {target_stages: [production]}\nrules:\n  required_files: [MLmodel]\n"
        )
        read = [Policy.from_document(read_document(str(tmp_path / name))) for name in ("gate.json", "gate.yaml")]
        assert read[0] == read[1]
        assert read[0].rules.required_files == ("MLmodel",)

    def test_standard_input_is_json(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"name": "gate"}')))
        assert read_document("-") == {"name": "gate"}

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("a.json", b'{"name": "a", "name": "b"}', "says 'name' twice"),
            ("a.json", b'{"name": ', "is no JSON"),
            ("a.json", b"[" * 100_000, "is no JSON"),
            ("a.json", b"[]", "is no mapping"),
            ("a.json", b"\xff", "is not UTF-8"),
            ("a.json", b" " * (LARGEST_BYTES + 1), "has more than"),
            ("a.yaml", b"name: a\nrules:\n  max_holders: 1\n  max_holders: 2\n", "says 'max_holders' twice"),
            ("a.yaml", b"name: [", "is no YAML"),
            ("a.yaml", b"!!python/object/apply:os.getcwd []", "is no YAML"),
            ("a.yml", b"just words", "is no mapping"),
            ("a.yml", b"", "is no mapping"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_what_is_no_document_is_refused(self, name: str, content: bytes, said: str, tmp_path: Path) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidArgument, match=said) as caught:
            read_document(str(tmp_path / name))
        assert caught.value.reason == "DOCUMENT_UNREADABLE"

    def test_a_file_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidArgument, match="cannot be read: No such file"):
            read_document(str(tmp_path / "none.json"))

    def test_without_pyyaml_yaml_is_refused_with_what_to_do(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "yaml", None)
        (tmp_path / "a.yaml").write_text("name: a")
        with pytest.raises(InvalidArgument, match="install pyyaml, or write JSON"):
            read_document(str(tmp_path / "a.yaml"))

    def test_a_file_is_told_from_a_policys_name(self) -> None:
        assert [is_document(name) for name in ("gate.json", "./gate.yaml", "g.yml", "-", "gate")] == [True] * 4 + [
            False
        ]
