"""A bundle sent: the session opened, what is missing carried, the bundle committed, and again where something is missing."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import grpc

from registrar.connection import Connection
from registrar.convert.results import artifact_from_proto
from registrar.errors import RegistrarError
from registrar.manifest import LocalBundle
from registrar.progress import Meter
from registrar.reference import ModelRef
from registrar.retry import Patience, is_retryable
from registrar.rpc_errors import error_from_rpc
from registrar.types import Artifact
from registrar.upload.carriage import ASK_SECONDS, Journey, is_broken
from registrar.upload.crew import carry_all
from registrar.upload.leftover import add_note
from registrar.upload.line import Line
from registrar.upload.plan import MissingFile
from registrar.upload.report import UploadReport
from registrar.upload.session import Snapshot, UploadSession
from registrar.upload.source import check_unchanged
from registrar.upload.way import Way

FRUITLESS_ROUNDS = 3
"""So often in a row may the registry miss something after all was sent."""
PENDING_BYTES_PER_SECOND = 20_000_000
"""A store that copies or reads back slower than this, with nothing else to show, is taken to stand still."""


@dataclass(frozen=True, slots=True)
class UploadedBundle:
    """The bundle, and the sequence of the event that made it visible; 0: nothing changed."""

    artifact: Artifact
    event_sequence: int


def upload_bundle(
    connection: Connection,
    transfers: Connection,
    model: ModelRef,
    bundle: LocalBundle,
    *,
    way: Way,
    meter: Meter,
    report: UploadReport,
) -> UploadedBundle:
    """Send what the registry does not have of a bundle, and make it visible; goes on after whatever breaks on the way.

    Bytes go over `transfers`, all else over `connection`. Gives up when nothing moves for the connection's
    `timeout_seconds`, and leaves the session as it is: the same call goes on where this one ended.
    Errors: see CreateUpload, WriteUpload, CommitUpload; InvalidArgument FILE_CHANGED; Unimplemented when the registry
    has no upload sessions.
    """
    with ExitStack() as stack:
        line = Line(connection)
        stack.callback(line.close)
        session = UploadSession(line, model, bundle)
        upload = _Upload(connection, transfers, session, bundle, way, meter, report)
        try:
            artifact = upload.run()
        except BaseException as failure:
            if not connection.is_closed:
                add_note(failure, session)
            raise
        return UploadedBundle(artifact, upload.event_sequence)


class _Upload:
    """One upload of one bundle."""

    def __init__(
        self,
        connection: Connection,
        transfers: Connection,
        session: UploadSession,
        bundle: LocalBundle,
        way: Way,
        meter: Meter,
        report: UploadReport,
    ) -> None:
        self._connection = connection
        self._transfers = transfers
        self._session = session
        self._bundle = bundle
        self._way = way
        self._meter = meter
        self._report = report
        self._mismatched: set[str] = set()
        self._lock = threading.Lock()
        self.event_sequence = 0
        """Sequence of the commit; 0: somebody else made it."""

    def run(self) -> Artifact:
        """Send what is missing and commit, as often as it takes.

        Errors: see CreateUpload, WriteUpload, CommitUpload; InvalidArgument FILE_CHANGED.
        """
        snapshot = self._open()
        fruitless = 0
        while snapshot.artifact is None:
            before = self._report.sent_bytes - self._report.resent_bytes
            try:
                self._carry(list(snapshot.missing.values()))
                return self._commit()
            except RegistrarError as error:
                has_sent = self._report.sent_bytes - self._report.resent_bytes > before
                fruitless = 0 if has_sent else fruitless + 1
                snapshot = self._after(error, fruitless)
        return snapshot.artifact

    def _carry(self, missing: Sequence[MissingFile]) -> None:
        for way, files in self._way.share(missing):
            if files:
                self._carry_by(way, files)

    def _carry_by(self, way: Way, files: Sequence[MissingFile]) -> None:
        jobs = way.plan(files)
        with ExitStack() as stack:
            lanes = [
                way.lane(number, self._connection, self._transfers, self._session, self._bundle)
                for number in range(min(way.lanes, len(jobs)))
            ]
            for lane in lanes:
                stack.callback(lane.close)
            carry_all(self._journey(), lanes, jobs)

    def _open(self) -> Snapshot:
        snapshot = self._session.open()
        self._show(snapshot)
        skipped_bytes = self._bundle.size_bytes - snapshot.missing_bytes
        self._report.skipped_bytes = skipped_bytes
        self._meter.skip(skipped_bytes)
        return snapshot

    def _show(self, snapshot: Snapshot) -> None:
        self._report.upload_id = snapshot.upload_id
        self._report.expire_time = snapshot.expire_time
        self._report.total_bytes = self._bundle.size_bytes

    def _after(self, error: RegistrarError, fruitless: int) -> Snapshot:
        """What to do after a round that did not end in a bundle; raises what cannot be mended."""
        if fruitless > FRUITLESS_ROUNDS:
            raise error
        match error.reason:
            case "UPLOAD_NOT_FOUND":
                snapshot = self._session.open()
            case "DIGEST_MISMATCH":
                self._on_mismatch(error)
                snapshot = self._ask()
            case "UPLOAD_INCOMPLETE":
                snapshot = self._ask()
            case _:
                raise error
        self._show(snapshot)
        self._meter.set_done(self._bundle.size_bytes - snapshot.missing_bytes)
        return snapshot

    def _journey(self) -> Journey:
        return Journey(
            session=self._session,
            retry=self._connection.retry,
            timeout_seconds=self._connection.timeout_seconds,
            check_open=self._connection.check_open,
            on_mismatch=self._on_mismatch,
            meter=self._meter,
            report=self._report,
        )

    def _on_mismatch(self, error: RegistrarError) -> None:
        """Let a file be sent once more, unless it has changed here or that has been tried."""
        path = error.metadata.get("path", "")
        for file in self._bundle.files:
            if file.entry.path == path:
                check_unchanged(file)
        with self._lock:
            if path in self._mismatched:
                raise error
            self._mismatched.add(path)

    def _ask(self) -> Snapshot:
        patience = Patience(self._connection.timeout_seconds)
        return self._connection.attempts(lambda: self._session.ask(ASK_SECONDS), patience)

    def _commit(self) -> Artifact:
        """Ask for the bundle until the registry has copied and read back what it must; it may take its time over that."""
        timeout = self._connection.timeout_seconds
        patience = Patience(timeout)
        largest = max(file.entry.size_bytes for file in self._bundle.files)
        stillness = Patience(timeout + largest / PENDING_BYTES_PER_SECOND)
        waiting, failures = 0, 0
        while True:
            try:
                response = self._session.commit(patience.left)
            except grpc.RpcError as exc:
                error = error_from_rpc(exc)
                error.__cause__ = exc
            else:
                self.event_sequence = response.event_sequence
                return artifact_from_proto(response.artifact)
            self._connection.check_open()
            pause_seconds = self._connection.retry.delay(failures, error.retry_after)
            if error.reason == "UPLOAD_PENDING":
                patience.renew()
                failures = 0
                files = int(error.metadata.get("files", "0"))
                if files != waiting:
                    waiting = files
                    stillness.renew()
                self._meter.set_waiting(files)
            elif not (is_retryable(error) or is_broken(error)):
                raise error
            else:
                failures += 1
            if not (stillness.allows(pause_seconds) and patience.wait(pause_seconds)):
                raise error
