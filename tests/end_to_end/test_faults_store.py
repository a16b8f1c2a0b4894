"""The object store down, stalled or full: a clear error, nothing visible, and what was there before untouched."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import registrar
from registrar_server.adapters.embedded_s3 import EmbeddedS3Address
from tests.fixtures.proxy import TcpProxy
from tests.fixtures.server import RunningServer, running_server
from tests.fixtures.stores import plain_client, wait_until

CARD_SECONDS = 30.0


@dataclass
class Site:
    """A server, and the wire between it and its store."""

    server: RunningServer
    proxy: TcpProxy


@pytest.fixture(scope="module")
def shared(embedded_store: EmbeddedS3Address, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    target = urlsplit(embedded_store.endpoint_url)
    with TcpProxy(str(target.hostname), int(target.port or 0)) as proxy:
        settings = {
            "MLFLOW_ARTIFACT_ROOT": "s3://faults/registrar",
            "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}",
            "AWS_ACCESS_KEY_ID": embedded_store.access_key,
            "AWS_SECRET_ACCESS_KEY": embedded_store.secret_key,
            "AWS_REGION": "us-east-1",
            "REGISTRAR_STALL_SECONDS": "2",
        }
        with running_server(tmp_path_factory.mktemp("store"), settings) as server:
            yield Site(server, proxy)


@pytest.fixture
def site(shared: Site) -> Iterator[Site]:
    yield shared
    shared.proxy.resume()


def bundle(directory: Path, content: bytes) -> Path:
    directory.mkdir()
    (directory / "model.bin").write_bytes(content)
    return directory


def test_uploads_are_refused_while_the_store_is_down_and_reads_go_on(
    site: Site, unique_name: str, tmp_path: Path
) -> None:
    with site.server.connect() as registry, site.server.connect(timeout_seconds=5) as impatient:
        before = registry.push(bundle(tmp_path / "one", b"one"), name=unique_name, progress=False)
        site.proxy.cut()
        with pytest.raises(registrar.Unavailable) as refused:
            impatient.push(bundle(tmp_path / "two", b"two"), name=unique_name, progress=False)
        assert refused.value.reason == "STORE_UNAVAILABLE"
        assert refused.value.retry_after
        assert "127.0.0.1" not in refused.value.message
        assert registry.get(f"{unique_name}/1") == before
        assert registry.promote(f"{unique_name}/1", to=registrar.Stage.STAGING).version.stage == "staging"
        with pytest.raises(registrar.Unavailable) as unread:
            impatient.pull(f"{unique_name}/1", tmp_path / "pulled", progress=False)
        assert unread.value.reason == "STORE_UNAVAILABLE"
        assert not (tmp_path / "pulled").exists()
        site.proxy.resume()
        second = registry.push(tmp_path / "two", name=unique_name, progress=False)
        assert second.version == 2
        pulled = registry.pull(f"{unique_name}/2", tmp_path / "pulled", progress=False)
        assert (pulled / "model.bin").read_bytes() == b"two"


def test_a_store_that_stands_still_for_a_while_delays_an_upload_only(
    site: Site, unique_name: str, tmp_path: Path
) -> None:
    path = bundle(tmp_path / "large", b"x" * (40 << 20))
    outcome: list[registrar.ModelVersion] = []

    def push() -> None:
        with site.server.connect() as registry:
            outcome.append(registry.push(path, name=unique_name, progress=False))

    began = site.proxy.forwarded_bytes
    pushing = threading.Thread(target=push)
    pushing.start()
    wait_until(lambda: site.proxy.forwarded_bytes > began + (4 << 20), 30)
    site.proxy.stall()
    with site.server.connect() as registry:
        # Longer than a client may stall: it is not the client that does.
        pushing.join(4)
        assert pushing.is_alive()
        assert registry.is_serving(timeout_seconds=5)
        with pytest.raises(registrar.NotFound):
            registry.model(unique_name)
    site.proxy.resume()
    pushing.join(60)
    assert [version.version for version in outcome] == [1]


def test_a_store_that_stands_still_for_a_while_delays_a_download_only(
    site: Site, unique_name: str, tmp_path: Path
) -> None:
    content = b"y" * (40 << 20)
    with site.server.connect() as registry:
        version = registry.push(bundle(tmp_path / "large", content), name=unique_name, progress=False)
        from registrar.v1 import artifact_service_pb2 as pb
        from registrar.v1.artifact_service_pb2_grpc import ArtifactServiceStub

        with site.server.channel() as channel:
            request = pb.DownloadFileRequest(artifact_id=version.artifact_id, path="model.bin")
            stream = ArtifactServiceStub(channel).DownloadFile(request)
            assert next(stream).HasField("header")
            site.proxy.stall()
            resuming = threading.Timer(6, site.proxy.resume)
            resuming.start()
            received = sum(len(message.chunk.data) for message in stream)
            resuming.join()
        assert received == len(content)


def test_a_card_that_is_written_while_the_store_is_down_lies_there_once_it_is_back(
    site: Site, embedded_store: EmbeddedS3Address, unique_name: str, tmp_path: Path
) -> None:
    with site.server.connect() as registry, plain_client(embedded_store) as store:
        version = registry.push(bundle(tmp_path / "one", b"one"), name=unique_name, progress=False)
        wait_until(lambda: registry.card(version).uri != "", CARD_SECONDS)
        site.proxy.cut()
        written = registry.update_card(version, registrar.ModelCard(summary="Written meanwhile"))
        assert registry.card(version).card == written.card
        wait_until(lambda: any("background.failed" in line for line in site.server.log_lines), CARD_SECONDS)
        assert registry.card(version).uri == ""
        site.proxy.resume()
        wait_until(lambda: registry.card(version).uri != "", CARD_SECONDS)
        bucket, _, key = registry.card(version).uri.removeprefix("s3://").partition("/")
        response = store.get_object(bucket, key)
        assert response.data == registry.render_card(version).encode() == b"Written meanwhile\n"
        response.close()
        response.release_conn()


@pytest.fixture
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose disk has too little room, as far as it can see."""
    # The server's own program, with the one figure changed that says how much room is too little.
    directory = tmp_path_factory.mktemp("full")
    (directory / "sitecustomize.py").write_text(
        "import shutil\n"
        "import pathlib\n"
        "_real = shutil.disk_usage\n"
        "def disk_usage(path):\n"
        "    usage = _real(path)\n"
        f"    return usage._replace(free=0) if pathlib.Path({str(directory / 'is-full')!r}).exists() else usage\n"
        "shutil.disk_usage = disk_usage\n"
    )
    with running_server(directory / "data", {"PYTHONPATH": str(directory)}) as server:
        yield server


def test_a_full_store_refuses_uploads_and_keeps_what_it_has(
    full: RunningServer, unique_name: str, tmp_path: Path
) -> None:
    flag = full.data.parent / "is-full"
    with full.connect() as registry:
        before = registry.push(bundle(tmp_path / "one", b"one"), name=unique_name, progress=False)
        flag.touch()
        for content in (b"two", b"x" * (20 << 20)):
            path = bundle(tmp_path / f"size-{len(content)}", content)
            with pytest.raises(registrar.ResourceExhausted) as refused:
                registry.push(path, name=unique_name, progress=False)
            assert refused.value.reason == "STORE_FULL"
        assert registry.get(f"{unique_name}/1") == before
        pulled = registry.pull(f"{unique_name}/1", tmp_path / "pulled", progress=False)
        assert (pulled / "model.bin").read_bytes() == b"one"
        flag.unlink()
        assert registry.push(tmp_path / "size-3", name=unique_name, progress=False).version == 2
