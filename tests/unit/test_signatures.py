"""Which differences between two signatures break those who call a model by the old one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar_server.domain.semantic_versions import SemanticVersion, Step
from registrar_server.domain.signatures import is_breaking, signature_changes, step_for
from registrar_server.domain.versions import Signature, TensorSpec

AMOUNT = TensorSpec("amount", "double")
COUNT = TensorSpec("count", "long")
SCORE = TensorSpec("score", "float", (-1, 1))
OLD = Signature((AMOUNT, COUNT), (SCORE,))

_TENSORS = st.builds(
    TensorSpec,
    st.sampled_from(["", "a", "b", "c"]),
    st.sampled_from(["integer", "long", "int32", "float", "float64", "string", "datetime", "object", "any", "boolean"]),
    st.lists(st.sampled_from([-1, 1, 3]), max_size=2).map(tuple),
    st.booleans(),
)
_SIGNATURES = st.builds(Signature, st.lists(_TENSORS, max_size=3).map(tuple), st.lists(_TENSORS, max_size=3).map(tuple))


def inputs(*tensors: TensorSpec) -> Signature:
    return Signature(tensors, OLD.outputs)


def outputs(*tensors: TensorSpec) -> Signature:
    return Signature(OLD.inputs, tensors)


@pytest.mark.parametrize(
    ("new", "place", "breaks"),
    [
        pytest.param(inputs(AMOUNT, COUNT, TensorSpec("age", "long")), "inputs.age", True, id="new required input"),
        pytest.param(
            inputs(AMOUNT, COUNT, TensorSpec("age", "long", (), True)), "inputs.age", False, id="new optional input"
        ),
        pytest.param(inputs(AMOUNT), "inputs.count", False, id="input gone, what is sent is dropped"),
        pytest.param(inputs(AMOUNT, replace(COUNT, dtype="string")), "inputs.count", True, id="number to text"),
        pytest.param(inputs(AMOUNT, replace(COUNT, dtype="integer")), "inputs.count", True, id="narrowed integer"),
        pytest.param(inputs(AMOUNT, replace(COUNT, dtype="double")), "inputs.count", True, id="long to double"),
        pytest.param(inputs(AMOUNT, replace(COUNT, dtype="any")), "inputs.count", False, id="anything goes"),
        pytest.param(inputs(AMOUNT, replace(COUNT, is_optional=True)), "inputs.count", False, id="input optional"),
        pytest.param(inputs(AMOUNT, replace(COUNT, shape=(3,))), "inputs.count", True, id="column to tensor"),
        pytest.param(outputs(), "outputs.score", True, id="output gone"),
        pytest.param(outputs(replace(SCORE, dtype="double")), "outputs.score", True, id="output widened"),
        pytest.param(outputs(replace(SCORE, shape=(-1, 2))), "outputs.score", True, id="output of another shape"),
        pytest.param(outputs(replace(SCORE, shape=(1, 1))), "outputs.score", True, id="output of one row only"),
        pytest.param(outputs(replace(SCORE, is_optional=True)), "outputs.score", True, id="output may be absent"),
        pytest.param(outputs(SCORE, TensorSpec("why", "string")), "outputs.why", False, id="new output"),
    ],
)
def test_a_difference_is_named_by_its_place_and_breaks_or_not(new: Signature, place: str, breaks: bool) -> None:
    (change,) = signature_changes(OLD, new)
    assert (change.place, change.is_breaking) == (place, breaks)


@pytest.mark.parametrize(
    ("given_type", "wanted", "passes"),
    [
        ("integer", "long", True),
        ("int32", "int64", True),
        ("float", "double", True),
        ("integer", "double", True),
        ("integer", "float", False),
        ("uint8", "int16", True),
        ("uint64", "long", False),
        ("boolean", "long", False),
        ("datetime64[ns]", "datetime", True),
        ("string", "binary", False),
    ],
)
def test_a_column_is_widened_as_mlflow_widens_it(given_type: str, wanted: str, passes: bool) -> None:
    old, new = Signature((TensorSpec("a", given_type),)), Signature((TensorSpec("a", wanted),))
    assert is_breaking(signature_changes(old, new)) is not passes


@pytest.mark.parametrize(
    ("old", "new", "passes"),
    [
        ((-1, 3), (-1, -1), True),
        ((2, 3), (-1, 3), True),
        ((-1, 3), (-1, 4), False),
        ((-1, -1), (-1, 3), False),
        ((-1, 3), (-1, 3, 1), False),
    ],
)
def test_an_input_takes_what_has_its_sizes(old: tuple[int, ...], new: tuple[int, ...], passes: bool) -> None:
    changes = signature_changes(
        Signature((TensorSpec("", "float32", old),)), Signature((TensorSpec("", "float32", new),))
    )
    assert [change.place for change in changes] == ["inputs[0]"]
    assert is_breaking(changes) is not passes


def test_a_tensor_s_type_has_to_be_the_same_where_a_column_s_is_widened() -> None:
    old, new = Signature((TensorSpec("a", "float32", (-1,)),)), Signature((TensorSpec("a", "float64", (-1,)),))
    assert is_breaking(signature_changes(old, new))


def test_names_decide_and_not_the_order_but_what_has_no_name_goes_by_its_place() -> None:
    assert not signature_changes(OLD, inputs(COUNT, AMOUNT))
    first, second = TensorSpec("", "float32", (-1, 3)), TensorSpec("", "int64", (-1,))
    changes = signature_changes(Signature((first, second)), Signature((second, first)))
    assert {change.place for change in changes if change.is_breaking} == {"inputs[0]", "inputs[1]"}


def test_a_name_that_is_taken_away_breaks_who_counts_on_it() -> None:
    assert is_breaking(signature_changes(Signature((AMOUNT,)), Signature((replace(AMOUNT, name=""),))))


def test_one_more_output_without_a_name_breaks_who_counts_them() -> None:
    one = TensorSpec("", "float32", (-1,))
    assert is_breaking(signature_changes(Signature((), (one,)), Signature((), (one, one))))


def test_without_an_old_signature_nothing_breaks_and_without_a_new_one_all_does() -> None:
    assert not signature_changes(None, OLD)
    assert not signature_changes(None, None)
    (gone,) = signature_changes(OLD, None)
    assert (gone.place, gone.is_breaking) == ("signature", True)


@given(_SIGNATURES)
def test_a_signature_serves_its_own_callers(signature: Signature) -> None:
    same = Signature(tuple(map(replace, signature.inputs)), tuple(map(replace, signature.outputs)))
    assert not signature_changes(signature, same)


@given(_SIGNATURES, _SIGNATURES)
def test_what_adds_an_optional_named_input_breaks_nothing_more(old: Signature, new: Signature) -> None:
    wider = Signature((*new.inputs, TensorSpec("extra", "string", (), True)), new.outputs)
    before = {change for change in signature_changes(old, new) if change.is_breaking}
    after = {change for change in signature_changes(old, wider) if change.is_breaking}
    assert before == after


@given(_SIGNATURES, _SIGNATURES, _SIGNATURES)
def test_who_is_served_by_two_steps_is_served_by_both_together(a: Signature, b: Signature, c: Signature) -> None:
    """But for an input that goes and comes back as another: between them nobody could tell."""
    is_any_gone = any(change.description.endswith("dropped") for change in signature_changes(a, b))
    is_any_free = any(tensor.dtype in ("any", "object") for tensor in (*a.inputs, *b.inputs, *c.inputs))
    if not is_any_gone and not is_any_free and not is_breaking((*signature_changes(a, b), *signature_changes(b, c))):
        assert not is_breaking(signature_changes(a, c))


@given(_SIGNATURES, _SIGNATURES, st.integers(0, 2))
def test_the_number_that_has_to_rise_says_whether_callers_break(old: Signature, new: Signature, major: int) -> None:
    base = SemanticVersion(major, 4, 2)
    changes = signature_changes(old, new)
    following = base.next(step_for(changes, base))
    assert following.key > base.key
    assert following.may_break(base) is is_breaking(changes)


@pytest.mark.parametrize(
    ("text", "step", "following"),
    [
        ("1.2.3", Step.MAJOR, "2.0.0"),
        ("1.2.3", Step.MINOR, "1.3.0"),
        ("1.2.3", Step.PATCH, "1.2.4"),
        ("2.0.0-rc.1", Step.MAJOR, "2.0.0"),
        ("2.1.0-rc.1", Step.MAJOR, "3.0.0"),
        ("2.1.0-rc.1", Step.MINOR, "2.1.0"),
        ("2.1.1-rc.1", Step.MINOR, "2.2.0"),
        ("2.1.1-rc.1", Step.PATCH, "2.1.1"),
    ],
)
def test_the_next_version_is_the_release_of_a_pre_release_where_that_is_step_enough(
    text: str, step: Step, following: str
) -> None:
    assert str(SemanticVersion.parse(text).next(step)) == following
