"""What a push that ended without a bundle has left at the registry."""

from __future__ import annotations

import grpc

from registrar.amounts import moment, size
from registrar.errors import Cancelled, DeadlineExceeded, RegistrarError, ResourceExhausted, Unavailable
from registrar.upload.session import UploadSession

_ASK_SECONDS = 3.0
_PASSING = (KeyboardInterrupt, Cancelled, DeadlineExceeded, ResourceExhausted, Unavailable)
"""After these the same push can go on."""


def add_note(failure: BaseException, session: UploadSession) -> None:
    """Say with the failure how much is there, until when, and how it goes on: if there is something, and if that is known."""
    if not session.upload_id or not isinstance(failure, _PASSING):
        return
    try:
        snapshot = session.ask(_ASK_SECONDS)
    except (grpc.RpcError, RegistrarError):
        return
    if snapshot.artifact is not None or not snapshot.received_bytes:
        return
    until = f" until {moment(snapshot.expire_time)}" if snapshot.expire_time is not None else ""
    failure.add_note(
        f"{size(snapshot.received_bytes)} of {size(snapshot.size_bytes)} are at the registry{until}: the same push goes on"
        f" from there, `registrar abort {snapshot.upload_id}` gives them up"
    )
