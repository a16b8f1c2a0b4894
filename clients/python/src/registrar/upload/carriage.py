"""One job on its way, whatever breaks: what is durable is not sent again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc

from registrar.errors import Cancelled, Code, RegistrarError
from registrar.progress import Meter
from registrar.retry import Patience, RetryPolicy, is_retryable
from registrar.rpc_errors import error_from_rpc
from registrar.upload.lane import Lane
from registrar.upload.plan import Job, job_bytes, still_missing
from registrar.upload.report import UploadReport
from registrar.upload.session import UploadSession

FRUITLESS_ATTEMPTS = 10
"""So many times may a job be sent without one more part of it being durable."""
ASK_SECONDS = 10.0
"""How long one question about the session may take."""

_BUFFER_BYTES = 1 << 20
"""That much may leave for a registry that takes none of it."""
_RETRYABLE_REASONS = frozenset(
    {"CHUNK_CORRUPT", "RANGE_NOT_MISSING", "STORE_REFUSED", "TRANSFER_STALLED", "WRITER_REPLACED"}
)
_FEW_ATTEMPTS = frozenset({"CHUNK_CORRUPT", "STORE_REFUSED"})
"""Once or twice this is chance: a damaged packet, a URL that ended just now."""
_BREAKS = frozenset({Code.CANCELLED, Code.DEADLINE_EXCEEDED, Code.INTERNAL, Code.UNKNOWN})
"""Without a reason: with one, it is the registry's own word."""


class NoSlotError(Exception):
    """The registry has no slot for this job now."""

    def __init__(self, job: Job, error: RegistrarError) -> None:
        super().__init__(error.message)
        self.job = job
        self.error = error


@dataclass(slots=True)
class Journey:
    """What the jobs of one round share."""

    session: UploadSession
    retry: RetryPolicy
    timeout_seconds: float | None
    """How long nothing may move; None: without end."""
    check_open: Callable[[], None]
    """Raises when the caller has closed the registry."""
    on_mismatch: Callable[[RegistrarError], None]
    """Hears of each DIGEST_MISMATCH; raises when it is final."""
    meter: Meter
    report: UploadReport
    over: threading.Event = field(default_factory=threading.Event)
    """Nobody needs to wait any more: all is sent, or failed."""
    patience: Patience = field(init=False)

    def __post_init__(self) -> None:
        self.patience = Patience(self.timeout_seconds, sleep=self._pause)

    def wait(self, failures: int, error: RegistrarError) -> None:
        """Wait after failure number `failures` (from 0); raises it when there is no time left."""
        if not self.patience.wait(self.retry.delay(failures, error.retry_after)):
            raise error

    def _pause(self, seconds: float) -> None:
        self.over.wait(seconds)


class Carriage:
    """Sends one job over one lane."""

    def __init__(self, journey: Journey, lane: Lane, job: Job) -> None:
        self._journey = journey
        self._lane = lane
        self._job = job
        self._sent_bytes = 0
        """Of the job as it is now; what of them is durable is not known before all are, or the registry was asked."""
        self._has_moved = False
        self._fruitless = 0

    def run(self) -> None:
        """Send the job to its end, asking after each break what is still missing.

        Gives up when nothing on any lane moved for the journey's `timeout_seconds`, or after FRUITLESS_ATTEMPTS.
        Errors: see WriteUpload; FILE_CHANGED; NoSlotError; Cancelled when the journey is over; what `on_mismatch` raises.
        """
        failures = 0
        error: RegistrarError | None = None
        while True:
            try:
                if error is not None:
                    self._go_on(error)
                if self._job:
                    self._lane.send(self._job, self._count)
            except grpc.RpcError as exc:
                error = error_from_rpc(exc)
                error.__cause__ = exc
            except RegistrarError as exc:
                error = exc
            else:
                self._journey.patience.renew()  # also for a job so small that all of it fits into a buffer
                return
            self._judge(error)
            failures = 0 if self._has_moved else failures
            self._has_moved = False
            self._journey.wait(failures, error)
            failures += 1

    def _count(self, file: int, offset: int, length: int) -> None:
        self._sent_bytes += length
        self._journey.report.count_sent(file, offset, length)
        self._journey.meter.add(length)
        if self._sent_bytes > _BUFFER_BYTES:
            self._has_moved = True
            self._journey.patience.renew()

    def _go_on(self, error: RegistrarError) -> None:
        """Find out what is missing after a break. Who was replaced lets the other write, as long as they get on."""
        self._ask()
        policy = self._journey.retry
        still_seconds, attempt = 0.0, 0
        while error.reason == "WRITER_REPLACED" and self._job and still_seconds < policy.maximum_seconds:
            still_seconds += policy.delay(attempt, None)
            self._journey.wait(attempt, error)
            attempt += 1
            if self._ask():
                still_seconds, attempt = 0.0, 0

    def _ask(self) -> bool:
        """Keep of the job what is missing now; answers whether it has become less."""
        if self._journey.over.is_set():
            raise Cancelled("the upload was cancelled")
        left = self._journey.patience.left
        snapshot = self._journey.session.ask(ASK_SECONDS if left is None else min(left, ASK_SECONDS))
        job = still_missing(self._job, snapshot.missing)
        durable_bytes = job_bytes(self._job) - job_bytes(job)
        self._journey.meter.add(durable_bytes - self._sent_bytes)
        is_less = len(job) < len(self._job) or durable_bytes > 0
        if is_less:
            self._fruitless = 0
            self._journey.patience.renew()
        self._job, self._sent_bytes = job, 0
        return is_less

    def _judge(self, error: RegistrarError) -> None:
        """Raise what no further attempt can mend, and prepare the next one."""
        if self._journey.over.is_set():
            raise Cancelled("the upload was cancelled") from error
        self._journey.check_open()
        if error.reason == "NO_TRANSFER_SLOT":
            self._journey.meter.add(-self._sent_bytes)
            raise NoSlotError(self._job, error)
        if error.reason == "DIGEST_MISMATCH":
            self._journey.on_mismatch(error)
        elif not _may_repeat(error) or self._fruitless >= _attempts_for(error):
            raise error
        if error.reason == "TRANSFER_STALLED" or error.code is Code.DEADLINE_EXCEEDED:
            self._journey.session.reconnect()
        if self._has_moved or error.reason in _FEW_ATTEMPTS:
            self._fruitless += 1
        if self._has_moved:
            self._journey.patience.renew()  # however long it took to find out that nothing moved any more


def _attempts_for(error: RegistrarError) -> int:
    return 2 if error.reason in _FEW_ATTEMPTS else FRUITLESS_ATTEMPTS


def is_broken(error: RegistrarError) -> bool:
    """Whether this is what gRPC makes of a call that somebody between here and the registry reset."""
    return error.code in _BREAKS and not error.reason


def _may_repeat(error: RegistrarError) -> bool:
    if error.reason == "STORE_UNREACHABLE":
        return False
    return is_broken(error) or is_retryable(error) or error.reason in _RETRYABLE_REASONS
