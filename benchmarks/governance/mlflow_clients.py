"""Clients of MLflow's server over REST, each with a connection and a model of its own."""

from __future__ import annotations

import http.client
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks.governance.load import Client
from benchmarks.servers import Server

_TIMEOUT_SECONDS = 60.0
_METRICS = {"f1": 0.91, "auc": 0.97}


@contextmanager
def mlflow_clients(server: Server, count: int, *, is_archiving: bool) -> Iterator[Sequence[Client]]:
    """So many, each with two versions. `is_archiving`: a promotion archives the version that it displaces."""
    with ExitStack() as stack:
        yield [_client(server, f"model-{number}", stack, is_archiving=is_archiving) for number in range(count)]


def _client(server: Server, name: str, stack: ExitStack, *, is_archiving: bool) -> Client:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_TIMEOUT_SECONDS)
    stack.callback(connection.close)
    moves = itertools.cycle((number, stage) for number in ("1", "2") for stage in ("Staging", "Production"))

    def register() -> None:
        # As the registry does it: the metrics are those of a run, and the version belongs to the run.
        run_id = _post(connection, "runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
        metrics = [{"key": key, "value": value, "timestamp": 0, "step": 0} for key, value in _METRICS.items()]
        _post(connection, "runs/log-batch", {"run_id": run_id, "metrics": metrics})
        version = {"name": name, "source": "s3://benchmark/model", "run_id": run_id}
        _post(connection, "model-versions/create", version)

    def promote() -> None:
        number, stage = next(moves)
        wanted = {"name": name, "version": number, "stage": stage, "archive_existing_versions": is_archiving}
        _post(connection, "model-versions/transition-stage", wanted)

    _post(connection, "registered-models/create", {"name": name})
    register()
    register()
    return Client(promote, register)


def _post(connection: http.client.HTTPConnection, path: str, body: Mapping[str, object]) -> Any:
    try:
        response = _request(connection, path, body)
    except ConnectionError:
        # Its server hangs up on who was silent for five seconds, while others were measured.
        connection.close()
        response = _request(connection, path, body)
    reply = response.read()
    if response.status != 200:
        raise RuntimeError(f"MLflow answered {response.status} to {path}: {reply[:500]!r}")
    return json.loads(reply)


def _request(connection: http.client.HTTPConnection, path: str, body: Mapping[str, object]) -> http.client.HTTPResponse:
    headers = {"Content-Type": "application/json"}
    connection.request("POST", f"/api/2.0/mlflow/{path}", body=json.dumps(body).encode(), headers=headers)
    return connection.getresponse()
