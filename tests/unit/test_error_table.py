"""Reasons and statuses: one table, complete, and the same names as in the contract."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from registrar.v1.error_pb2 import ErrorReason
from registrar_server.domain.errors import FailedPrecondition, InvalidRequest, Reason, RegistrarError, Violation
from registrar_server.transport.errors import CODES, DOMAIN, to_status

PROTO = Path(__file__).parents[2] / "protos" / "registrar" / "v1" / "error.proto"


def details(error: RegistrarError) -> status_pb2.Status:
    """The status message that travels in the trailers."""
    for key, value in to_status(error).trailing_metadata or ():
        if key == "grpc-status-details-bin":
            assert isinstance(value, bytes)
            return status_pb2.Status.FromString(value)
    raise AssertionError("no details")


def test_every_reason_has_a_status() -> None:
    assert set(CODES) == set(Reason)
    assert grpc.StatusCode.OK not in CODES.values()
    assert grpc.StatusCode.UNKNOWN not in CODES.values()
    assert grpc.StatusCode.INTERNAL not in CODES.values()


def test_the_contract_knows_exactly_these_reasons() -> None:
    names = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()}  # noqa: SIM118  (no mapping)
    assert names - {"UNSPECIFIED"} == {reason.value for reason in Reason}


@pytest.mark.parametrize("reason", Reason)
def test_the_contract_documents_the_status_that_is_sent(reason: Reason) -> None:
    text = PROTO.read_text(encoding="utf-8")
    found = re.search(rf"((?:  //[^\n]*\n)+)  ERROR_REASON_{reason.value} = ", text)
    assert found is not None
    assert found.group(1).strip().startswith(f"// {CODES[reason].name}")


@pytest.mark.parametrize("reason", Reason)
def test_every_refusal_carries_reason_and_domain(reason: Reason) -> None:
    error = RegistrarError(reason, "no", metadata={"model": "m"})
    assert to_status(error).code is CODES[reason]
    info = error_details_pb2.ErrorInfo()
    assert details(error).details[0].Unpack(info)
    assert (info.reason, info.domain, dict(info.metadata)) == (reason.value, DOMAIN, {"model": "m"})


def test_violations_preconditions_and_retries_travel_as_details() -> None:
    error = RegistrarError(
        Reason.DATABASE_BUSY,
        "no",
        violations=[Violation("a", "b")],
        preconditions=[FailedPrecondition("T", "s", "d")],
        retry_after_seconds=1.5,
    )
    kinds = [detail.TypeName() for detail in details(error).details]
    assert kinds == [f"google.rpc.{kind}" for kind in ("ErrorInfo", "BadRequest", "PreconditionFailure", "RetryInfo")]
    retry = error_details_pb2.RetryInfo()
    details(error).details[3].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 1500


def test_so_many_violations_as_fit_the_trailers_and_the_rest_is_counted() -> None:
    error = InvalidRequest([Violation(f"files[{index}].path", "x" * 400) for index in range(5_000)])
    sent = error_details_pb2.BadRequest()
    details(error).details[1].Unpack(sent)
    assert len(details(error).SerializeToString()) < 8_000
    last = sent.field_violations[-1]
    assert last.description == f"{5_000 - len(sent.field_violations) + 1} more violations do not fit here"


def test_the_trailers_stay_small_whatever_the_message_is_made_of() -> None:
    conditions = [FailedPrecondition("METRIC", "😀" * 100, "😀" * 100) for _ in range(100)]
    metadata = {"policies": "😀" * 500}
    error = RegistrarError(Reason.POLICY_NOT_MET, "😀" * 500, metadata=metadata, preconditions=conditions)
    sent = error_details_pb2.PreconditionFailure()
    details(error).details[1].Unpack(sent)
    assert details(error).ByteSize() + len(quote(details(error).message)) < 7_500
    left = len(conditions) - len(sent.violations) + 1
    assert sent.violations[-1].description == f"{left} more conditions do not fit here"
