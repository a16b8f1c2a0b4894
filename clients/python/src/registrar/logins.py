"""Tokens of whoever has logged in: from the credentials file, refreshed by whichever process is the first to need it."""

from __future__ import annotations

import time

from registrar.credentials_file import CredentialsFile, Login
from registrar.errors import Unauthenticated, Unavailable
from registrar.tokens import RENEW_SECONDS, Tokens


def tokens_of_login(server: str, file: CredentialsFile | None = None) -> Tokens | None:
    """Tokens of the login at a server, `host:port`; None: nobody has logged in there. Errors: see CredentialsFile."""
    file = file or CredentialsFile()
    return None if file.read(server) is None else Tokens(_Source(file, server).fetch)


class _Source:
    def __init__(self, file: CredentialsFile, server: str) -> None:
        self._file = file
        self._server = server

    def fetch(self, refused: str) -> str:
        """An access token other than the refused one. Errors: Unauthenticated LOGIN_ENDED; Unavailable."""
        login = self._file.read(self._server)
        if login is None or not _is_fresh(login, refused):
            login = self._file.change(self._server, lambda found: self._renewed(found, refused))
        if login is None:
            raise self._ended()
        return login.access_token

    def _renewed(self, login: Login | None, refused: str) -> Login | None:
        # Looked at again under the lock: another process may just have done it.
        if login is None or _is_fresh(login, refused):
            return login
        is_valid_still = login.access_token != refused and (login.expire_time or 0) > time.time()
        if is_valid_still and not login.refresh_token:
            return login
        from registrar.oidc import refreshed

        try:
            return refreshed(login)
        except Unavailable:
            if is_valid_still:
                return login
            raise

    def _ended(self) -> Unauthenticated:
        return Unauthenticated(f"nobody is logged in at {self._server} any more", reason="LOGIN_ENDED")


def _is_fresh(login: Login, refused: str) -> bool:
    holds = login.expire_time is None or login.expire_time - time.time() > RENEW_SECONDS
    return holds and login.access_token != refused
