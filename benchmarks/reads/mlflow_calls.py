"""What MLflow's client asks its server for where ours asks for the same."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from benchmarks.h2load import Target
from benchmarks.reads.calls import SEARCH_PAGE
from benchmarks.reads.catalogue import TEAMS, holders, model_name, ticket
from benchmarks.servers import Server

_TIMEOUT_SECONDS = 60.0
SEARCHES = ("no filter", "no filter, 90 % page", "name prefix", "tag of one", "tag of 5 %", "two tags")
"""Those that its search can do."""


def mlflow_targets(server: Server, *, model: int, model_count: int, versions: int) -> dict[str, Target]:
    """By the names of our calls. Each was made once, and answered with as much as ours must."""
    name, champion = model_name(model), holders(versions)["champion"]
    found = {
        "number": _target(server, "model-versions/get", {"name": name, "version": champion}, wanted="model_version"),
        "stage": _target(
            server,
            "registered-models/get-latest-versions",
            body={"name": name, "stages": ["Production"]},
            wanted="model_versions",
        ),
        "alias": _target(
            server, "registered-models/alias", {"name": name, "alias": "champion"}, wanted="model_version"
        ),
        "ListModels": _target(
            server, "registered-models/search", {"max_results": 100}, wanted="registered_models", least=10
        ),
    }
    team, of_one = TEAMS[model % len(TEAMS)], ticket(model, champion)
    token = base64.b64encode(json.dumps({"offset": model_count * versions * 9 // 10}).encode()).decode()
    filters: Mapping[str, dict[str, str]] = {
        "no filter": {},
        "no filter, 90 % page": {"page_token": token},
        "name prefix": {"filter": f"name LIKE '{team}-%'"},
        "tag of one": {"filter": f"tags.ticket = '{of_one}'"},
        "tag of 5 %": {"filter": f"tags.team = '{team}'"},
        "two tags": {"filter": f"tags.team = '{team}' AND tags.region = 'eu'"},
    }
    for kind in SEARCHES:
        query = {"max_results": SEARCH_PAGE, **filters[kind]}
        least = 1 if kind == "tag of one" else 15
        found[f"search: {kind}"] = _target(server, "model-versions/search", query, wanted="model_versions", least=least)
    return found


def _target(
    server: Server,
    path: str,
    query: Mapping[str, object] | None = None,
    *,
    body: Mapping[str, object] | None = None,
    wanted: str,
    least: int = 1,
) -> Target:
    url = f"/api/2.0/mlflow/{path}" + (f"?{urlencode(query)}" if query else "")
    data = None if body is None else json.dumps(body).encode()
    headers = {} if data is None else {"Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET" if data is None else "POST", url, body=data, headers=headers)
        reply = connection.getresponse().read()
    finally:
        connection.close()
    answer: dict[str, Any] = json.loads(reply)
    if len(answer.get(wanted, ())) < least:
        raise RuntimeError(f"MLflow answered {reply[:500]!r} to {url}")
    lines = tuple(f"{key}: {value}" for key, value in headers.items())
    pid = server.workers()[-1]
    return Target(f"mlflow {path}", f"http://{server.address}{url}", data, lines, len(reply), pid, is_grpc=False)
