"""Moments and periods that a read asks about."""

from __future__ import annotations

from datetime import datetime

from registrar.v1 import lifecycle_service_pb2, model_version_service_pb2
from registrar_server.domain.lifecycle import Period
from registrar_server.domain.validation import Checker
from registrar_server.transport.convert.values import time_from_proto


def at_time_from_proto(
    check: Checker,
    request: model_version_service_pb2.GetModelVersionRequest | model_version_service_pb2.CompareModelVersionsRequest,
) -> datetime | None:
    """The moment that the answer is to be about; None: now."""
    return time_from_proto(check, "at_time", request.at_time) if request.HasField("at_time") else None


def period_from_proto(
    check: Checker,
    request: model_version_service_pb2.ListAliasHistoryRequest
    | lifecycle_service_pb2.ListTransitionsRequest
    | lifecycle_service_pb2.ListCommentsRequest,
) -> Period:
    """Which part of a history is asked for."""
    start = time_from_proto(check, "start_time", request.start_time) if request.HasField("start_time") else None
    end = time_from_proto(check, "end_time", request.end_time) if request.HasField("end_time") else None
    if start is not None and end is not None and end <= start:
        check.fail("end_time", "must be after start_time")
    return Period(start, end)
