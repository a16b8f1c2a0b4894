"""A registry of the demo's own: `registrar serve` with everything embedded, in a directory that goes with it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from demo.story import DemoFailed

READY_SECONDS = 90
STOP_SECONDS = 45
_SERVING = re.compile(r"Registrar is serving on (\S+)")
_EXPORT = re.compile(r"^export (\w+)='?([^'\n]*)'?$", re.MULTILINE)
_CONFIGURING = ("AWS_", "MLFLOW_", "ML_REGISTRY_", "REGISTRAR_")


@dataclass
class Server:
    """The process, its data directory and its log."""

    process: subprocess.Popen[str]
    data: Path
    log: Path
    _address: str = ""
    _is_known: threading.Event = field(default_factory=threading.Event)

    def address(self) -> str:
        """Where it serves; waits until it does."""
        if not self._is_known.wait(READY_SECONDS) or not self._address:
            raise DemoFailed("`registrar serve` did not start")
        return self._address

    def mlflow_environment(self) -> dict[str, str]:
        """What plain MLflow needs to find the same MLflow and the same store, as `serve` has written it down."""
        found = dict(_EXPORT.findall((self.data / "mlflow.env").read_text(encoding="utf-8")))
        # A tenant is a workspace of MLflow's; the tenant here is `default`.
        return {"MLFLOW_WORKSPACE": "default", "MLFLOW_DISABLE_TELEMETRY": "true", **found}

    def last_words(self, lines: int = 15) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def listen(self) -> None:
        """Read its welcome, and go on reading, so that it never waits for a reader."""
        for line in self.process.stdout or ():
            if matched := _SERVING.search(line):
                self._address = matched.group(1)
                self._is_known.set()
        self._is_known.set()


def clean_environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what the shell has exported to configure a server, a client or MLflow."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_CONFIGURING)}
    return {**kept, **(settings or {})}


@contextmanager
def running_server(directory: Path) -> Iterator[Server]:
    """A server that begins to start; it is stopped at the end, whatever happened meanwhile."""
    data, log = directory / "data", directory / "server.log"
    command = [str(Path(sys.executable).parent / "registrar"), "serve", "--listen", "127.0.0.1:0", "--data", str(data)]
    with log.open("w", encoding="utf-8") as stderr:
        # A session of its own: Ctrl-C is for the demo, which then stops it.
        process = subprocess.Popen(
            command,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
        server = Server(process, data, log)
        reader = threading.Thread(target=server.listen, daemon=True)
        reader.start()
        try:
            yield server
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            reader.join()
            if process.stdout is not None:
                process.stdout.close()
