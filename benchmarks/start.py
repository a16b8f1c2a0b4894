"""Seconds from the start of a server to its first answer, and to its first registered version.

Cold is an empty data directory: the databases are made. Warm is the same directory again. Both servers are asked in the
same way, every 10 ms. The registry answers reads before MLflow is loaded, so the second figure says when it can also
register.
"""

from __future__ import annotations

import json
import tempfile
import time
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import Any

import registrar
from benchmarks.report import Figure, Report, Sample
from benchmarks.servers import Server, mlflow_server, registrar_server, sink_environment, sink_server
from benchmarks.tools import require_mlflow_server

_FIRST_SECONDS = 120.0


def run(*, is_quick: bool) -> Report:
    """See the module."""
    require_mlflow_server()
    count = 2 if is_quick else 5
    seconds: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="registrar-benchmark-") as directory:
        base = Path(directory)
        files = base / "files"
        files.mkdir()
        with sink_server(base / "sink") as sink:
            for number in range(count):
                for kind in ("cold", "warm"):
                    # In turns, so that a busy moment of the machine meets all of them.
                    with registrar_server(base / f"embedded-{number}") as server:
                        seconds[f"embedded {kind}"].append(server.seconds)
                        seconds[f"embedded {kind} first"].append(_first_push(server, files, f"{number} {kind}"))
                    with registrar_server(base / f"outside-{number}", sink_environment(sink)) as server:
                        seconds[f"outside {kind}"].append(server.seconds)
                    with mlflow_server(base / f"mlflow-{number}") as server:
                        seconds[f"mlflow {kind}"].append(server.seconds)
                        seconds[f"mlflow {kind} first"].append(_first_version(server, f"{number} {kind}"))
                print(f"  … {number + 1} of {count}", flush=True)
    report = Report("start", {"trials": count, "workers": 1})
    peer = "mlflow server"
    sample = {name: Sample(tuple(values)) for name, values in seconds.items()}
    for kind in ("cold", "warm"):
        healthy = sample[f"mlflow {kind}"]
        report.figures += [
            Figure(f"{kind}, all embedded: SERVING", "s", sample[f"embedded {kind}"], healthy, f"{peer}: /health"),
            Figure(f"{kind}, store outside: SERVING", "s", sample[f"outside {kind}"], healthy, f"{peer}: /health"),
            Figure(
                f"{kind}, all embedded: first version",
                "s",
                sample[f"embedded {kind} first"],
                sample[f"mlflow {kind} first"],
                f"{peer}: first version",
            ),
        ]
    report.notes = ["All embedded starts an S3 server too, which `mlflow server` (files in a folder) has no need of."]
    return report


def _first_push(server: Server, files: Path, content: str) -> float:
    """Seconds from the start of the server to a version that was pushed and registered."""
    came = time.perf_counter()
    (files / "model.txt").write_text(content, encoding="utf-8")
    with registrar.connect(server.address, timeout_seconds=_FIRST_SECONDS) as registry:
        registry.push(files, name="first", progress=False)
    return server.seconds + time.perf_counter() - came


def _first_version(server: Server, content: str) -> float:
    """The same with MLflow: a run, its file, a version of it."""
    came = time.perf_counter()
    run = _call(server, "POST", "mlflow/runs/create", {"experiment_id": "0"})["run"]["info"]
    folder = run["artifact_uri"].removeprefix("mlflow-artifacts:/")
    _call(server, "PUT", f"mlflow-artifacts/artifacts/{folder}/model.txt", content.encode())
    if content.endswith("cold"):
        _call(server, "POST", "mlflow/registered-models/create", {"name": "first"})
    version = {"name": "first", "source": run["artifact_uri"], "run_id": run["run_id"]}
    _call(server, "POST", "mlflow/model-versions/create", version)
    return server.seconds + time.perf_counter() - came


def _call(server: Server, method: str, path: str, body: bytes | dict[str, Any]) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/octet-stream" if isinstance(body, bytes) else "application/json"}
    request = urllib.request.Request(
        f"http://{server.address}/api/2.0/{path}", data=data, headers=headers, method=method
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=_FIRST_SECONDS) as response:
        return json.loads(response.read() or b"null")
