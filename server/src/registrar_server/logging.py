"""Structured logs: JSON lines, or coloured text on a terminal, on standard error."""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import sys
import threading
from collections import deque
from datetime import UTC, datetime
from typing import BinaryIO

import orjson
import structlog

_FLUSH_SECONDS = 0.05
# Without the values of variables, which structlog would add: tokens and requests are among them.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


class LineWriter:
    """Lines to a stream, those of a twentieth of a second together, and at once from a warning upwards.

    Each write lets go of Python's lock and has to wait for it again: a line of its own for each call costs a busy
    server more than all else that it does for the call.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lines: deque[bytes] = deque()
        self._has_lines = threading.Event()
        self._lock = threading.Lock()
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def info(self, line: bytes) -> None:
        """Write it soon."""
        self._lines.append(line)
        if not self._has_lines.is_set():
            self._has_lines.set()

    debug = info

    def warning(self, line: bytes) -> None:
        """Write it, and all before it, now."""
        self._lines.append(line)
        self.flush()

    error = critical = fatal = exception = warning

    def flush(self) -> None:
        """Write what is waiting."""
        with self._lock:
            self._has_lines.clear()
            lines = []
            with contextlib.suppress(IndexError):
                while True:
                    lines.append(self._lines.popleft())
            # Whoever read them may have gone.
            with contextlib.suppress(OSError, ValueError):
                if lines:
                    self._stream.write(b"\n".join(lines) + b"\n")
                    self._stream.flush()

    def _run(self) -> None:
        pause = threading.Event()
        while self._has_lines.wait():
            pause.wait(_FLUSH_SECONDS)
            self.flush()


def set_up_logging(level: str, log_format: str, process: str) -> None:
    """Send structlog's events and other libraries' warnings to standard error; every line names its process.

    A process that ends by `os._exit` calls `flush_logs` before.
    """
    is_json = log_format == "json" or (not log_format and not sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _name_process(process),
    ]
    last: list[structlog.typing.Processor] = [_TRACEBACKS] if is_json else []
    text: structlog.typing.Processor
    if is_json:
        writer = LineWriter(sys.stderr.buffer)
        atexit.register(writer.flush)
        structlog.configure(
            processors=[_line(process)],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=lambda *_: writer,
            cache_logger_on_first_use=True,
        )
        text = structlog.processors.JSONRenderer(lambda event, **_: _dump(event).decode())
    else:
        text = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        structlog.configure(
            processors=[*shared, text],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
            cache_logger_on_first_use=True,
        )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last, text],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries' own info lines (Alembic, MLflow) say nothing that an event here does not.
    root.setLevel(logging.WARNING)


def flush_logs() -> None:
    """Write every line that waits to be written."""
    flush = getattr(structlog.get_config()["logger_factory"](), "flush", None)
    if flush is not None:
        flush()


def _dump(event: structlog.typing.EventDict, **_: object) -> bytes:
    """JSON of any event; what JSON has no word for becomes text."""
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z)
    except TypeError:
        # Half a surrogate pair, a number of more than 64 bits.
        return json.dumps(event, default=lambda value: getattr(value, "isoformat", value.__str__)()).encode()


def _line(process: str) -> structlog.typing.Processor:
    """All that `shared` and the renderer do, in one: a line for each call is a part of what a call costs."""

    def render(_logger: object, method: str, event: structlog.typing.EventDict) -> bytes:
        line: structlog.typing.EventDict = {**event, **structlog.contextvars.get_contextvars(), "level": method}
        line["timestamp"], line["process"] = datetime.now(UTC), process
        if "exc_info" in line:
            line = _TRACEBACKS(None, method, line)
        return _dump(line)

    return render


def _name_process(process: str) -> structlog.typing.Processor:
    def add(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["process"] = process
        return event

    return add
