"""Progress for people: one bar on a terminal, over all files."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Column
from rich.text import Text

from registrar.amounts import size
from registrar.progress import Action, Progress

_LABELS = {Action.HASH: "Hashing", Action.PUSH: "Pushing", Action.PULL: "Pulling"}
_TEXT_COLUMNS = 56
"""What stands beside the bar takes no more than that, the skipped bytes left out."""
_SKIPPED_COLUMNS = 26
_BAR_COLUMNS = 40


class Bar:
    """A bar on stderr; it is gone when the action is over, and there again when another begins."""

    def __init__(self) -> None:
        self._rich: RichProgress | None = None
        self._shown: tuple[Action, int, bool] | None = None
        self._task = TaskID(0)

    def show(self, progress: Progress) -> None:
        """See Display."""
        if self._rich is None:
            self._rich = _progress()
            self._rich.start()
        # A task of its own for each of these: what was skipped must not count as speed, nor waiting slow it down.
        if self._shown != (shown := (progress.action, progress.skipped_bytes, progress.waiting_files > 0)):
            self._shown = shown
            self._begin(self._rich, progress)
        self._rich.update(self._task, description=_label(progress), completed=progress.done_bytes)

    def close(self) -> None:
        """See Display."""
        if self._rich is not None:
            self._rich.stop()
        self._rich = self._shown = None

    def _begin(self, rich: RichProgress, progress: Progress) -> None:
        for task in rich.task_ids:
            rich.remove_task(task)
        # Without a total the bar only shows that something goes on: nobody knows how long the registry takes.
        total = None if progress.waiting_files else progress.total_bytes or None
        self._task = rich.add_task(
            _label(progress), total=total, completed=progress.done_bytes, skipped=progress.skipped_bytes
        )


def _label(progress: Progress) -> str:
    if progress.waiting_files:
        return f"Finishing, {progress.waiting_files} file{'' if progress.waiting_files == 1 else 's'} left"
    return _LABELS[progress.action]


def _progress() -> RichProgress:
    console = Console(stderr=True, force_terminal=True)  # whoever calls has decided
    columns: list[ProgressColumn] = [
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(max(5, min(_BAR_COLUMNS, console.width - _TEXT_COLUMNS))),
        _Amount(),
        _Rate(),
        TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
    ]
    if console.width > _TEXT_COLUMNS + _SKIPPED_COLUMNS:
        columns.append(_Skipped())
    return RichProgress(*columns, console=console, transient=True)


class _Cell(ProgressColumn):
    """A cell that is cut rather than broken in two lines."""

    def get_table_column(self) -> Column:
        return Column(no_wrap=True)


class _Amount(_Cell):
    """How much of how much."""

    def render(self, task: Task) -> Text:
        done = size(int(task.completed))
        return Text(done if task.total is None else f"{done} of {size(int(task.total))}", style="progress.download")


class _Rate(_Cell):
    """How fast."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None or task.total is None else f"{size(int(speed))}/s", style="progress.data.speed")


class _Skipped(_Cell):
    """What did not have to travel."""

    def render(self, task: Task) -> Text:
        skipped = task.fields["skipped"]
        return Text(f"({size(skipped)} there already)" if skipped else "", style="dim")
