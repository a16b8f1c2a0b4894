"""Values from outside: every violation at once, by its path in the request."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar_server.domain import limits
from registrar_server.domain.errors import InvalidRequest, Reason
from registrar_server.domain.validation import Checker, checking


def violations(checker: Checker) -> dict[str, str]:
    """Field and description of everything that a checker found."""
    try:
        checker.finish()
    except InvalidRequest as exc:
        return {violation.field: violation.description for violation in exc.violations}
    return {}


def test_every_violation_is_reported_at_once_and_named_in_the_message() -> None:
    with pytest.raises(InvalidRequest) as caught, checking() as check:
        check.model_name("name", "no spaces")
        check.text("description", "x" * 6, 5)
        check.metrics("metrics", {"f1": math.nan})
    assert caught.value.reason is Reason.INVALID_FIELD
    assert [v.field for v in caught.value.violations] == ["name", "description", "metrics['f1']"]
    assert all(v.field in caught.value.message for v in caught.value.violations)


def test_what_is_good_raises_nothing_and_comes_back() -> None:
    with checking() as check:
        assert check.model_name("name", "churn-predictor") == "churn-predictor"
        assert check.tags("tags", {"owner": "ml-team"}) == {"owner": "ml-team"}
        assert check.metrics("metrics", {"f1": 0.9}) == {"f1": 0.9}
        assert check.parameters("parameters", {"n": 200, "rate": 0.05, "on": True}) == {
            "n": 200,
            "rate": 0.05,
            "on": True,
        }


@given(st.text(max_size=140))
def test_a_model_name_is_good_if_and_only_if_it_has_the_documented_form(name: str) -> None:
    check = Checker()
    check.model_name("name", name)
    is_documented = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", name) is not None
    assert (not violations(check)) == is_documented


@pytest.mark.parametrize("name", ["a", "A" * 128, "0.b_c-d"])
def test_good_model_names(name: str) -> None:
    check = Checker()
    check.model_name("name", name)
    assert violations(check) == {}


@pytest.mark.parametrize("name", ["", "a" * 129, "-a", ".a", "a/b", "ä", "a\n", "a b"])
def test_wrong_model_names(name: str) -> None:
    check = Checker()
    check.model_name("name", name)
    assert list(violations(check)) == ["name"]


@pytest.mark.parametrize("tenant", ["ab", "acme-corp", "0a", "a" * 63])
def test_good_tenants(tenant: str) -> None:
    check = Checker()
    check.tenant("tenant", tenant)
    assert violations(check) == {}


@pytest.mark.parametrize("tenant", ["", "a", "A1", "-ab", "ab-", "a_b", "a" * 64, "ab\n", "../etc"])
def test_wrong_tenants(tenant: str) -> None:
    check = Checker()
    check.tenant("tenant", tenant)
    assert list(violations(check)) == ["tenant"]


@given(st.text(max_size=70))
def test_an_alias_that_may_be_set_may_also_be_read(alias: str) -> None:
    setting, reading = Checker(), Checker()
    setting.new_alias("alias", alias)
    reading.alias("alias", alias)
    assert violations(setting) or not violations(reading)


@pytest.mark.parametrize("version", ["0.0.0", "1.4.0", "10.20.30-rc.1", "1.0.0-alpha-beta.0a"])
def test_good_semantic_versions(version: str) -> None:
    check = Checker()
    check.semantic_version("v", version)
    assert violations(check) == {}


@pytest.mark.parametrize(
    "version", ["1", "1.2", "01.2.3", "1.2.3-", "1.2.3-01", "v1.2.3", "1.2.3+build", "1.2.3\n", "a.b.c"]
)
def test_wrong_semantic_versions(version: str) -> None:
    check = Checker()
    check.semantic_version("v", version)
    assert list(violations(check)) == ["v"]


@given(st.text(max_size=12), st.integers(0, 10))
def test_a_text_is_good_if_it_is_short_enough_and_has_no_nul(text: str, maximum: int) -> None:
    check = Checker()
    check.text("t", text, maximum)
    assert (not violations(check)) == (len(text) <= maximum and "\0" not in text)


@given(st.dictionaries(st.text(max_size=3), st.floats(allow_nan=True, allow_infinity=True), max_size=5))
def test_metrics_are_good_if_all_are_finite_and_named(metrics: dict[str, float]) -> None:
    check = Checker()
    check.metrics("metrics", metrics)
    is_good = all(math.isfinite(value) and name and "\0" not in name for name, value in metrics.items())
    assert (not violations(check)) == is_good


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_parameter_that_is_not_finite_is_refused(value: float) -> None:
    check = Checker()
    check.parameters("parameters", {"rate": value})
    assert violations(check) == {"parameters['rate']": "must be a finite number"}


def test_a_parameter_without_a_value_is_refused() -> None:
    check = Checker()
    assert check.parameters("parameters", {"rate": None, "n": 1}) == {"n": 1}
    assert violations(check) == {"parameters['rate']": "has no value"}


def test_maps_have_a_limit_and_so_have_their_keys_and_values() -> None:
    check = Checker()
    check.tags("tags", {f"k{i}": "" for i in range(limits.TAGS + 1)})
    check.tags("long", {"k" * (limits.TAG_KEY_CHARACTERS + 1): "v", "k": "v" * (limits.TAG_VALUE_CHARACTERS + 1)})
    check.metrics("metrics", {f"m{i}": 0.0 for i in range(limits.METRICS + 1)})
    assert list(violations(check)) == ["tags", f"long['{'k' * 64}'] (key)", "long['k']", "metrics"]


@pytest.mark.parametrize("key", ["mlflow.runName", "registrar.uid"])
def test_tags_of_mlflow_and_of_the_registry_cannot_be_set(key: str) -> None:
    check = Checker()
    check.tags("tags", {key: "x"})
    assert list(violations(check)) == [f"tags['{key}'] (key)"]


@pytest.mark.parametrize("request_id", ["a" * 129, "with space", "ü", "a\n"])
def test_a_request_id_is_printable_ascii(request_id: str) -> None:
    check = Checker()
    check.request_id("request_id", request_id)
    assert list(violations(check)) == ["request_id"]


def test_a_request_id_may_be_absent() -> None:
    check = Checker()
    check.request_id("request_id", "")
    assert violations(check) == {}


def test_what_is_there_twice_is_named_by_its_index() -> None:
    check = Checker()
    check.unique("flavors", ["a", "b", "a", "a"])
    assert list(violations(check)) == ["flavors[2]", "flavors[3]"]
