"""What must stand in the process before MLflow is imported: it takes its settings from the environment only."""

from __future__ import annotations

import logging
import os

_FIXED = {
    # Read once, while `import mlflow` runs.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    # Read when a store is opened and again at every call of it: a store opened with workspaces that runs without
    # the variable would put every tenant's rows into the default workspace.
    "MLFLOW_ENABLE_WORKSPACES": "true",
    # MLflow's REST client repeats POSTs too, after read errors as well: seven times by default, and each
    # repeated creation of a version makes one more.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
}

# Defaults of every call, whatever the caller's context says: with them set in the shell, calls of one tenant
# would go to another's workspace, or to the workspaces of another database.
_REMOVED = ("MLFLOW_WORKSPACE", "MLFLOW_WORKSPACE_STORE_URI")

# A `log_batch` holds three connections at once (MLflow nests sessions), so SQLAlchemy's 5 + 10 run dry at six
# threads, and each waits 30 seconds. Connections above five are closed when they are given back.
_DEFAULTS = {"MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "30"}


def prepare_environment(request_timeout_seconds: float) -> None:
    """Put MLflow's settings into `os.environ`; they hold for the whole process. Call before `import mlflow`.

    `request_timeout_seconds` bounds connecting, and each wait for bytes, of a call to an MLflow server.
    """
    for name in _REMOVED:
        os.environ.pop(name, None)
    os.environ.update(_FIXED)
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(max(1, round(request_timeout_seconds)))
    # These write statements with their parameters (tags, descriptions) into the log; `mlflow.failed` says
    # what is needed without them.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)
