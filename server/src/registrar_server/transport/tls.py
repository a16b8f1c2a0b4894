"""TLS of the server: certificates that are replaced while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import cast

import grpc
import structlog

from registrar_server.application.ports.clock import Clock, SystemClock
from registrar_server.certificates import CertificateError, CertificatePair, read_authorities, read_pair

_log = structlog.get_logger()

_ENDS_SOON = timedelta(days=30)
_WARN_EVERY = timedelta(days=1)

_Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files: the server's certificate with its chain, its key, who signs client certificates (or empty)."""

    certificate: str
    key: str
    client_ca: str = ""


@dataclass(frozen=True, slots=True)
class _Taken:
    number: int
    configuration: grpc.ServerCertificateConfiguration
    pair: CertificatePair


class Certificates:
    """What the files hold, with new content taken when all of it can be used. Thread-safe.

    Connections keep the certificate that they began with. The constructor raises `CertificateError` for files that cannot
    be used; later ones leave what was there before in force.
    """

    def __init__(self, files: TlsFiles, clock: Clock | None = None, look_seconds: float = 1.0) -> None:
        self._files = files
        self._clock = clock or SystemClock()
        self._look_seconds = look_seconds
        self._lock = Lock()
        self._looked_at = time.monotonic()
        self._warned_at: datetime | None = None
        self._refused: tuple[_Stamp, str] | None = None
        self._stamp = self._stamp_files()
        self._taken = self._read(1)
        self._warn_of_end()

    def credentials(self, *, is_client_certificate_required: bool = False) -> grpc.ServerCredentials:
        """For a port; each needs its own. Where a client certificate is required, none other gets through the handshake."""
        return grpc.dynamic_ssl_server_credentials(
            self._taken.configuration,
            # The stubs do not say that None stands for: no change.
            cast("Callable[[], grpc.ServerCertificateConfiguration]", self._fetcher()),
            is_client_certificate_required,
        )

    def look(self) -> None:
        """Take what is new, at most once a second; to be called now and then, and before each handshake."""
        with self._lock:
            if time.monotonic() < self._looked_at + self._look_seconds:
                return
            self._looked_at = time.monotonic()
            try:
                self._take_what_is_new()
            except CertificateError as exc:
                self._refuse(exc)
            self._warn_of_end()

    def _fetcher(self) -> Callable[[], grpc.ServerCertificateConfiguration | None]:
        """What gRPC calls before each handshake: the configuration where it is new to that port, else None."""
        served = self._taken.number

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal served
            self.look()
            taken = self._taken
            if taken.number == served:
                return None
            served = taken.number
            return taken.configuration

        return fetch

    def _take_what_is_new(self) -> None:
        # Before they are read: what is written in between changes the stamp, and is read the next time.
        stamp = self._stamp_files()
        if stamp == self._stamp:
            return
        taken = self._read(self._taken.number + 1)
        self._stamp, self._taken = stamp, taken
        self._refused = self._warned_at = None
        pair = taken.pair
        _log.info("tls.reloaded", subject=pair.subject, serial=pair.serial, not_after=pair.end_time.isoformat())

    def _refuse(self, error: CertificateError) -> None:
        """Log it once for each change; the files are read again all the same, since a certificate may be of tomorrow."""
        refused = (self._stamp_or_nothing(), str(error))
        if refused != self._refused:
            self._refused = refused
            _log.warning("tls.reload_refused", file=error.path, problem=error.problem)

    def _read(self, number: int) -> _Taken:
        files, now = self._files, self._clock.now()
        pair = read_pair(files.certificate, files.key, now)
        authorities = read_authorities(files.client_ca, now) if files.client_ca else None
        configuration = grpc.ssl_server_certificate_configuration([(pair.key, pair.chain)], authorities)
        return _Taken(number, configuration, pair)

    def _stamp_files(self) -> _Stamp:
        """What changes when one of the files does, also when it is a link that leads elsewhere now."""
        stamps = []
        for path in filter(None, (self._files.certificate, self._files.key, self._files.client_ca)):
            try:
                found = Path(path).stat()
            except OSError as exc:
                raise CertificateError(path, f"cannot be read: {exc.strerror}") from exc
            stamps.append((found.st_ino, found.st_size, found.st_mtime_ns))
        return tuple(stamps)

    def _stamp_or_nothing(self) -> _Stamp:
        try:
            return self._stamp_files()
        except CertificateError:
            return ()

    def _warn_of_end(self) -> None:
        now, pair = self._clock.now(), self._taken.pair
        is_known = self._warned_at is not None and now - self._warned_at < _WARN_EVERY
        if is_known or pair.end_time - now > _ENDS_SOON:
            return
        self._warned_at = now
        left = max(0, (pair.end_time - now).days)
        _log.warning("tls.certificate_ends", subject=pair.subject, not_after=pair.end_time.isoformat(), days_left=left)
