"""The file that `registrar login` keeps logins in, one for each server. Nobody but its owner may read it."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from registrar.errors import FailedPrecondition

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Login:
    """What a provider gave for one server. Tokens are secrets, so they are not shown. Times are seconds since 1970."""

    issuer: str
    client_id: str
    access_token: str = field(repr=False)
    expire_time: float | None = None
    """When the access token ends; None: the provider did not say."""
    refresh_token: str = field(default="", repr=False)
    """Empty: the provider gave none, and the login ends with the access token."""
    scopes: tuple[str, ...] = ()
    audience: str = ""


def credentials_path() -> Path:
    """`$XDG_CONFIG_HOME/registrar/credentials.json`, by default below `~/.config`."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "registrar" / "credentials.json"


class CredentialsFile:
    """Logins by server address. Written as a whole and renamed, so that a reader sees one state or the next.

    Errors of all methods: FailedPrecondition CREDENTIALS_FILE_EXPOSED when others can read it, CREDENTIALS_FILE_CORRUPT,
    CREDENTIALS_FILE_UNUSABLE when the system does not let it be read or written.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or credentials_path()

    def __str__(self) -> str:
        return str(self._path)

    def read(self, server: str) -> Login | None:
        """The login of a server; None: there is none."""
        return self._read_all().get(server)

    def change(self, server: str, replace: Callable[[Login | None], Login | None]) -> Login | None:
        """Put in what `replace` makes of a server's login (None: nothing), and answer it.

        Other processes that would change the file wait meanwhile.
        """
        with self._told("written"):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            logins = self._read_all()
            before = logins.pop(server, None)
            after = replace(before)
            if after is not None:
                logins[server] = after
            if after != before:
                self._write_all(logins)
            return after

    def _read_all(self) -> dict[str, Login]:
        with self._told("read"):
            try:
                # Not through a link, which might lead to a file that others can change.
                descriptor = os.open(self._path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            except FileNotFoundError:
                return {}
            with os.fdopen(descriptor, "rb") as file:
                self._check_private(os.fstat(file.fileno()))
                content = file.read()
        try:
            return _parse(content)
        except (AttributeError, KeyError, TypeError, ValueError):
            # Without the cause: its text may quote a token.
            raise FailedPrecondition(
                f"{self._path} is not as `registrar login` writes it: remove it and log in again",
                reason="CREDENTIALS_FILE_CORRUPT",
            ) from None

    def _check_private(self, status: os.stat_result) -> None:
        if sys.platform == "win32":
            return
        if status.st_uid != os.geteuid():
            problem = "belongs to somebody else"
        elif stat.S_IMODE(status.st_mode) & 0o077:
            problem = f"can be read by others; `chmod 600 {self._path}` keeps them out"
        else:
            return
        raise FailedPrecondition(f"{self._path} {problem}", reason="CREDENTIALS_FILE_EXPOSED")

    def _write_all(self, logins: dict[str, Login]) -> None:
        document = {"format": _FORMAT, "servers": {server: asdict(login) for server, login in sorted(logins.items())}}
        draft = self._path.with_name(f".{self._path.name}.{os.urandom(8).hex()}")
        with self._told("written"):
            try:
                descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    json.dump(document, file, indent=2)
                    file.flush()
                    os.fsync(file.fileno())
                draft.replace(self._path)
            except BaseException:
                with suppress(OSError):
                    draft.unlink()
                raise

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise FailedPrecondition(
                f"{self._path} cannot be {what}: {exc.strerror}", reason="CREDENTIALS_FILE_UNUSABLE"
            ) from exc

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """A lock on a file beside it: the file itself is replaced. The system releases it when the process dies."""
        with self._told("locked"):
            descriptor = os.open(self._path.with_name("credentials.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "rb") as file:
            with self._told("locked"):
                _lock(file.fileno())
            yield


def _parse(content: bytes) -> dict[str, Login]:
    document = json.loads(content)
    if document["format"] != _FORMAT:
        raise ValueError(document["format"])
    return {str(server): _login(entry) for server, entry in document["servers"].items()}


def _login(entry: dict[str, object]) -> Login:
    expire_time, scopes = entry["expire_time"], entry["scopes"]
    if not isinstance(expire_time, int | float | None) or not isinstance(scopes, list):
        raise TypeError
    texts = {name: entry[name] for name in ("issuer", "client_id", "access_token", "refresh_token", "audience")}
    if not all(isinstance(text, str) for text in (*texts.values(), *scopes)):
        raise TypeError
    return Login(
        issuer=str(texts["issuer"]),
        client_id=str(texts["client_id"]),
        access_token=str(texts["access_token"]),
        expire_time=None if expire_time is None else float(expire_time),
        refresh_token=str(texts["refresh_token"]),
        scopes=tuple(map(str, scopes)),
        audience=str(texts["audience"]),
    )


if sys.platform == "win32":

    def _lock(descriptor: int) -> None:
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)

else:

    def _lock(descriptor: int) -> None:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)
