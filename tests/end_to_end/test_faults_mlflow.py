"""MLflow away: everything but registration goes on, and afterwards MLflow catches up in order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import registrar
from tests.fixtures.proxy import TcpProxy
from tests.fixtures.server import RunningServer, running_server
from tests.fixtures.stores import wait_until

pytestmark = [
    # MLflow 3.17 maps a relation with the loader strategy that SQLAlchemy 2.1 deprecates.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
]


@dataclass
class Site:
    """A server, the wire to MLflow, and MLflow's address past that wire."""

    server: RunningServer
    proxy: TcpProxy
    mlflow_uri: str

    def mlflow(self) -> Any:
        """MLflow's own client."""
        from mlflow import MlflowClient

        return MlflowClient(self.mlflow_uri, self.mlflow_uri)

    def aliases(self, name: str) -> dict[str, int]:
        found = self.mlflow().get_registered_model(name)
        return {alias: int(number) for alias, number in found.aliases.items()}

    def stages(self, name: str, count: int) -> list[str]:
        client = self.mlflow()
        return [client.get_model_version(name, str(number)).current_stage for number in range(1, count + 1)]


@pytest.fixture(scope="module")
def site(
    mlflow_environment: None, mlflow_plain_server_uri: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    target = urlsplit(mlflow_plain_server_uri)
    with TcpProxy(str(target.hostname), int(target.port or 0)) as proxy:
        settings = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{proxy.port}"}
        with running_server(tmp_path_factory.mktemp("mlflow-faults"), settings) as server:
            yield Site(server, proxy, mlflow_plain_server_uri)


@pytest.fixture(autouse=True)
def _resume(site: Site) -> Iterator[None]:
    yield
    site.proxy.resume()


def bundle(directory: Path, content: bytes) -> Path:
    directory.mkdir()
    (directory / "model.bin").write_bytes(content)
    return directory


def test_with_mlflow_cut_all_but_registration_goes_on_and_then_it_catches_up(
    site: Site, unique_name: str, tmp_path: Path
) -> None:
    with site.server.connect() as registry:
        for number in (1, 2):
            registry.push(bundle(tmp_path / f"{number}", b"%d" % number), name=unique_name, progress=False)
        registry.promote(f"{unique_name}/1", to=registrar.Stage.PRODUCTION)
        registry.set_alias(unique_name, "champion", 1)
        registry.update(f"{unique_name}/1", tags={"old": "tag", "kept": "1"})
        registry.wait_mirrored(timeout_seconds=60)
        mirrored = registry.event_sequence
        site.proxy.cut()

        began = time.monotonic()
        artifact = registry.upload(bundle(tmp_path / "3", b"3"), name=unique_name, progress=False)
        with pytest.raises(registrar.Unavailable) as refused:
            registry.register(unique_name, artifact_id=artifact.id, request_id="third", timeout_seconds=0.9)
        assert time.monotonic() - began < 20
        assert refused.value.reason == "MLFLOW_UNAVAILABLE"
        assert refused.value.retry_after
        assert len(list(registry.versions(unique_name))) == 2

        assert registry.get(f"{unique_name}:production").version == 1
        assert registry.get(f"{unique_name}@champion").version == 1
        pulled = registry.pull(f"{unique_name}:production", tmp_path / "pulled", progress=False)
        assert (pulled / "model.bin").read_bytes() == b"1"
        registry.promote(f"{unique_name}/2", to=registrar.Stage.STAGING)
        promotion = registry.promote(f"{unique_name}/2", to=registrar.Stage.PRODUCTION)
        assert [version.version for version in promotion.displaced] == [1]
        registry.set_alias(unique_name, "champion", 2)
        registry.set_alias(unique_name, "shadow", 1)
        registry.update(f"{unique_name}/1", tags={"kept": "2"})
        mirror = registry.server_info().mirror
        assert mirrored <= mirror.mirrored_sequence < mirror.event_sequence
        assert mirror.pending_models == 1

        site.proxy.resume()
        third = registry.register(unique_name, artifact_id=artifact.id, request_id="third", timeout_seconds=60)
        assert (third.version, third.state.value) == (3, "ready")
        again = registry.register(unique_name, artifact_id=artifact.id, request_id="third")
        assert again == third
        registry.wait_mirrored(timeout_seconds=60)
        mirror = registry.server_info().mirror
        assert mirror.mirrored_sequence == mirror.event_sequence
    assert site.aliases(unique_name) == {"champion": 2, "production": 2, "shadow": 1}
    assert site.stages(unique_name, 3) == ["Archived", "Production", "None"]
    tags = site.mlflow().get_model_version(unique_name, "1").tags
    assert tags["kept"] == "2"
    assert "old" not in tags


def test_a_restart_while_mlflow_is_away_loses_nothing(site: Site, unique_name: str, tmp_path: Path) -> None:
    settings = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{site.proxy.port}"}
    data = tmp_path / "data"
    with running_server(data, settings) as server, server.connect() as registry:
        for number in (1, 2):
            registry.push(bundle(tmp_path / f"{number}", b"%d" % number), name=unique_name, progress=False)
        site.proxy.cut()
        registry.promote(f"{unique_name}/1", to=registrar.Stage.PRODUCTION)
        registry.promote(f"{unique_name}/2", to=registrar.Stage.PRODUCTION)
        artifact = registry.upload(bundle(tmp_path / "3", b"3"), name=unique_name, progress=False)
        with pytest.raises(registrar.Unavailable) as refused:
            registry.register(unique_name, artifact_id=artifact.id, request_id="third", timeout_seconds=0.9)
        assert refused.value.reason == "MLFLOW_UNAVAILABLE"
        server.kill()
    # It starts without MLflow, and answers.
    with running_server(data, settings) as server, server.connect() as registry:
        assert registry.get(f"{unique_name}:production").version == 2
        site.proxy.resume()
        third = registry.register(unique_name, artifact_id=artifact.id, request_id="third", timeout_seconds=60)
        assert third.version == 3
        head = registry.server_info().mirror.event_sequence
        registry.wait_mirrored(head, timeout_seconds=60)
        wait_until(lambda: registry.server_info().mirror.pending_models == 0, 60)
    assert site.aliases(unique_name) == {"production": 2}
    assert site.stages(unique_name, 3) == ["Archived", "Production", "None"]
