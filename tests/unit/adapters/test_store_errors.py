"""How what an object store says becomes an error of ours."""

from __future__ import annotations

import pytest
import urllib3
from minio.error import InvalidResponseError, S3Error, ServerError

from registrar_server.adapters.minio_bundles.errors import ErrorTranslator
from registrar_server.domain.errors import Reason, RegistrarError


def s3_error(code: str, status: int, message: str = "words of the store") -> S3Error:
    response = urllib3.HTTPResponse(status=status)
    return S3Error(response, code, message, "/bundles/secret-path", "request", "host")


@pytest.mark.parametrize(
    "told",
    [
        s3_error("XMinioStorageFull", 507),
        s3_error("XMinioAdminBucketQuotaExceeded", 400),
        s3_error("QuotaExceeded", 403),
        s3_error("InternalError", 500, "We encountered an internal error: cause(no space left on device)"),
        InvalidResponseError(507, "text/html", "<h1>Insufficient Storage</h1>"),
        ServerError("server failed with HTTP status code 507", 507),
    ],
)
def test_a_store_without_room_is_full(told: Exception) -> None:
    assert ErrorTranslator().translate(told, "put_object", "a").reason is Reason.STORE_FULL


@pytest.mark.parametrize(
    "told",
    [
        s3_error("SlowDown", 503),
        s3_error("AccessDenied", 403),
        s3_error("NoSuchBucket", 404),
        InvalidResponseError(502, "text/html", "<h1>Bad Gateway</h1>"),
        urllib3.exceptions.ProtocolError("broken"),
        ConnectionResetError("reset"),
        ValueError("not enough values to unpack"),
    ],
)
def test_any_other_failure_is_an_unavailable_store_and_keeps_its_words_to_itself(told: Exception) -> None:
    translated = ErrorTranslator()
    with pytest.raises(RegistrarError) as refused, translated("put_object", "a"):
        raise told
    assert refused.value.reason is Reason.STORE_UNAVAILABLE
    assert refused.value.__cause__ is told
    assert refused.value.retry_after_seconds is not None
    assert not any(word in str(refused.value) for word in ("words", "secret-path", "<h1>", "reset", "unpack"))


def test_a_store_that_cannot_say_so_is_asked_before_and_after_a_write() -> None:
    translated = ErrorTranslator(is_full=lambda: True)
    with pytest.raises(RegistrarError) as refused:
        translated.require_room()
    assert refused.value.reason is Reason.STORE_FULL
    stalled = urllib3.exceptions.ReadTimeoutError(urllib3.HTTPConnectionPool("host"), "/", "late")
    assert translated.translate(stalled, "put_part", "a").reason is Reason.STORE_FULL
    assert translated.translate(stalled, "get_object", "a").reason is Reason.STORE_UNAVAILABLE


def test_our_own_errors_pass_unchanged() -> None:
    ours = RegistrarError(Reason.DIGEST_MISMATCH, "ours")
    with pytest.raises(RegistrarError) as refused, ErrorTranslator()("put_object"):
        raise ours
    assert refused.value is ours
