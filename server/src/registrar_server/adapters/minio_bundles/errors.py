"""What the store says, as errors of ours. The store's own words go to the log only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final
from xml.etree.ElementTree import ParseError

import structlog
import urllib3
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from registrar_server.domain.errors import Reason, RegistrarError

BACKEND_ERRORS: Final = (MinioException, urllib3.exceptions.HTTPError, OSError, ValueError, ParseError)
"""Everything the client raises: minio's own, urllib3's, and ValueError or ParseError for answers it cannot read."""

ABSENT_CODES: Final = frozenset({"NoSuchKey", "NoSuchVersion", "ResourceNotFound"})
CONDITION_CODES: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
UPLOAD_GONE_CODE: Final = "NoSuchUpload"
REFUSED_PART_CODES: Final = frozenset({"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "MalformedXML"})
"""What completing a multipart upload answers when a part is absent, or is not what its etag says."""
_FULL_CODES: Final = frozenset(
    {
        "XMinioStorageFull",
        "XMinioObjectStorageFull",
        "XMinioAdminBucketQuotaExceeded",
        "QuotaExceeded",
        "InsufficientStorage",
        "InsufficientCapacity",
    }
)
_WRITES: Final = frozenset({"put_object", "create_upload", "put_part", "complete_upload", "copy_object", "copy_part"})
_HTTP_INSUFFICIENT_STORAGE: Final = 507
_DISK_FULL: Final = "no space left on device"
"""MinIO's text in a plain 500, before its own check of free room takes notice and answers XMinioStorageFull."""
_RETRY_AFTER_SECONDS: Final = 1.0

_log = structlog.get_logger()


class ErrorTranslator:
    """Turns what the client raises into `RegistrarError` and logs it.

    `is_full` answers whether the store has run out of room, for stores that do not say it: SeaweedFS answers
    a plain 500 or stalls.
    """

    def __init__(self, is_full: Callable[[], bool] | None = None) -> None:
        self._is_full = is_full or (lambda: False)

    def require_room(self) -> None:
        """STORE_FULL when the store is known to be full, before it is left to find out by itself."""
        if self._is_full():
            _log.warning("store.full")
            raise _store_full()

    @contextmanager
    def __call__(self, operation: str, key: str = "") -> Iterator[None]:
        """Translate whatever the block raises; `operation` and `key` are for the log."""
        try:
            yield
        except BACKEND_ERRORS as exc:
            raise self.translate(exc, operation, key) from exc

    def translate(self, exc: Exception, operation: str, key: str) -> RegistrarError:
        """The error to raise in place of `exc`: STORE_FULL or STORE_UNAVAILABLE."""
        code, status = code_of(exc), _status_of(exc)
        is_full = code in _FULL_CODES or status == _HTTP_INSUFFICIENT_STORAGE or _DISK_FULL in str(exc)
        is_full = is_full or (operation in _WRITES and self._is_full())
        _log.warning(
            "store.failed",
            operation=operation,
            key=key,
            error=type(exc).__name__,
            code=code,
            http_status=status,
            detail=str(exc)[:300],
            is_full=is_full,
        )
        if is_full:
            return _store_full()
        return RegistrarError(
            Reason.STORE_UNAVAILABLE,
            "the object store does not answer or refuses the request",
            retry_after_seconds=_RETRY_AFTER_SECONDS,
        )


def _store_full() -> RegistrarError:
    return RegistrarError(Reason.STORE_FULL, "the object store has no room left")


def code_of(exc: Exception) -> str | None:
    """The S3 error code, such as `NoSuchKey`; None when the failure has none."""
    return exc.code if isinstance(exc, S3Error) else None


def _status_of(exc: Exception) -> int | None:
    if isinstance(exc, S3Error):
        return exc.response.status
    if isinstance(exc, ServerError):
        return exc.status_code
    if isinstance(exc, InvalidResponseError):
        return exc._code  # noqa: SLF001  (the class has no public name for it)
    return None
