"""Rounds of promotions that all want production at once, and a reader that looks on."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import grpc

from registrar.v1.lifecycle_service_pb2 import ListTransitionsRequest
from registrar.v1.reference_pb2 import STAGE_ARCHIVED, STAGE_PRODUCTION
from tests.end_to_end.api import CODE, Api, by_number, by_stage, model_ref, refusal_of

ROUNDS, CALLERS = 5, 20
WAIT_SECONDS = 100


def race(apis: Sequence[Api], name: str) -> None:
    """A hundred promotions in rounds of twenty, each of which expects the holder that it knows; asserts one winner each.

    `apis` are connections to the processes that take part.
    """
    artifact_id = apis[0].register(name).artifact_id
    for _ in range(ROUNDS + CALLERS - 1):
        apis[0].register(name, artifact_id=artifact_id)
    apis[0].move(name, 1, STAGE_PRODUCTION)
    waiting, winners = set(range(2, ROUNDS + CALLERS + 1)), [1]
    is_over = threading.Event()
    with ThreadPoolExecutor(CALLERS + len(apis)) as pool:
        watching = [pool.submit(_watch, api, name, is_over) for api in apis]
        try:
            for _ in range(ROUNDS):
                winner = _round(pool, apis, name, sorted(waiting)[:CALLERS], winners[-1])
                waiting.remove(winner)
                winners.append(winner)
        finally:
            is_over.set()
        for one in watching:
            # Most often some of those that came and went, and never another.
            assert one.result(WAIT_SECONDS) <= set(winners)
    _require_history(apis[0], name, winners)


def _round(pool: ThreadPoolExecutor, apis: Sequence[Api], name: str, numbers: Sequence[int], holder: int) -> int:
    """The one that won; all others were told so."""
    start = threading.Barrier(len(numbers))

    def promote(place: int, number: int) -> str:
        start.wait(WAIT_SECONDS)
        try:
            made = apis[place % len(apis)].move(name, number, STAGE_PRODUCTION, expected_holder=holder)
        except grpc.RpcError as exc:
            refused = refusal_of(exc)
            assert (refused.code, refused.reason) == (CODE.ABORTED, "STAGE_HOLDER_CHANGED")
            return refused.metadata["holder"]
        assert [(one.version, one.stage) for one in made.displaced] == [(holder, STAGE_ARCHIVED)]
        return f"won {number}"

    outcomes = list(pool.map(promote, range(len(numbers)), numbers, timeout=WAIT_SECONDS))
    (winner,) = [int(outcome.removeprefix("won ")) for outcome in outcomes if outcome.startswith("won ")]
    assert sorted(outcomes) == sorted([*[str(winner)] * (len(numbers) - 1), f"won {winner}"])
    return winner


def _watch(api: Api, name: str, is_over: threading.Event) -> set[int]:
    """Who was in production: reading by stage is refused where there is nobody, or are several."""
    seen: set[int] = set()
    while not is_over.is_set():
        seen.add(api.get(by_stage(name, STAGE_PRODUCTION)).version)
    return seen


def _require_history(api: Api, name: str, winners: Sequence[int]) -> None:
    """One move into production for each winner, and out of it for each but the last."""
    request = ListTransitionsRequest(model=model_ref(name), page_size=1_000)
    moves = list(reversed(api.lifecycle.ListTransitions(request).transitions))
    assert [move.version for move in moves if move.to_stage == STAGE_PRODUCTION] == list(winners)
    left = [(move.version, move.caused_by_version) for move in moves if move.from_stage == STAGE_PRODUCTION]
    assert left == list(pairwise(winners))
    assert api.get(by_number(name, winners[-1])).stage == STAGE_PRODUCTION
