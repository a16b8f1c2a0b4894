"""The loops of the background process: registrations, mirror, uploads, clearing, tenants, exports, cards, each in its own thread.

A slow mirror must not hold up registrations, so they share nothing but the wake-up.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

import structlog

from registrar_server.application.audit_export import AuditExporting
from registrar_server.application.cards.storing import CardStoring
from registrar_server.application.clearing import Clearing
from registrar_server.application.mirroring import Mirroring
from registrar_server.application.ports.clock import Clock
from registrar_server.application.ports.database import Database, Transaction
from registrar_server.application.provisioning import Provisioning
from registrar_server.application.registering import Registering
from registrar_server.application.upload_finishing import UploadFinishing
from registrar_server.domain.errors import RegistrarError

_log = structlog.get_logger()


Work = TypeVar("Work")

_IDLE_SECONDS = 1.0
"""How often a loop looks for itself: what another machine committed wakes nobody here."""
_CLEARING_SECONDS = 60.0
_EXPORTING_SECONDS = 5.0
_CARDS_SECONDS = 5.0
_AT_ONCE = 4
_GATHERING_SECONDS = 0.1
"""How long the mirror lets changes come together: what follows each other within that time is written to MLflow once."""


class Leasing(Protocol[Work]):
    """Something that takes tasks and works on them."""

    def lease(self, limit: int) -> Sequence[Work]:
        """Take tasks that are due."""

    def work(self, task: Work) -> None:
        """Work on one. Never raises."""


_Step = Callable[[threading.Event], bool]
"""Does a piece of work, says whether there was any, and sets the event when there may be more before long."""


@dataclass(slots=True)
class _Loop:
    """One thread with what it does."""

    name: str
    step: _Step
    idle_seconds: float
    wanted: threading.Event


class Background:
    """Runs the loops until stopped."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        registering: Registering,
        mirroring: Mirroring,
        finishing: UploadFinishing,
        clearing: Clearing,
        provisioning: Provisioning,
        exporting: AuditExporting | None = None,
        card_storing: CardStoring | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self.rounds: Counter[str] = Counter()
        """Rounds that found work so far, by loop."""
        self.failures: Counter[tuple[str, str]] = Counter()
        """Rounds that failed so far, by loop and reason; what is worked on counts its failures itself."""
        self._is_stopping = threading.Event()
        self._pool = ThreadPoolExecutor(3 * _AT_ONCE, thread_name_prefix="background")
        self._running: list[dict[str, Future[None]]] = []
        self._loops = [
            self._loop(
                "registering",
                self._leased(registering, lambda t: t.registrations.is_any_due, lambda task: task.version_uid),
                _IDLE_SECONDS,
            ),
            self._loop(
                "mirroring",
                self._leased(
                    mirroring,
                    lambda t: t.mirror.is_any_due,
                    lambda task: task.model_uid,
                    gathering_seconds=_GATHERING_SECONDS,
                ),
                _IDLE_SECONDS,
            ),
            self._loop(
                "finishing",
                self._leased(
                    finishing,
                    lambda t: t.uploads.is_any_due,
                    lambda task: f"{task[0].session.uid}:{task[0].file.index}",
                ),
                _IDLE_SECONDS,
            ),
            self._loop("clearing", lambda _: clearing.work() > 0, _CLEARING_SECONDS),
            self._loop("provisioning", lambda _: provisioning.work(), _CLEARING_SECONDS),
        ]
        if exporting is not None:
            self._loops.append(self._loop("exporting", lambda _: exporting.work(), _EXPORTING_SECONDS))
        if card_storing is not None:
            self._loops.append(self._loop("cards", lambda _: card_storing.work(), _CARDS_SECONDS))
        self._threads = [
            threading.Thread(target=self._run, args=(loop,), name=loop.name, daemon=True) for loop in self._loops
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """There is work."""
        for loop in self._loops:
            loop.wanted.set()

    def stop(self, grace_seconds: float) -> None:
        """Take no more work and end what is under way, as far as the grace allows; the rest is taken up again later."""
        self._is_stopping.set()
        for loop in self._loops:
            loop.wanted.set()
        deadline = time.monotonic() + grace_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        # Not `shutdown(wait=True)`: that has no end of its own.
        self._pool.shutdown(wait=False, cancel_futures=True)
        under_way = [task for running in self._running for task in running.copy().values()]
        wait(under_way, timeout=max(0.0, deadline - time.monotonic()))

    def _loop(self, name: str, step: _Step, idle_seconds: float) -> _Loop:
        return _Loop(name, step, idle_seconds, threading.Event())

    def _run(self, loop: _Loop) -> None:
        while not self._is_stopping.is_set():
            loop.wanted.clear()
            if not self._step(loop):
                loop.wanted.wait(loop.idle_seconds)

    def _step(self, loop: _Loop) -> bool:
        try:
            found = loop.step(loop.wanted)
        except RegistrarError as exc:
            self.failures[loop.name, exc.reason.value] += 1
            _log.warning("background.failed", loop=loop.name, reason=exc.reason.value)
        except Exception:  # noqa: BLE001  (a loop must outlive what nobody expected)
            self.failures[loop.name, "UNEXPECTED"] += 1
            _log.exception("background.unexpected", loop=loop.name)
        else:
            self.rounds[loop.name] += int(found)
            return found
        return False

    def _leased(
        self,
        leasing: Leasing[Work],
        is_any_due: Callable[[Transaction], Callable[[datetime], bool]],
        uid: Callable[[Work], str],
        *,
        gathering_seconds: float = 0.0,
    ) -> _Step:
        """Look without a lock; if something is due, take as much as there are places and work on it side by side.

        A slow task (a run's files may be large) keeps its own place only. `gathering_seconds`: who has had nothing to do
        waits so long before it begins.
        """
        running: dict[str, Future[None]] = {}
        self._running.append(running)

        def begin(task: Work, wanted: threading.Event) -> None:
            if self._is_stopping.is_set():
                # Its lease ends with this process.
                return
            running[uid(task)] = started = self._pool.submit(leasing.work, task)
            # Its end frees a place, and its model for the next.
            started.add_done_callback(lambda _: wanted.set())

        def step(wanted: threading.Event) -> bool:
            for done in [key for key, task in list(running.items()) if task.done()]:
                del running[done]
            free = _AT_ONCE - len(running)
            if not free:
                return False
            with self._database.reading() as transaction:
                if not is_any_due(transaction)(self._clock.now()):
                    return False
            if gathering_seconds and not running:
                self._is_stopping.wait(gathering_seconds)
            tasks = leasing.lease(free)
            for task in tasks:
                before = running.get(uid(task))
                if before is None:
                    begin(task, wanted)
                else:
                    # What went before is about to end (its commit is what made this one due), or so slow that its
                    # lease ran out. Either way this one follows it: a lease that nobody works on blocks its model.
                    before.add_done_callback(lambda _, task=task: begin(task, wanted))  # type: ignore[misc]
            return bool(tasks)

        return step
