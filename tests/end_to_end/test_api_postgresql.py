"""The main job with the registry's own database on PostgreSQL: the rest of the suite runs on SQLite."""

from __future__ import annotations

import pytest

import registrar
from tests.end_to_end.api import CODE, Api, by_number, refused
from tests.fixtures.server import MakeServer


@pytest.mark.postgresql
def test_push_register_promote_and_roll_back_on_postgresql(
    make_server: MakeServer, postgres_url: str, unique_name: str
) -> None:
    server = make_server(None, {"REGISTRAR_DATABASE_URL": postgres_url})
    with server.channel() as channel, server.connect() as registry:
        api = Api(channel)
        for metric in (0.8, 0.9):
            api.register(unique_name, metrics={"f1": metric}, request_id=f"{unique_name}-{metric}")
        for number in (1, 2):
            registry.promote(f"{unique_name}/{number}", to=registrar.Stage.PRODUCTION)
        registry.set_alias(unique_name, "champion", 2, expected=0)
        assert [model.production_version for model in registry.models(prefix=unique_name)] == [2]
        assert registry.rollback(unique_name, request_id=unique_name).version.version == 1
        assert registry.rollback(unique_name, request_id=unique_name).version.version == 1
        assert registry.get(f"{unique_name}:production").version == 1
        assert [version.version for version in registry.versions(unique_name)] == [2, 1]
        found = registry.search(f'name = "{unique_name}" alias:champion metrics.f1 > 0.85', query="model", page_size=1)
        assert [(version.version, version.stage) for version in found] == [(2, registrar.Stage.ARCHIVED)]
        refused(lambda: api.get(by_number(unique_name, 3)), CODE.NOT_FOUND, "VERSION_NOT_FOUND")
        registry.wait_mirrored()
