"""What a person's login asks of an OIDC provider: discovery, the device flow (RFC 8628), refresh, revocation (RFC 7009).

With the standard library's HTTP. No token is in the text of an error.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

from registrar.credentials_file import Login
from registrar.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    PermissionDenied,
    RegistrarError,
    Unauthenticated,
    Unavailable,
)
from registrar.tls import CA_VARIABLE, read_pem

HTTP_SECONDS = 10.0
"""How long one request may take."""
POLL_SECONDS = 5.0
"""How often to ask whether the person is done, where the provider does not say."""
SLOWER_SECONDS = 5.0
"""How much longer to wait after `slow_down`: RFC 8628, section 3.5."""

_ANSWER_BYTES = 1 << 20
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_LOOPBACK = re.compile(r"localhost|127\.[0-9.]+|::1")
_CODE = re.compile(r"[a-z_]{1,64}")


@dataclass(frozen=True, slots=True)
class Provider:
    """Where a provider takes what. An empty URL: it does not offer that."""

    issuer: str
    token_url: str
    device_url: str
    revocation_url: str


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """What the person has to do: open `url` and enter `user_code`, or open `complete_url` alone, before `expires_seconds`."""

    user_code: str
    url: str
    complete_url: str
    interval_seconds: float
    expires_seconds: float
    code: str = field(repr=False)


class OidcError(Exception):
    """The provider's own word for why it refuses, such as `authorization_pending`."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


def discover(issuer: str) -> Provider:
    """Read a provider's discovery document. Errors: Unavailable, FailedPrecondition PROVIDER_INVALID."""
    _check_url(issuer)
    document = _call(issuer.rstrip("/") + "/.well-known/openid-configuration")
    if document.get("issuer") != issuer:
        raise _invalid(f"the discovery document of {issuer} is of another issuer")
    names = ("token_endpoint", "device_authorization_endpoint", "revocation_endpoint")
    token, device, revocation = (str(document.get(name) or "") for name in names)
    if not token:
        raise _invalid(f"{issuer} has no token endpoint")
    for url in filter(None, (token, device, revocation)):
        _check_url(url)
    return Provider(issuer, token, device, revocation)


def begin(provider: Provider, client_id: str, scopes: Sequence[str], audience: str) -> DeviceCode:
    """Ask for a code for a person. Errors: Unavailable, FailedPrecondition LOGIN_REFUSED, LOGIN_NOT_OFFERED."""
    if not provider.device_url:
        raise FailedPrecondition(f"{provider.issuer} has no device flow", reason="LOGIN_NOT_OFFERED")
    form = {"client_id": client_id, "scope": " ".join(scopes)} | _resource(audience)
    try:
        answer = _call(provider.device_url, form)
        return DeviceCode(
            user_code=str(answer["user_code"]),
            url=str(answer["verification_uri"]),
            complete_url=str(answer.get("verification_uri_complete") or ""),
            interval_seconds=float(answer.get("interval", POLL_SECONDS)),
            expires_seconds=float(answer["expires_in"]),
            code=str(answer["device_code"]),
        )
    except OidcError as exc:
        raise FailedPrecondition(
            f"{provider.issuer} does not let this client log in: {exc.error}", reason="LOGIN_REFUSED"
        ) from None
    except (KeyError, TypeError, ValueError):
        raise _invalid(f"{provider.issuer} answers the device flow with something else") from None


def wait(
    provider: Provider,
    client_id: str,
    scopes: Sequence[str],
    audience: str,
    device: DeviceCode,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Login:
    """Ask until the person is done. Errors: DeadlineExceeded LOGIN_EXPIRED; PermissionDenied LOGIN_DENIED."""
    form = {"grant_type": _DEVICE_GRANT, "device_code": device.code, "client_id": client_id} | _resource(audience)
    interval_seconds = max(device.interval_seconds, 0.1)
    end = time.monotonic() + device.expires_seconds
    while time.monotonic() < end:
        sleep(interval_seconds)
        try:
            answer = _call(provider.token_url, form)
        except OidcError as exc:
            match exc.error:
                case "authorization_pending":
                    pass
                case "slow_down":
                    interval_seconds += SLOWER_SECONDS
                case "expired_token":
                    break
                case "access_denied":
                    raise PermissionDenied("the login was denied", reason="LOGIN_DENIED") from None
                case error:
                    raise FailedPrecondition(
                        f"{provider.issuer} ends the login: {error}", reason="LOGIN_REFUSED"
                    ) from None
        except Unavailable:
            interval_seconds += SLOWER_SECONDS  # as RFC 8628 asks of who got no answer
        else:
            return _login(answer, Login(provider.issuer, client_id, "", scopes=tuple(scopes), audience=audience))
    raise DeadlineExceeded("nobody entered the code in time", reason="LOGIN_EXPIRED")


def refreshed(login: Login) -> Login:
    """A login with a new access token. Errors: Unauthenticated LOGIN_ENDED; Unavailable."""
    if not login.refresh_token:
        raise Unauthenticated("the login has ended", reason="LOGIN_ENDED")
    form = {
        "grant_type": "refresh_token",
        "refresh_token": login.refresh_token,
        "client_id": login.client_id,
    } | _resource(login.audience)
    try:
        return _login(_call(discover(login.issuer).token_url, form), login)
    except OidcError as exc:
        raise Unauthenticated(f"the login has ended: {exc.error}", reason="LOGIN_ENDED") from None


def revoke(login: Login) -> bool:
    """Have the provider forget a login; answers whether it said so. Errors: none."""
    try:
        url = discover(login.issuer).revocation_url
        if not (url and login.refresh_token):
            return False
        form = {"token": login.refresh_token, "token_type_hint": "refresh_token", "client_id": login.client_id}
        _call(url, form, is_answered=False)
    except (OidcError, RegistrarError):
        return False
    return True


def _login(answer: Mapping[str, Any], before: Login) -> Login:
    access_token = answer.get("access_token")
    refresh_token = answer.get("refresh_token") or before.refresh_token
    seconds = answer.get("expires_in")
    if not (isinstance(access_token, str) and access_token and isinstance(refresh_token, str)):
        raise _invalid(f"{before.issuer} gives no access token")
    return Login(
        issuer=before.issuer,
        client_id=before.client_id,
        access_token=access_token,
        expire_time=time.time() + float(seconds) if isinstance(seconds, int | float) else None,
        refresh_token=refresh_token,
        scopes=before.scopes,
        audience=before.audience,
    )


def _resource(audience: str) -> dict[str, str]:
    # RFC 8707 lets a resource be an absolute URI only, and providers refuse others.
    return {"resource": audience} if urlsplit(audience).scheme else {}


def _call(url: str, form: Mapping[str, str] | None = None, *, is_answered: bool = True) -> dict[str, Any]:
    """One request and its JSON object. Errors: OidcError; Unavailable; FailedPrecondition PROVIDER_INVALID."""
    data = None if form is None else urlencode(form).encode()
    request = Request(url, data, headers={"Accept": "application/json"})  # noqa: S310  (_check_url saw the scheme)
    try:
        with _opener(url).open(request, timeout=HTTP_SECONDS) as response:
            content = response.read(_ANSWER_BYTES)
    except HTTPError as exc:
        with exc:
            raise _refusal(url, exc) from None
    except (OSError, HTTPException) as exc:
        problem = getattr(exc, "reason", None) or exc
        raise Unavailable(f"{_place(url)} does not answer: {problem}", reason="IDENTITY_PROVIDER_UNAVAILABLE") from exc
    if not is_answered:
        return {}
    try:
        return _object(content)
    except ValueError:
        raise _invalid(f"{_place(url)} answers with something else than JSON") from None


def _refusal(url: str, answer: HTTPError) -> Exception:
    if answer.code >= 500 or answer.code == 429:
        return Unavailable(f"{_place(url)} answers with HTTP {answer.code}", reason="IDENTITY_PROVIDER_UNAVAILABLE")
    try:
        error = str(_object(answer.read(_ANSWER_BYTES)).get("error"))
    except (ValueError, OSError, HTTPException):
        error = ""
    if not _CODE.fullmatch(error):
        return _invalid(f"{_place(url)} answers with HTTP {answer.code}")
    return OidcError(error)


def _object(content: bytes) -> dict[str, Any]:
    value = json.loads(content)
    if not isinstance(value, dict):
        raise ValueError("no object")  # noqa: TRY004  (of whoever sent it)
    return value


class _NoRedirects(HTTPRedirectHandler):
    """A redirect could carry a token to somebody else."""

    def redirect_request(self, *_arguments: object) -> None:
        return None


def _opener(url: str) -> OpenerDirector:
    context = ssl.create_default_context()
    if path := os.environ.get(CA_VARIABLE):
        context.load_verify_locations(cadata=read_pem(path, "CERTIFICATE").decode())
    handlers = [_NoRedirects(), HTTPSHandler(context=context)]
    if _is_loopback(url):
        return build_opener(*handlers, ProxyHandler({}))
    return build_opener(*handlers)


def _check_url(url: str) -> None:
    if urlsplit(url).scheme != "https" and not (urlsplit(url).scheme == "http" and _is_loopback(url)):
        raise _invalid(f"{_place(url)} is no https:// address")


def _is_loopback(url: str) -> bool:
    return bool(_LOOPBACK.fullmatch(urlsplit(url).hostname or ""))


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _invalid(problem: str) -> FailedPrecondition:
    return FailedPrecondition(problem, reason="PROVIDER_INVALID")
