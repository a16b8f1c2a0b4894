"""Errors of the server as exceptions of the client."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2

import registrar
from registrar.errors import Code, Precondition, RegistrarError, Violation, error_class
from tests.unit.client.fake_state import Failure, State


def failing(registry: registrar.Registry, state: State, failure: Failure) -> RegistrarError:
    state.fail_next("GetModel", failure)
    with pytest.raises(RegistrarError) as caught:
        registry.model("a")
    return caught.value


def test_every_status_has_an_exception_of_its_own() -> None:
    names = {code.name for code in grpc.StatusCode} - {"OK"}
    assert {code.name for code in Code} == names
    classes = {error_class(code) for code in Code}
    assert len(classes) == len(names)
    assert all(error_class(code).code is code for code in Code)


REPEATED = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


@pytest.mark.parametrize("status", [s for s in grpc.StatusCode if s not in {grpc.StatusCode.OK, *REPEATED}])
def test_a_status_becomes_its_exception(registry: registrar.Registry, state: State, status: grpc.StatusCode) -> None:
    error = failing(registry, state, Failure(status, "SOME_REASON"))
    assert type(error) is error_class(Code(status.name))
    assert (error.code, error.reason) == (Code(status.name), "SOME_REASON")
    assert isinstance(error.__cause__, grpc.RpcError)


def test_the_details_are_decoded(registry: registrar.Registry, state: State) -> None:
    field = error_details_pb2.BadRequest.FieldViolation(field="tags", description="too many")
    gate = error_details_pb2.PreconditionFailure.Violation(type="GATE", subject="auc", description="at least 0.9")
    details = (
        error_details_pb2.BadRequest(field_violations=[field]),
        error_details_pb2.PreconditionFailure(violations=[gate]),
        error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=1, nanos=500_000_000)),
        error_details_pb2.Help(),
    )
    error = failing(registry, state, Failure(grpc.StatusCode.FAILED_PRECONDITION, "X", details))
    assert error.violations == (Violation("tags", "too many"),)
    assert error.preconditions == (Precondition("GATE", "auc", "at least 0.9"),)
    assert error.retry_after == 1.5


def test_an_error_without_details_is_an_exception_too(registry: registrar.Registry, state: State) -> None:
    error = failing(registry, state, Failure(grpc.StatusCode.PERMISSION_DENIED))
    assert isinstance(error, registrar.PermissionDenied)
    assert (error.reason, str(error)) == ("", "no details [PERMISSION_DENIED]")


def test_a_closed_registry_says_so(target: str) -> None:
    registry = registrar.connect(target)
    registry.close()
    registry.close()
    with pytest.raises(registrar.InvalidArgument) as caught:
        registry.model("a")
    assert caught.value.reason == "CLOSED"
