"""The state machine of the stages, and what a rollback goes back to."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.lifecycle import (
    EXCLUSIVE_STAGES,
    LEGAL_MOVES,
    Transition,
    TransitionKind,
    is_reserved_alias,
    production_line,
    require_legal,
    rollback_candidates,
)
from registrar_server.domain.values import Stage
from tests.unit.made import made_move

NONE, STAGING, PRODUCTION, ARCHIVED = Stage.NONE, Stage.STAGING, Stage.PRODUCTION, Stage.ARCHIVED
LEGAL = {
    (NONE, STAGING),
    (NONE, PRODUCTION),
    (NONE, ARCHIVED),
    (STAGING, NONE),
    (STAGING, PRODUCTION),
    (STAGING, ARCHIVED),
    (PRODUCTION, STAGING),
    (PRODUCTION, ARCHIVED),
    (ARCHIVED, NONE),
    (ARCHIVED, STAGING),
}


@pytest.mark.parametrize("to_stage", Stage)
@pytest.mark.parametrize("from_stage", Stage)
def test_a_move_is_legal_if_the_table_has_it_and_else_refused_with_the_legal_ones(
    from_stage: Stage, to_stage: Stage
) -> None:
    if (from_stage, to_stage) in LEGAL:
        require_legal(from_stage, to_stage)
        return
    with pytest.raises(RegistrarError) as caught:
        require_legal(from_stage, to_stage)
    assert caught.value.reason is Reason.ILLEGAL_TRANSITION
    assert caught.value.metadata["from"] == from_stage.value
    assert caught.value.metadata["to"] == to_stage.value
    assert set(caught.value.metadata["legal"].split(", ")) == {t.value for f, t in LEGAL if f is from_stage}
    assert [p.type for p in caught.value.preconditions] == ["LEGAL_TRANSITION"]


def test_every_stage_can_be_left() -> None:
    assert set(LEGAL_MOVES) == set(Stage)
    assert all(LEGAL_MOVES.values())


def test_staging_and_production_have_one_holder() -> None:
    assert {STAGING, PRODUCTION} == EXCLUSIVE_STAGES


@pytest.mark.parametrize("alias", ["none", "Staging", "PRODUCTION", "archived", "latest", "Latest", "v1", "V007"])
def test_names_of_stages_latest_and_v_with_digits_are_reserved(alias: str) -> None:
    assert is_reserved_alias(alias)


@pytest.mark.parametrize("alias", ["champion", "v", "v1a", "vv1", "production2", "version1"])
def test_other_names_are_not_reserved(alias: str) -> None:
    assert not is_reserved_alias(alias)


def promoted(*numbers: int) -> list[Transition]:
    """Each of them promoted, one after the other."""
    history: list[Transition] = []
    current = 0
    for number in numbers:
        if current:
            history.append(made_move(current, PRODUCTION, ARCHIVED, TransitionKind.DISPLACED))
        history.append(made_move(number, STAGING, PRODUCTION, TransitionKind.REQUESTED))
        current = number
    return history


def rolled_back(from_number: int, to_number: int) -> list[Transition]:
    return [
        made_move(from_number, PRODUCTION, ARCHIVED, TransitionKind.ROLLED_BACK_FROM),
        made_move(to_number, ARCHIVED, PRODUCTION, TransitionKind.ROLLED_BACK_TO),
    ]


def test_nothing_to_go_back_to_before_a_second_promotion() -> None:
    assert rollback_candidates([], 0) == []
    assert rollback_candidates(promoted(1), 1) == []


def test_a_rollback_goes_to_the_version_before() -> None:
    assert rollback_candidates(promoted(1, 2, 3), 3) == [2, 1]


def test_a_second_rollback_goes_back_another_version_and_never_to_the_one_found_bad() -> None:
    history = promoted(1, 2, 3) + rolled_back(3, 2)
    assert production_line(history) == [1, 2]
    assert rollback_candidates(history, 2) == [1]


def test_a_version_promoted_after_a_rollback_goes_on_top_of_what_was_left() -> None:
    history = promoted(1, 2) + rolled_back(2, 1) + promoted(1, 3)[1:]
    assert production_line(history) == [1, 3]
    assert rollback_candidates(history, 3) == [1]


def test_with_production_empty_the_last_holder_comes_first() -> None:
    history = [*promoted(1, 2), made_move(2, PRODUCTION, ARCHIVED, TransitionKind.REQUESTED)]
    assert rollback_candidates(history, 0) == [2, 1]


class Production(RuleBasedStateMachine):
    """Promotions, demotions and rollbacks of five versions, beside an undo stack of who was in production."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[Transition] = []
        self.current = 0
        self.undo: list[int] = []

    @rule(number=st.integers(1, 5))
    def promote(self, number: int) -> None:
        if number == self.current:
            return
        if self.current:
            self.history.append(made_move(self.current, PRODUCTION, ARCHIVED, TransitionKind.DISPLACED))
        self.history.append(made_move(number, STAGING, PRODUCTION, TransitionKind.REQUESTED))
        self.current = number
        self.undo.append(number)

    @precondition(lambda self: self.current)
    @rule(to_stage=st.sampled_from([STAGING, ARCHIVED]))
    def demote(self, to_stage: Stage) -> None:
        self.history.append(made_move(self.current, PRODUCTION, to_stage, TransitionKind.REQUESTED))
        self.current = 0

    @rule(number=st.integers(1, 5))
    def move_elsewhere(self, number: int) -> None:
        if number != self.current:
            self.history.append(made_move(number, ARCHIVED, STAGING, TransitionKind.REQUESTED))

    @rule(choice=st.integers(0, 4))
    def roll_back(self, choice: int) -> None:
        candidates = rollback_candidates(self.history, self.current)
        if not candidates:
            return
        number = candidates[min(choice, len(candidates) - 1)]
        if self.current:
            self.history.append(made_move(self.current, PRODUCTION, ARCHIVED, TransitionKind.ROLLED_BACK_FROM))
        self.history.append(made_move(number, ARCHIVED, PRODUCTION, TransitionKind.ROLLED_BACK_TO))
        self.current = number
        while self.undo[-1] != number:
            self.undo.pop()

    @invariant()
    def the_nearest_candidate_is_the_last_on_the_undo_stack_that_is_not_in_production(self) -> None:
        expected = list(dict.fromkeys(number for number in reversed(self.undo) if number != self.current))
        assert rollback_candidates(self.history, self.current) == expected

    @invariant()
    def who_is_in_production_ends_the_line(self) -> None:
        line = production_line(self.history)
        assert line == self.undo
        assert not self.current or line[-1] == self.current

    @invariant()
    def rollbacks_in_a_row_come_to_an_end(self) -> None:
        history, current = list(self.history), self.current
        for _ in range(len(self.undo) + 1):
            candidates = rollback_candidates(history, current)
            if not candidates:
                return
            history += rolled_back(current, candidates[0]) if current else rolled_back(0, candidates[0])[1:]
            current = candidates[0]
        raise AssertionError("rollbacks go round in circles")


TestProduction = Production.TestCase
