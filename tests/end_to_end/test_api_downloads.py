"""GetArtifact, DownloadFile, URLs, verification and pull: ranges, unknown things, and bytes that changed in the store."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import google_crc32c
import grpc
import pytest
import urllib3
from google.protobuf.duration_pb2 import Duration
from minio import Minio

import registrar
from registrar.v1 import reference_pb2
from registrar.v1.artifact_pb2 import Artifact, ByteRange
from registrar.v1.artifact_service_pb2 import (
    CreateDownloadUrlsRequest,
    CreateDownloadUrlsResponse,
    DownloadFileRequest,
    DownloadFileResponse,
    GetArtifactRequest,
    ManifestRef,
    VerifyArtifactRequest,
)
from registrar.v1.lifecycle_service_pb2 import ListTransitionsRequest
from tests.end_to_end.api import CODE, Api, by_number, by_stage, model_ref, refusal_of, refused, violated
from tests.fixtures.server import RunningServer

PRODUCTION = reference_pb2.STAGE_PRODUCTION
DATA = bytes(range(256)) * 10_000
FILES = {"model.pkl": DATA, "empty": b"", "sub/config.json": b"{}"}
UNKNOWN = "0" * 32


@pytest.fixture
def api(channel: grpc.Channel) -> Api:
    return Api(channel)


@pytest.fixture
def artifact(api: Api, unique_name: str) -> Artifact:
    return api.upload(unique_name, FILES)


@pytest.fixture
def store(server: RunningServer) -> Iterator[Minio]:
    """A client of the server's object store."""
    found = server.mlflow_environment()
    pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=5, read=30))
    yield Minio(
        urlsplit(found["MLFLOW_S3_ENDPOINT_URL"]).netloc,
        found["AWS_ACCESS_KEY_ID"],
        found["AWS_SECRET_ACCESS_KEY"],
        secure=False,
        http_client=pool,
    )
    pool.clear()


def download(api: Api, artifact_id: str, path: str, **fields: Any) -> bytes:
    """The bytes of a range, everything that the stream says about them checked."""
    messages = list(api.artifacts.DownloadFile(DownloadFileRequest(artifact_id=artifact_id, path=path, **fields)))
    header, trailer = messages[0].header, messages[-1].trailer
    data, position = b"", header.range.offset
    for message in messages[1:-1]:
        assert message.chunk.offset == position
        assert 0 < len(message.chunk.data) <= 1 << 20
        assert google_crc32c.value(message.chunk.data) == message.chunk.crc32c
        data += message.chunk.data
        position += len(message.chunk.data)
    assert (trailer.size_bytes, trailer.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert header.artifact_id == artifact_id
    assert header.file.sha256 == hashlib.sha256(FILES.get(path, data)).hexdigest()
    return data


@pytest.mark.parametrize("path", FILES)
def test_a_whole_file_arrives_with_its_digest(api: Api, artifact: Artifact, path: str) -> None:
    assert download(api, artifact.id, path) == FILES[path]


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        (0, 0, DATA),
        (0, 1, DATA[:1]),
        (1, 0, DATA[1:]),
        (len(DATA) - 1, 1, DATA[-1:]),
        (len(DATA), 0, b""),
        (1_048_575, 3, DATA[1_048_575:1_048_578]),
        (7, 2_000_000, DATA[7:2_000_007]),
        (0, len(DATA), DATA),
    ],
)
def test_a_range_has_exactly_its_bytes(api: Api, artifact: Artifact, offset: int, length: int, expected: bytes) -> None:
    assert download(api, artifact.id, "model.pkl", range=ByteRange(offset=offset, length=length)) == expected


@pytest.mark.parametrize(
    ("offset", "length"),
    [(len(DATA) + 1, 0), (len(DATA), 1), (0, len(DATA) + 1), (1, len(DATA)), (2**63 - 1, 2**63 - 1)],
)
def test_a_range_outside_the_file_is_refused(api: Api, artifact: Artifact, offset: int, length: int) -> None:
    call = lambda: download(api, artifact.id, "model.pkl", range=ByteRange(offset=offset, length=length))  # noqa: E731
    found = refused(call, CODE.OUT_OF_RANGE, "RANGE_INVALID")
    assert found.metadata == {"path": "model.pkl", "size_bytes": str(len(DATA))}


def test_what_is_none_is_refused_and_what_is_absent_not_found(api: Api, artifact: Artifact, unique_name: str) -> None:
    def get(**fields: Any) -> Any:
        return api.artifacts.GetArtifact(GetArtifactRequest(**fields))

    negative = lambda: download(api, artifact.id, "model.pkl", range=ByteRange(offset=-1))  # noqa: E731
    assert set(violated(negative)) == {"range"}
    assert set(violated(lambda: download(api, "no uid", ""))) == {"artifact_id", "path"}
    assert set(violated(lambda: download(api, artifact.id, "p" * 513))) == {"path"}
    assert set(violated(get)) == {"artifact"}
    wrong = ManifestRef(model=model_ref("/"), manifest_digest="md5:0")
    assert set(violated(lambda: get(manifest=wrong))) == {"manifest.model.name", "manifest.manifest_digest"}
    for path in ("none", "model.pkl/", "../model.pkl", "sub", "MODEL.PKL"):
        assert refused(
            partial(download, api, artifact.id, path), CODE.NOT_FOUND, "ARTIFACT_FILE_NOT_FOUND"
        ).metadata == {"path": path}
    refused(lambda: download(api, UNKNOWN, "model.pkl"), CODE.NOT_FOUND, "ARTIFACT_NOT_FOUND")
    refused(lambda: get(artifact_id=UNKNOWN), CODE.NOT_FOUND, "ARTIFACT_NOT_FOUND")
    refused(lambda: get(ref=by_number(unique_name, 1)), CODE.NOT_FOUND, "MODEL_NOT_FOUND")
    api.register(unique_name, artifact_id=artifact.id)
    refused(lambda: get(ref=by_number(unique_name, 2)), CODE.NOT_FOUND, "VERSION_NOT_FOUND")
    absent = ManifestRef(model=model_ref(unique_name), manifest_digest=f"sha256:{'0' * 64}")
    refused(lambda: get(manifest=absent), CODE.NOT_FOUND, "ARTIFACT_NOT_FOUND")
    refused(lambda: get(artifact_id=artifact.id, page_token="x"), CODE.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
    assert get(ref=by_number(unique_name, 1)).artifact == get(artifact_id=artifact.id).artifact == artifact


def flip(store: Minio, artifact: Artifact, path: str, data: bytes) -> None:
    """Change one byte of a file in the store, past the server."""
    bucket, _, prefix = artifact.uri.removeprefix("s3://").partition("/")
    wrong = bytes([data[0] ^ 1]) + data[1:]
    store.put_object(bucket, f"{prefix}/{path}", io.BytesIO(wrong), len(wrong))


def test_a_byte_that_changed_in_the_store_ends_in_data_loss_and_no_file_on_disk(
    api: Api, registry: registrar.Registry, store: Minio, unique_name: str, tmp_path: Path
) -> None:
    artifact = api.upload(unique_name, FILES)
    api.register(unique_name, artifact_id=artifact.id)
    flip(store, artifact, "model.pkl", DATA)
    call = api.artifacts.DownloadFile(DownloadFileRequest(artifact_id=artifact.id, path="model.pkl"))
    arrived: list[DownloadFileResponse] = []
    with pytest.raises(grpc.RpcError) as caught:
        arrived.extend(call)
    found = refusal_of(caught.value)
    assert (found.code, found.reason, found.metadata) == (CODE.DATA_LOSS, "ARTIFACT_CORRUPT", {"path": "model.pkl"})
    assert not any(message.HasField("trailer") for message in arrived)
    assert sum(len(message.chunk.data) for message in arrived) < len(DATA)
    with pytest.raises(registrar.DataLoss):
        registry.pull(f"{unique_name}/1", tmp_path / "pulled")
    assert list(tmp_path.iterdir()) == []
    assert download(api, artifact.id, "sub/config.json") == b"{}"


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_rollback_to_a_version_whose_bytes_do_not_hold_is_refused_and_production_stays(
    api: Api, store: Minio, unique_name: str, damage: str
) -> None:
    artifact = api.upload(unique_name, FILES)
    api.register(unique_name, artifact_id=artifact.id)
    api.register(unique_name)
    for number in (1, 2):
        api.move(unique_name, number, PRODUCTION)
    if damage == "changed":
        flip(store, artifact, "sub/config.json", b"{}")
    else:
        bucket, _, prefix = artifact.uri.removeprefix("s3://").partition("/")
        store.remove_object(bucket, f"{prefix}/sub/config.json")
    listing = ListTransitionsRequest(model=model_ref(unique_name))
    moves = api.lifecycle.ListTransitions(listing)
    for is_validate_only in (True, False):
        call = partial(api.roll_back, unique_name, validate_only=is_validate_only)
        assert refused(call, CODE.DATA_LOSS, "ARTIFACT_CORRUPT").metadata == {"path": "sub/config.json"}
    assert api.lifecycle.ListTransitions(listing) == moves
    assert api.get(by_stage(unique_name, PRODUCTION)).version == 2


def test_a_pull_brings_every_file_and_a_verification_is_remembered(
    api: Api, registry: registrar.Registry, unique_name: str, tmp_path: Path
) -> None:
    artifact = api.upload(unique_name, FILES)
    api.register(unique_name, artifact_id=artifact.id)
    pulled = registry.pull(f"{unique_name}/1", tmp_path / "pulled")
    assert {str(p.relative_to(pulled)): p.read_bytes() for p in pulled.rglob("*") if p.is_file()} == FILES
    api.register(unique_name)
    for number in (1, 2):
        api.move(unique_name, number, PRODUCTION)
    api.roll_back(unique_name)
    found = api.artifacts.GetArtifact(GetArtifactRequest(artifact_id=artifact.id)).artifact
    assert found.verify_time.ToDatetime() > artifact.verify_time.ToDatetime()


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_verification_names_every_file_that_does_not_hold(
    api: Api, registry: registrar.Registry, store: Minio, unique_name: str, damage: str
) -> None:
    artifact = api.upload(unique_name, FILES)
    version = registry.register(unique_name, artifact_id=artifact.id)
    files: list[registrar.VerifiedFile] = []
    verified = registry.verify(version, on_file=files.append)
    assert verified.verify_time is not None
    assert verified.verify_time.replace(tzinfo=None) > artifact.verify_time.ToDatetime()
    assert [(f.file.path, f.is_intact, f.stored_size_bytes) for f in files] == [
        (path, True, len(FILES[path])) for path in sorted(FILES)
    ]
    if damage == "changed":
        flip(store, artifact, "model.pkl", DATA)
    else:
        bucket, _, prefix = artifact.uri.removeprefix("s3://").partition("/")
        store.remove_object(bucket, f"{prefix}/model.pkl")
    files.clear()
    with pytest.raises(registrar.DataLoss) as caught:
        registry.verify(version, on_file=files.append)
    assert (caught.value.reason, caught.value.metadata) == ("ARTIFACT_CORRUPT", {"path": "model.pkl"})
    assert [violation.field for violation in caught.value.violations] == ["model.pkl"]
    stored = hashlib.sha256(bytes([DATA[0] ^ 1]) + DATA[1:]).hexdigest() if damage == "changed" else ""
    assert {f.file.path: (f.is_intact, f.stored_sha256) for f in files}["model.pkl"] == (False, stored)
    assert registry.artifact(version).verify_time == verified.verify_time


def test_urls_read_the_files_straight_from_the_store(
    server: RunningServer, api: Api, artifact: Artifact, unique_name: str
) -> None:
    before = datetime.now(UTC)
    request = CreateDownloadUrlsRequest(artifact_id=artifact.id, page_size=2, ttl=Duration(seconds=300))
    first = api.artifacts.CreateDownloadUrls(request)
    request.page_token = first.next_page_token
    second = api.artifacts.CreateDownloadUrls(request)
    assert (first.artifact_id, second.next_page_token) == (artifact.id, "")
    urls = [*first.urls, *second.urls]
    assert [entry.file.path for entry in urls] == sorted(FILES)
    assert 290 < (first.expire_time.ToDatetime(UTC) - before).total_seconds() < 360
    pool = urllib3.PoolManager(retries=False)
    for entry in urls:
        answer = pool.request("GET", entry.url)
        assert (answer.status, answer.data) == (200, FILES[entry.file.path])
        assert hashlib.sha256(answer.data).hexdigest() == entry.file.sha256
    part = pool.request("GET", urls[1].url, headers={"Range": "bytes=5-9"})
    assert (part.status, part.data) == (206, DATA[5:10])
    assert pool.request("PUT", urls[1].url, body=b"mine").status == 403
    pool.clear()
    entries = audited(server, unique_name, "artifact.download_urls_created")
    assert [(entry["artifact_id"], entry["files"]) for entry in entries] == [(artifact.id, 2), (artifact.id, 1)]
    signature = urls[0].url.partition("Signature=")[2]
    assert signature
    assert signature not in json.dumps(entries)
    assert not any(signature in line for line in server.log_lines)


def audited(server: RunningServer, name: str, action: str) -> list[dict[str, Any]]:
    """What the audit entries of an action on a model hold, in order."""
    with closing(sqlite3.connect(f"file:{server.data / 'registrar.db'}?mode=ro", uri=True)) as database:
        query = "SELECT after FROM audit_entries WHERE model_name = ? AND action = ? ORDER BY position"
        return [json.loads(after) for (after,) in database.execute(query, (name, action))]


def test_urls_of_named_files_come_in_the_order_of_their_paths(api: Api, artifact: Artifact) -> None:
    def create(**fields: Any) -> CreateDownloadUrlsResponse:
        return api.artifacts.CreateDownloadUrls(CreateDownloadUrlsRequest(artifact_id=artifact.id, **fields))

    found = create(paths=["sub/config.json", "empty"], page_size=1)
    assert [entry.file.path for entry in found.urls] == ["empty"]
    more = create(paths=["sub/config.json", "empty"], page_size=1, page_token=found.next_page_token)
    assert [entry.file.path for entry in more.urls] == ["sub/config.json"]
    assert more.next_page_token == ""
    unknown = [f"none-{number}" for number in range(30)]
    for paths in (["none-0"], ["empty", "none-0"], unknown):
        absent = refused(partial(create, paths=paths), CODE.NOT_FOUND, "ARTIFACT_FILE_NOT_FOUND")
        assert absent.metadata == {"path": "none-0"}
    assert set(violated(lambda: create(paths=["a", "a"]))) == {"paths[1]"}
    assert set(violated(lambda: create(paths=[""]))) == {"paths[0]"}
    assert set(violated(lambda: create(paths=[str(number) for number in range(1001)]))) == {"paths"}
    for seconds in (0, -1, 3601, 2**40):
        assert set(violated(partial(create, ttl=Duration(seconds=seconds)))) == {"ttl"}
    refused(lambda: create(page_token="x"), CODE.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")


def test_what_is_not_held_here_has_neither_urls_nor_a_verification(
    api: Api, registry: registrar.Registry, unique_name: str
) -> None:
    for method, kind in (
        (api.artifacts.CreateDownloadUrls, CreateDownloadUrlsRequest),
        (lambda request: list(api.artifacts.VerifyArtifact(request)), VerifyArtifactRequest),
    ):
        call: Any = method
        refused(partial(call, kind(artifact_id=UNKNOWN)), CODE.NOT_FOUND, "ARTIFACT_NOT_FOUND")
        refused(partial(call, kind(ref=by_number(unique_name, 1))), CODE.NOT_FOUND, "MODEL_NOT_FOUND")
        assert set(violated(partial(call, kind()))) == {"artifact"}


def test_a_direct_pull_brings_the_same_files_and_notices_a_changed_byte(
    api: Api, registry: registrar.Registry, store: Minio, unique_name: str, tmp_path: Path
) -> None:
    artifact = api.upload(unique_name, FILES)
    version = registry.register(unique_name, artifact_id=artifact.id)
    pulled = registry.pull(version, tmp_path / "pulled", direct=True)
    assert {str(p.relative_to(pulled)): p.read_bytes() for p in pulled.rglob("*") if p.is_file()} == FILES
    flip(store, artifact, "model.pkl", DATA)
    with pytest.raises(registrar.DataLoss):
        registry.pull(version, tmp_path / "again", direct=True)
    assert [path.name for path in tmp_path.iterdir()] == ["pulled"]


def test_a_pull_from_another_tenant_brings_its_files(server: RunningServer, unique_name: str, tmp_path: Path) -> None:
    content = secrets.token_bytes(8)
    (tmp_path / "model.pkl").write_bytes(content)
    with server.connect(tenant="acme-corp") as registry:
        registry.push(tmp_path / "model.pkl", name=unique_name)
        pulled = registry.pull(f"{unique_name}/1", tmp_path / "pulled")
    assert (pulled / "model.pkl").read_bytes() == content
