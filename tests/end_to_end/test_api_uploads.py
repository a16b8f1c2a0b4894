"""UploadArtifact: whatever is wrong with a stream, nothing becomes visible, and the same bundle can be pushed after."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import google_crc32c
import grpc
import pytest
import urllib3
from minio import Minio

import registrar
from registrar.v1 import artifact_pb2
from registrar.v1.artifact_service_pb2 import UploadArtifactRequest
from registrar.v1.model_service_pb2 import CreateModelRequest
from tests.end_to_end.api import (
    CALL_SECONDS,
    CODE,
    Api,
    chunk,
    chunks,
    file_of,
    header,
    manifest_of,
    model_ref,
    refusal,
    refused,
    upload,
    violated,
)
from tests.fixtures.server import RunningServer

MEBIBYTE = 1 << 20
FILES = {"a.txt": b"first", "empty": b"", "model.pkl": b"weights" * 1_000, "z/last.json": b"{}"}
MANIFEST = manifest_of(FILES)
DATA = list(FILES.values())
Messages = Callable[[str], Iterator[UploadArtifactRequest]]


@pytest.fixture
def api(channel: grpc.Channel) -> Api:
    return Api(channel)


@pytest.fixture
def name(api: Api, unique_name: str) -> str:
    """A model without versions, so that bundles can be looked for."""
    api.models.CreateModel(CreateModelRequest(model=model_ref(unique_name)))
    return unique_name


@pytest.fixture
def store(server: RunningServer) -> Iterator[tuple[Minio, str]]:
    """A client of the server's object store, and the bucket."""
    found = server.mlflow_environment()
    pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=5, read=30))
    client = Minio(
        urlsplit(found["MLFLOW_S3_ENDPOINT_URL"]).netloc,
        found["AWS_ACCESS_KEY_ID"],
        found["AWS_SECRET_ACCESS_KEY"],
        secure=False,
        http_client=pool,
    )
    yield client, "ml-artifacts"
    pool.clear()


def send(api: Api, messages: Iterator[UploadArtifactRequest]) -> artifact_pb2.Artifact:
    return api.artifacts.UploadArtifact(messages, timeout=CALL_SECONDS).artifact


def with_file(index: int, **changes: object) -> artifact_pb2.Manifest:
    """The manifest with one file changed."""
    changed = artifact_pb2.Manifest()
    changed.CopyFrom(MANIFEST)
    for field, value in changes.items():
        setattr(changed.files[index], field, value)
    return changed


@pytest.mark.parametrize(
    ("paths", "at"),
    [
        (["../escape"], {0}),
        (["a/../../b"], {0}),
        (["/etc/passwd"], {0}),
        (["C:\\a"], {0}),
        (["a//b"], {0}),
        (["a/"], {0}),
        ([""], {0}),
        (["a\0b"], {0}),
        (["u\u0308"], {0}),
        (["x" * 513], {0}),
        (["same", "same"], {1}),
        (["Same", "sAME"], {1}),
        (["straße", "STRASSE"], {1}),
        (["a", "A/b"], {1}),
        (["a/b/c", "a/b"], {0}),
        (["../x", "ok", "/y", "ok"], {0, 2, 3}),
    ],
)
def test_paths_that_lead_out_or_collide_are_refused_all_at_once(
    api: Api, name: str, paths: list[str], at: set[int]
) -> None:
    manifest = artifact_pb2.Manifest(files=[file_of(path, b"x") for path in paths])
    found = violated(lambda: send(api, iter([header(name, manifest), *chunks([b"x"] * len(paths))])))
    assert set(found) == {f"header.manifest.files[{index}].path" for index in at}


def test_everything_that_is_wrong_with_a_manifest_is_reported_at_once(api: Api) -> None:
    manifest = artifact_pb2.Manifest(
        files=[artifact_pb2.BundleFile(path="../a", size_bytes=-1, sha256="A" * 64, type=99)]  # type: ignore[arg-type]
    )
    found = violated(lambda: send(api, iter([header("no name", manifest)])))
    at = "header.manifest.files[0]"
    assert set(found) == {"header.model.name", f"{at}.path", f"{at}.size_bytes", f"{at}.sha256", f"{at}.type"}


def test_an_empty_bundle_is_refused(api: Api, name: str) -> None:
    found = violated(lambda: send(api, iter([header(name, artifact_pb2.Manifest())])))
    assert set(found) == {"header.manifest.files"}


def test_a_bundle_of_too_many_files_is_refused(api: Api, name: str) -> None:
    manifest = artifact_pb2.Manifest(files=[file_of(str(index), b"") for index in range(20_001)])
    assert "header.manifest.files" in violated(lambda: send(api, iter([header(name, manifest)])))


def damaged(offset: int, data: bytes) -> UploadArtifactRequest:
    return chunk(2, offset, data, google_crc32c.value(data) ^ 1)


BROKEN: Mapping[str, tuple[str, Messages]] = {
    "an empty stream": ("STREAM_MALFORMED", lambda _: iter(())),
    "no header": ("STREAM_MALFORMED", lambda _: chunks(DATA)),
    "an empty message first": ("STREAM_MALFORMED", lambda _: iter([UploadArtifactRequest()])),
    "a second header": (
        "STREAM_MALFORMED",
        lambda name: iter([header(name, MANIFEST), chunk(0, 0, DATA[0]), header(name, MANIFEST)]),
    ),
    "an empty message later": (
        "STREAM_MALFORMED",
        lambda name: iter([header(name, MANIFEST), chunk(0, 0, DATA[0]), UploadArtifactRequest()]),
    ),
    "a chunk over the limit": (
        "STREAM_MALFORMED",
        lambda name: iter([header(name, with_file(0, size_bytes=2 * MEBIBYTE)), chunk(0, 0, bytes(MEBIBYTE + 1))]),
    ),
    "an empty chunk": ("STREAM_MALFORMED", lambda name: iter([header(name, MANIFEST), chunk(0, 0, b"")])),
    "a file that the manifest has not": (
        "STREAM_MALFORMED",
        lambda name: iter([header(name, MANIFEST), chunk(4, 0, b"x")]),
    ),
    "a file with a negative index": (
        "STREAM_MALFORMED",
        lambda name: iter([header(name, MANIFEST), chunk(-1, 0, b"x")]),
    ),
    "files out of order": (
        "STREAM_MALFORMED",
        lambda name: iter([header(name, MANIFEST), *list(chunks(DATA))[:2], chunk(0, 0, DATA[0])]),
    ),
    "a file before the one before it is whole": (
        "SIZE_MISMATCH",
        lambda name: iter([header(name, MANIFEST), chunk(0, 0, b"fir"), chunk(2, 0, DATA[2])]),
    ),
    "a gap": ("OFFSET_MISMATCH", lambda name: iter([header(name, MANIFEST), chunk(0, 1, b"irst")])),
    "an overlap": (
        "OFFSET_MISMATCH",
        lambda name: iter([header(name, MANIFEST), chunk(0, 0, b"fir"), chunk(0, 2, b"rst")]),
    ),
    "a negative offset": ("OFFSET_MISMATCH", lambda name: iter([header(name, MANIFEST), chunk(0, -1, b"first")])),
    "a chunk with a wrong crc32c": (
        "CHUNK_CORRUPT",
        lambda name: iter([header(name, MANIFEST), chunk(0, 0, DATA[0]), damaged(0, DATA[2])]),
    ),
    "one byte too many": (
        "SIZE_MISMATCH",
        lambda name: iter([header(name, MANIFEST), chunk(0, 0, DATA[0]), chunk(0, 5, b"x")]),
    ),
    "bytes for an empty file": (
        "SIZE_MISMATCH",
        lambda name: iter([header(name, MANIFEST), chunk(0, 0, DATA[0]), chunk(1, 0, b"x")]),
    ),
    "an end before the last file": (
        "SIZE_MISMATCH",
        lambda name: iter([header(name, MANIFEST), *list(chunks(DATA))[:-1]]),
    ),
    "an end in the middle of a file": (
        "SIZE_MISMATCH",
        lambda name: iter([header(name, MANIFEST), chunk(0, 0, b"fir")]),
    ),
    "other bytes": (
        "DIGEST_MISMATCH",
        lambda name: iter([header(name, MANIFEST), chunk(0, 0, b"f1rst"), *list(chunks(DATA))[1:]]),
    ),
    "another digest": (
        "DIGEST_MISMATCH",
        lambda name: iter([header(name, with_file(3, sha256="0" * 64)), *chunks(DATA)]),
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_stream_shows_nothing_and_the_bundle_can_be_pushed_after(api: Api, name: str, what: str) -> None:
    reason, messages = BROKEN[what]
    code = CODE.OUT_OF_RANGE if reason == "OFFSET_MISMATCH" else CODE.INVALID_ARGUMENT
    found = refused(lambda: send(api, messages(name)), code, reason)
    if reason != "STREAM_MALFORMED":
        assert found.metadata["path"] in FILES
    assert not api.has_bundle(name, MANIFEST)
    assert send(api, upload(name, FILES)).file_count == len(FILES)
    assert api.has_bundle(name, MANIFEST)


def test_a_bundle_with_a_false_digest_shows_nothing_under_that_digest(api: Api, name: str) -> None:
    false = with_file(3, sha256=hashlib.sha256(b"other").hexdigest())
    refused(lambda: send(api, iter([header(name, false), *chunks(DATA)])), CODE.INVALID_ARGUMENT, "DIGEST_MISMATCH")
    assert not api.has_bundle(name, false)


def test_a_stream_that_the_client_cuts_shows_nothing_and_the_bundle_can_be_pushed_after(api: Api, name: str) -> None:
    is_sent, is_over = threading.Event(), threading.Event()
    data = secrets.token_bytes(3 * MEBIBYTE)
    files = {"model.pkl": data}

    def cut() -> Iterator[UploadArtifactRequest]:
        yield header(name, manifest_of(files))
        yield chunk(0, 0, data[:MEBIBYTE])
        is_sent.set()
        is_over.wait(CALL_SECONDS)

    call = api.artifacts.UploadArtifact.future(cut(), timeout=CALL_SECONDS)
    assert is_sent.wait(CALL_SECONDS)
    call.cancel()
    is_over.set()
    assert not api.has_bundle(name, manifest_of(files))
    assert send(api, upload(name, files)).size_bytes == len(data)


def test_a_failed_push_leaves_what_was_there_before(api: Api, name: str) -> None:
    before = api.register(name, artifact_id=send(api, upload(name, FILES)).id)
    _, messages = BROKEN["other bytes"]
    other = {**FILES, "more": b"x"}
    broken = iter([header(name, manifest_of(other)), *list(messages(name))[1:]])
    refused(lambda: send(api, broken), CODE.INVALID_ARGUMENT, "DIGEST_MISMATCH")
    assert send(api, upload(name, FILES)).id == before.artifact_id
    assert b"".join(registrar_download(api, before.artifact_id, "a.txt")) == b"first"


def registrar_download(api: Api, artifact_id: str, path: str) -> Iterator[bytes]:
    from registrar.v1.artifact_service_pb2 import DownloadFileRequest

    for message in api.artifacts.DownloadFile(DownloadFileRequest(artifact_id=artifact_id, path=path)):
        if message.HasField("chunk"):
            yield message.chunk.data


def test_the_store_holds_exactly_the_files_of_the_bundle(api: Api, name: str, store: tuple[Minio, str]) -> None:
    client, bucket = store
    artifact = send(api, upload(name, FILES))
    prefix = artifact.uri.removeprefix(f"s3://{bucket}/") + "/"
    found = {o.object_name: o.size for o in client.list_objects(bucket, prefix, recursive=True)}
    assert found == {f"{prefix}{path}": len(data) for path, data in FILES.items()}
    assert ":" not in artifact.uri.removeprefix("s3://")


def test_the_same_bundle_is_answered_at_once_also_in_another_order(api: Api, name: str) -> None:
    first = api.artifacts.UploadArtifact(upload(name, FILES))
    assert not first.is_existing
    assert first.event_sequence > 0
    turned = dict(reversed(FILES.items()))
    again = api.artifacts.UploadArtifact(iter([header(name, manifest_of(turned))]))
    assert (again.is_existing, again.event_sequence, again.artifact) == (True, 0, first.artifact)


def test_another_model_has_its_own_copy(api: Api, name: str) -> None:
    first, other = send(api, upload(name, FILES)), send(api, upload(f"{name}-other", FILES))
    assert first.manifest_digest == other.manifest_digest
    assert (first.id, first.uri) != (other.id, other.uri)


def test_eight_uploads_of_the_same_bundle_at_once_make_one(server: RunningServer, name: str, tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(secrets.token_bytes(2 * MEBIBYTE))
    found: list[registrar.Artifact] = []

    def push() -> None:
        with server.connect() as registry:
            found.append(registry.upload(tmp_path, name=name))

    threads = [threading.Thread(target=push) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(CALL_SECONDS)
    assert len(found) == 8
    assert len({artifact.id for artifact in found}) == 1


def test_a_message_over_the_limit_is_refused_by_grpc_and_the_server_goes_on(api: Api, name: str) -> None:
    call = lambda: send(api, iter([header(name, MANIFEST), chunk(0, 0, bytes(17 * MEBIBYTE))]))  # noqa: E731
    assert refusal(call).code is CODE.RESOURCE_EXHAUSTED
    assert not api.has_bundle(name, MANIFEST)
    assert send(api, upload(name, FILES)).file_count == len(FILES)


def test_a_manifest_of_very_many_files_fits_and_pages_in_the_order_of_bytes(api: Api, name: str) -> None:
    files = {f"part-{index:05}/ü.bin": b"" for index in range(300)}
    artifact = send(api, upload(name, {**files, "Z": b"z"}))
    from registrar.v1.artifact_service_pb2 import GetArtifactRequest

    paths: list[str] = []
    token = ""
    while True:
        page = api.artifacts.GetArtifact(GetArtifactRequest(artifact_id=artifact.id, page_size=128, page_token=token))
        paths += [file.path for file in page.files]
        token = page.next_page_token
        if not token:
            break
    assert paths == sorted([*files, "Z"], key=str.encode)
