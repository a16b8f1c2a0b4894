"""Several lanes that carry the jobs of an upload at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from registrar.upload.carriage import Carriage, Journey, NoSlotError
from registrar.upload.lane import Lane
from registrar.upload.plan import Job

CHECK_SECONDS = 0.5
"""How often it is looked whether a lane stands still."""


def carry_all(journey: Journey, lanes: Sequence[Lane], jobs: Sequence[Job]) -> None:
    """Send all jobs; the first failure that is final ends them all, as does Ctrl-C.

    Who finds no free slot leaves the job to the others and comes again later. Errors: see `Carriage.run`.
    """
    crew = _Crew(journey, jobs)
    executor = ThreadPoolExecutor(max(1, len(lanes)), thread_name_prefix="registrar-push")
    try:
        running = {executor.submit(crew.work, lane) for lane in lanes}
        while running:
            done, running = wait(running, timeout=CHECK_SECONDS, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
            journey.check_open()
            for lane in lanes:
                lane.check()
    finally:
        crew.stop()
        for lane in lanes:
            lane.cancel()
        executor.shutdown(wait=True, cancel_futures=True)


class _Crew:
    """Who works through the jobs."""

    def __init__(self, journey: Journey, jobs: Sequence[Job]) -> None:
        self._journey = journey
        self._queue = _Queue(jobs)

    def work(self, lane: Lane) -> None:
        """Take jobs until there will be no more."""
        refusals = 0
        while (job := self._queue.take()) is not None:
            try:
                Carriage(self._journey, lane, job).run()
            except NoSlotError as refusal:
                self._queue.give_back(refusal.job)
                self._journey.wait(refusals, refusal.error)
                refusals += 1
            else:
                self._queue.done()
                refusals = 0
        self._journey.over.set()  # who waits for a slot need not any more

    def stop(self) -> None:
        """End all waiting, and let nobody begin."""
        self._journey.over.set()
        self._queue.stop()


class _Queue:
    """Jobs that wait. Over when none waits and none is under way: one that is may come back."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = deque(jobs)
        self._under_way = 0
        self._is_stopped = False
        self._changed = threading.Condition()

    def take(self) -> Job | None:
        """The next job; None: there will be none."""
        with self._changed:
            while not self._jobs and self._under_way and not self._is_stopped:
                self._changed.wait()
            if not self._jobs or self._is_stopped:
                return None
            self._under_way += 1
            return self._jobs.popleft()

    def give_back(self, job: Job) -> None:
        """Leave a job that was taken to another."""
        with self._changed:
            self._jobs.appendleft(job)
            self._under_way -= 1
            self._changed.notify_all()

    def done(self) -> None:
        """A job that was taken is at its end."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Give out no more jobs."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
