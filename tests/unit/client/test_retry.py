"""What is tried again, when, and for how long."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2
from hypothesis import given
from hypothesis import strategies as st

import registrar
from registrar.errors import Aborted, DeadlineExceeded, InvalidArgument, ResourceExhausted, Unavailable
from registrar.retry import Patience, RetryPolicy, is_retryable
from registrar.v1.model_version_service_pb2 import GetModelVersionRequest, RegisterModelVersionRequest
from tests.unit.client.fake_state import Failure, State

UNAVAILABLE = Failure(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE")


class Clock:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@given(st.integers(0, 1000), st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 100))
def test_a_delay_keeps_its_bounds_and_honours_the_server(attempt: int, drawn: float, asked: float | None) -> None:
    policy = RetryPolicy(initial_seconds=0.1, maximum_seconds=5, multiplier=2, draw=lambda: drawn)
    bound = min(5.0, 0.1 * 2 ** min(attempt, 30))
    delay = policy.delay(attempt, asked)
    assert delay >= (asked or 0)
    assert delay == asked or bound / 2 <= delay <= bound


def test_patience_refuses_to_wait_beyond_its_end_and_can_be_renewed() -> None:
    clock = Clock()
    patience = Patience(10, clock, clock.sleep)
    assert patience.wait(6)
    assert patience.left == 4
    assert not patience.wait(4)
    patience.renew()
    assert patience.wait(9)
    assert clock.waits == [6, 9]
    assert Patience(None, clock, clock.sleep).left is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Unavailable("x", reason="REGISTRATION_PENDING"), True),
        (Unavailable("x"), True),
        (ResourceExhausted("x", reason="NO_TRANSFER_SLOT"), True),
        (ResourceExhausted("x", reason="STORE_FULL"), False),
        (Aborted("x", reason="ETAG_MISMATCH"), False),
        (DeadlineExceeded("x"), False),
        (InvalidArgument("x"), False),
    ],
)
def test_only_what_may_succeed_by_itself_is_tried_again(error: registrar.RegistrarError, expected: bool) -> None:
    assert is_retryable(error) is expected


def test_a_read_is_tried_again_until_it_succeeds(registry: registrar.Registry, state: State) -> None:
    registry.create_model("a")
    state.fail_next("GetModel", UNAVAILABLE, UNAVAILABLE)
    assert registry.model("a").name == "a"


def test_a_change_whose_answer_was_lost_is_made_once(registry: registrar.Registry, state: State) -> None:
    state.fail_next("RegisterModelVersion", Failure(grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING", is_late=True))
    version = registry.register("a", run_artifact="runs:/1/model")
    assert version.version == 1
    assert len(state.versions["a"]) == 1
    assert len({request.request_id for request in state.seen(RegisterModelVersionRequest)}) == 1


def test_a_registration_goes_on_after_a_deadline_of_one_attempt(registry: registrar.Registry, state: State) -> None:
    state.fail_next("RegisterModelVersion", Failure(grpc.StatusCode.DEADLINE_EXCEEDED, is_late=True))
    assert registry.register("a", run_artifact="runs:/1/model").version == 1
    assert len(state.versions["a"]) == 1


def test_a_lost_race_is_never_tried_again(registry: registrar.Registry, state: State) -> None:
    registry.register("a", run_artifact="runs:/1/model")
    state.fail_next("UpdateModelVersion", Failure(grpc.StatusCode.ABORTED, "ETAG_MISMATCH"))
    with pytest.raises(Aborted):
        registry.update("a/1", description="x")
    assert registry.get("a/1").description == ""


def test_retries_end_with_the_time_of_the_call(target: str, state: State) -> None:
    asked = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=3600))
    with registrar.connect(target, timeout_seconds=20) as registry:
        registry.register("a", run_artifact="runs:/1/model")
        state.fail_next("GetModelVersion", Failure(grpc.StatusCode.UNAVAILABLE, "DATABASE_BUSY", (asked,)))
        with pytest.raises(Unavailable) as caught:
            registry.get("a/1")
    assert caught.value.retry_after == 3600
    assert len(state.seen(GetModelVersionRequest)) == 1


def test_a_wrong_address_is_told_before_the_time_of_a_call_is_up() -> None:
    with registrar.connect("127.0.0.1:1", timeout_seconds=3600, connect_timeout_seconds=0.2) as registry:
        with pytest.raises(Unavailable) as caught:
            registry.get("a/1")
    assert caught.value.reason == "UNREACHABLE"
    assert "127.0.0.1:1" in str(caught.value)
    assert isinstance(caught.value.__cause__, grpc.RpcError)
