"""MLflow's client: `log_artifacts` of a run and `download_artifacts`, through its server or past it.

`mlflow server` tells its clients that they may go past it (`/server-info`), and they do unless they are told otherwise: up
for files of 500 MiB and more, down for every file. Both settings have to be false for the bytes to be proxied.
"""

from __future__ import annotations

import os
from pathlib import Path

_PROXIED = {
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
}
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}


class MlflowMover:
    """See `Mover`."""

    def __init__(self, address: str, *, is_proxied: bool) -> None:
        # Read by MLflow as it moves files; the process is the peer's own.
        os.environ.update(_QUIET)
        if is_proxied:
            os.environ.update(_PROXIED)
        from mlflow import MlflowClient

        self._client = MlflowClient(f"http://{address}")
        self._run_id = ""

    def up(self, folder: Path) -> None:
        self._run_id = self._client.create_run("0").info.run_id
        self._client.log_artifacts(self._run_id, str(folder))

    def down(self, destination: Path) -> None:
        destination.mkdir()
        self._client.download_artifacts(self._run_id, "", str(destination))
