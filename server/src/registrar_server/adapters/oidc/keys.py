"""The provider's keys as they are known here: kept, fetched anew when needed, and not too often."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import structlog

from registrar_server.adapters.oidc.key_set import KeySet
from registrar_server.adapters.oidc.provider import ProviderUnreachable
from registrar_server.domain.errors import Reason, RegistrarError

_STALE_SECONDS: Final = 600.0
_DROPPED_SECONDS: Final = 24 * 3600.0
_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 60.0
_WAIT_SECONDS: Final = 5.0
_WAITING_AT_MOST: Final = 8

_log = structlog.get_logger(__name__)


class ProviderKeys:
    """Thread-safe. Keys are fetched by one thread at a time, which is not the caller's.

    They are fetched when a caller needs one that is not known, and when they are older than ten minutes. A fetch that
    brings nothing new is followed by a pause, of 1 s at first and twice as long each time up to 60 s: bad tokens never
    hammer the provider, and at worst they hold back a new key for that long. While the provider does not answer, the
    keys of its last answer go on serving for 24 hours.
    """

    def __init__(self, issuer: str, fetch: Callable[[], KeySet], monotonic: Callable[[], float]) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._keys = KeySet()
        self._generation = 0
        self._answered_at: float | None = None
        self._is_failing = False
        self._pause = 0.0
        self._paused_at = float("-inf")
        self._running: threading.Event | None = None
        self._places = threading.Semaphore(_WAITING_AT_MOST)

    @property
    def generation(self) -> int:
        """Grows with every change of the keys. Looking at it keeps them fresh, too."""
        self._look()
        return self._generation

    def current(self) -> KeySet:
        """The keys that are known. Never waits."""
        self._look()
        return self._keys

    def newer_than(self, known: KeySet) -> KeySet:
        """The keys after a fetch, or `known` when the provider was asked just now and has no others.

        IDENTITY_PROVIDER_UNAVAILABLE when it does not answer, has no keys, or when too many callers wait for it.
        """
        with self._lock:
            if self._keys is not known:
                return self._keys
            running = self._start()
        is_over = running is None or self._await(running)
        with self._lock:
            if self._keys is not known:
                return self._keys
            if self._is_failing or not known or not is_over:
                raise self._unavailable()
            return known

    def _await(self, running: threading.Event) -> bool:
        """Whether the fetch is over. At once False when others hold as many threads with waiting as may be held."""
        if not self._places.acquire(blocking=False):
            return False
        try:
            return running.wait(_WAIT_SECONDS)
        finally:
            self._places.release()

    def _look(self) -> None:
        """Fetch keys that are stale, drop those that are too old. Without the lock while they are fresh."""
        if self._age() <= _STALE_SECONDS:
            return
        with self._lock:
            if self._age() > _STALE_SECONDS:
                self._start()
            if self._age() > _DROPPED_SECONDS and self._keys:
                self._replace(KeySet())

    def _age(self) -> float:
        """Since the provider's last answer; before the first there is nothing that could be too old."""
        return 0.0 if self._answered_at is None else self._monotonic() - self._answered_at

    def _start(self) -> threading.Event | None:
        """The fetch under way, begun now if none is and the pause is over; None during the pause."""
        if self._running is not None:
            return self._running
        since = self._monotonic() - self._paused_at
        if since < self._pause:
            return None
        if since > 2 * _LONGEST_PAUSE_SECONDS:
            self._pause = 0.0
        running = threading.Event()
        threading.Thread(target=self._run, args=(running,), name="oidc-keys", daemon=True).start()
        self._running = running
        return running

    def _run(self, running: threading.Event) -> None:
        try:
            self._take(self._fetch())
        except ProviderUnreachable as exc:
            self._fail(str(exc))
        except Exception:  # noqa: BLE001  (whoever waits must be let go by what nobody expected, too)
            _log.exception("oidc.fetch_failed", issuer=self._issuer)
            self._fail("unexpected error")
        finally:
            running.set()

    def _take(self, fetched: KeySet) -> None:
        with self._lock:
            self._running = None
            self._is_failing = False
            self._answered_at = self._monotonic()
            is_new = fetched.keys != self._keys.keys
            self._rest(is_fruitful=is_new)
            if is_new:
                self._replace(fetched)

    def _fail(self, problem: str) -> None:
        with self._lock:
            self._running = None
            self._is_failing = True
            self._rest(is_fruitful=False)
            pause = self._pause
        _log.warning("oidc.provider_unreachable", issuer=self._issuer, problem=problem, retry_seconds=pause)

    def _rest(self, *, is_fruitful: bool) -> None:
        longer = 0.0 if is_fruitful else 2 * self._pause
        self._pause = min(max(longer, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
        self._paused_at = self._monotonic()

    def _replace(self, keys: KeySet) -> None:
        added, withdrawn = keys.keys - self._keys.keys, self._keys.keys - keys.keys
        self._keys = keys
        self._generation += 1
        _log.info(
            "oidc.keys_changed",
            issuer=self._issuer,
            added=sorted(key.id or "" for key in added),
            withdrawn=sorted(key.id or "" for key in withdrawn),
        )

    def _unavailable(self) -> RegistrarError:
        left = self._paused_at + self._pause - self._monotonic()
        return RegistrarError(
            Reason.IDENTITY_PROVIDER_UNAVAILABLE,
            "the identity provider does not answer, and the key of this token is not known yet",
            retry_after_seconds=max(left, _FIRST_PAUSE_SECONDS),
        )
