"""Turn what a call raises into a status; what nobody expected into INTERNAL, with the facts in the log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import structlog

from registrar_server.domain.errors import RegistrarError
from registrar_server.transport.calls import current_call
from registrar_server.transport.errors import to_status

_log = structlog.get_logger()


@contextmanager
def error_guard(method: str, context: grpc.ServicerContext) -> Iterator[None]:
    """Around one call."""
    try:
        yield
    except RegistrarError as exc:
        call = current_call.get()
        call.refusal, call.violations = exc.reason.value, len(exc.violations)
        _log.debug("rpc.refused", reason=exc.reason.value, request_id=call.request_id)
        status = to_status(exc)
        # Not `abort_with_status`: it would drop the trailers that are set already, the request id among them.
        context.set_trailing_metadata((*context.trailing_metadata(), *status.trailing_metadata))
        context.abort(status.code, status.details)
    except (GeneratorExit, grpc.RpcError):
        raise
    except Exception:
        if not context.is_active():
            # The caller is gone: whatever a broken stream raised interests nobody.
            raise
        request_id = current_call.get().request_id
        _log.exception("rpc.failed", method=method, request_id=request_id)
        context.abort(grpc.StatusCode.INTERNAL, f"internal error (request id {request_id})")
