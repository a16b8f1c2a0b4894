"""Upload sessions over the wire: what is reported as received is durable, and nobody else can add to it."""

from __future__ import annotations

import hashlib
import queue
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
import pytest

from registrar.v1 import artifact_pb2
from registrar.v1 import artifact_service_pb2 as pb
from tests.end_to_end import sessions
from tests.end_to_end.api import CALL_SECONDS, CODE, Api, manifest_of, refusal_of, refused, violated
from tests.end_to_end.sessions import PART, Range
from tests.fixtures.server import MakeServer
from tests.fixtures.stores import wait_until

LARGE = 2 * PART + 1_234_567


@pytest.fixture
def api(channel: grpc.Channel) -> Api:
    return Api(channel)


@pytest.fixture
def large() -> bytes:
    """Three parts, of bytes that no other test has."""
    return secrets.token_bytes(LARGE)


@pytest.fixture
def small() -> dict[str, bytes]:
    """Files of one part each: what another test has pushed would be copied."""
    return {"a.txt": secrets.token_bytes(5), "empty": b"", "z/last.json": secrets.token_bytes(9)}


def stored(api: Api, artifact_id: str, path: str) -> bytes:
    request = pb.DownloadFileRequest(artifact_id=artifact_id, path=path)
    messages = api.artifacts.DownloadFile(request, timeout=CALL_SECONDS)
    return b"".join(message.chunk.data for message in messages)


class Feed:
    """A stream that is fed by hand; the call is answered in the background."""

    def __init__(self, api: Api) -> None:
        self._messages: queue.Queue[pb.WriteUploadRequest | None] = queue.Queue()
        self.call = api.artifacts.WriteUpload.future(self._read(), timeout=CALL_SECONDS)

    def send(self, *messages: pb.WriteUploadRequest) -> None:
        for message in messages:
            self._messages.put(message)

    def end(self) -> pb.WriteUploadResponse:
        self._messages.put(None)
        return self.call.result()

    def _read(self) -> Iterator[pb.WriteUploadRequest]:
        while (message := self._messages.get()) is not None:
            yield message


class TestTheWholeWay:
    def test_small_and_large_files_in_several_streams(
        self, api: Api, unique_name: str, large: bytes, small: dict[str, bytes]
    ) -> None:
        files = {**small, "model.bin": large}
        data = list(files.values())
        opened = sessions.create(api, unique_name, files)
        assert sessions.missing(opened.files) == [(0, 0, 5), (1, 0, 0), (2, 0, 9), (3, 0, LARGE)]
        assert opened.upload.received_bytes == 0
        assert opened.upload.size_bytes == sum(map(len, data))
        streams: list[list[Range]] = [[(3, PART, PART)], [(3, 0, PART)], [(0, 0, 5), (1, 0, 0), (2, 0, 9)]]
        with ThreadPoolExecutor(len(streams)) as pool:
            received = pool.map(lambda ranges: sessions.write(api, opened.upload.id, data, ranges), streams)
            assert list(received) == [PART, PART, 14]
        status = sessions.get(api, opened.upload.id)
        assert sessions.missing(status.files) == [(3, 2 * PART, LARGE - 2 * PART)]
        assert status.upload.received_bytes == 2 * PART + 14
        assert not api.has_bundle(unique_name, manifest_of(files)), "nothing is visible before the commit"
        sessions.write(api, opened.upload.id, data, [(3, 2 * PART, LARGE - 2 * PART)])
        committed = sessions.commit(api, opened.upload.id)
        assert (committed.artifact.id, committed.is_existing) == (opened.upload.id, False)
        assert committed.event_sequence > 0
        assert {path: stored(api, committed.artifact.id, path) for path in files} == files

    def test_a_large_file_in_one_stream_is_stored_without_being_read_back(
        self, api: Api, unique_name: str, large: bytes
    ) -> None:
        opened = sessions.create(api, unique_name, {"model.bin": large})
        sessions.write(api, opened.upload.id, [large], [(0, 0, LARGE)])
        assert not sessions.get(api, opened.upload.id).files, "it is stored already"
        artifact = sessions.commit(api, opened.upload.id).artifact
        assert hashlib.sha256(stored(api, artifact.id, "model.bin")).digest() == hashlib.sha256(large).digest()

    def test_opening_again_finds_the_same_session(
        self, api: Api, unique_name: str, large: bytes, small: dict[str, bytes]
    ) -> None:
        files = {"model.bin": large, **small}
        first = sessions.create(api, unique_name, files)
        sessions.write(api, first.upload.id, list(files.values()), [(0, PART, PART), (1, 0, 5)])
        second = sessions.create(api, unique_name, files)
        assert second.upload.id == first.upload.id
        assert sessions.missing(second.files) == [
            (0, 0, PART),
            (0, 2 * PART, LARGE - 2 * PART),
            (2, 0, 0),
            (3, 0, 9),
        ]
        assert second.upload.expire_time.seconds >= first.upload.expire_time.seconds

    def test_committed_it_is_answered_as_a_bundle(self, api: Api, unique_name: str, small: dict[str, bytes]) -> None:
        artifact = sessions.push(api, unique_name, small)
        assert sessions.create(api, unique_name, small).artifact == artifact
        assert sessions.get(api, artifact.id).artifact == artifact
        again = sessions.commit(api, artifact.id)
        assert (again.artifact, again.is_existing, again.event_sequence) == (artifact, True, 0)
        assert sessions.write(api, artifact.id, [b"x"], [(0, 0, 1)]) == 0

    def test_somebody_elses_commit_ends_it_well(self, api: Api, unique_name: str, large: bytes) -> None:
        files = {"model.bin": large}
        opened = sessions.create(api, unique_name, files)
        sessions.write(api, opened.upload.id, [large], [(0, 0, PART)])
        artifact = api.upload(unique_name, files)
        committed = sessions.commit(api, opened.upload.id)
        assert (committed.artifact.id, committed.is_existing) == (artifact.id, True)
        assert stored(api, artifact.id, "model.bin") == large

    def test_a_bundle_of_many_small_files(self, api: Api, unique_name: str) -> None:
        files = {f"part-{number:04}": secrets.token_bytes(50 + number) for number in range(700)}
        opened = sessions.create(api, unique_name, files)
        ranges = sessions.missing(opened.files)
        data = list(files.values())
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda half: sessions.write(api, opened.upload.id, data, half), [ranges[:350], ranges[350:]]))
        artifact = sessions.commit(api, opened.upload.id).artifact
        assert (artifact.file_count, artifact.size_bytes) == (700, sum(map(len, data)))


class TestDurability:
    def test_full_parts_of_a_stream_that_broke_count(self, api: Api, unique_name: str, large: bytes) -> None:
        opened = sessions.create(api, unique_name, {"model.bin": large})
        feed = Feed(api)
        feed.send(sessions.header(opened.upload.id, [(0, 0, LARGE)]))
        feed.send(*sessions.chunks([large], [(0, 0, PART + PART // 2)]))
        wait_until(lambda: sessions.get(api, opened.upload.id).upload.received_bytes == PART, 30)
        feed.call.cancel()
        # One part was not full: it is all that is lost.
        assert sessions.missing(sessions.get(api, opened.upload.id).files) == [(0, PART, LARGE - PART)]
        sessions.write(api, opened.upload.id, [large], [(0, PART, LARGE - PART)])
        artifact = sessions.commit(api, opened.upload.id).artifact
        assert stored(api, artifact.id, "model.bin") == large

    def test_what_was_received_before_a_wrong_chunk_counts(self, api: Api, unique_name: str, large: bytes) -> None:
        opened = sessions.create(api, unique_name, {"model.bin": large})

        def damaged() -> Iterator[pb.WriteUploadRequest]:
            yield sessions.header(opened.upload.id, [(0, 0, LARGE)])
            yield from sessions.chunks([large], [(0, 0, 2 * PART)])
            yield sessions.chunk(0, 2 * PART, large[2 * PART : 2 * PART + 10], crc32c=7)

        call = refused(
            lambda: api.artifacts.WriteUpload(damaged(), timeout=CALL_SECONDS), CODE.INVALID_ARGUMENT, "CHUNK_CORRUPT"
        )
        assert call.metadata["offset"] == str(2 * PART)
        assert sessions.get(api, opened.upload.id).upload.received_bytes == 2 * PART

    def test_a_session_outlives_the_server(self, make_server: MakeServer, unique_name: str, large: bytes) -> None:
        first = make_server()
        files = {"model.bin": large, "small.txt": secrets.token_bytes(5)}
        data = list(files.values())
        with first.channel() as channel:
            opened = sessions.create(Api(channel), unique_name, files)
            sessions.write(Api(channel), opened.upload.id, data, [(0, PART, PART), (1, 0, 5)])
        first.kill()
        second = make_server(first.data)
        with second.channel() as channel:
            api = Api(channel)
            rest = sessions.missing(sessions.get(api, opened.upload.id).files)
            assert rest == [(0, 0, PART), (0, 2 * PART, LARGE - 2 * PART)]
            sessions.write(api, opened.upload.id, data, rest)
            artifact = sessions.commit(api, opened.upload.id).artifact
            assert stored(api, artifact.id, "model.bin") == large


class TestZombies:
    def test_a_writer_whose_client_went_on_elsewhere_adds_nothing(
        self, api: Api, unique_name: str, large: bytes
    ) -> None:
        opened = sessions.create(api, unique_name, {"model.bin": large})
        zombie = Feed(api)
        zombie.send(sessions.header(opened.upload.id, [(0, 0, LARGE)]))
        zombie.send(*sessions.chunks([large], [(0, 0, PART)]))
        wait_until(lambda: sessions.get(api, opened.upload.id).upload.received_bytes == PART, 30)
        # The client gave the connection up and takes the rest over; the old stream wakes with other bytes.
        other = Feed(api)
        other.send(sessions.header(opened.upload.id, [(0, PART, LARGE - PART)]))
        other.send(*sessions.chunks([large], [(0, PART, 1)]))
        wrong = bytes(LARGE)
        zombie.send(*sessions.chunks([wrong], [(0, PART, LARGE - PART)]))
        with pytest.raises(grpc.RpcError) as caught:
            zombie.end()
        assert (refusal_of(caught.value).code, refusal_of(caught.value).reason) == (CODE.ABORTED, "WRITER_REPLACED")
        status = sessions.get(api, opened.upload.id)
        assert status.upload.received_bytes == PART, "nothing of the zombie's counts, and it takes nothing away"
        other.send(*sessions.chunks([large], [(0, PART + 1, LARGE - PART - 1)]))
        other.end()
        artifact = sessions.commit(api, opened.upload.id).artifact
        assert stored(api, artifact.id, "model.bin") == large

    def test_a_zombie_with_a_small_file_adds_nothing(self, api: Api, unique_name: str, large: bytes) -> None:
        small = secrets.token_bytes(1000)
        data = [large, small]
        opened = sessions.create(api, unique_name, {"model.bin": large, "small.txt": small})
        zombie = Feed(api)
        zombie.send(sessions.header(opened.upload.id, [(0, 0, PART), (1, 0, 1000)]))
        zombie.send(*sessions.chunks(data, [(0, 0, PART)]), sessions.chunk(1, 0, small[:500]))
        wait_until(lambda: sessions.get(api, opened.upload.id).upload.received_bytes == PART, 30)
        assert sessions.write(api, opened.upload.id, data, [(1, 0, 1000)]) == 1000
        zombie.send(sessions.chunk(1, 500, small[500:]))
        with pytest.raises(grpc.RpcError) as caught:
            zombie.end()
        assert refusal_of(caught.value).reason == "WRITER_REPLACED"
        assert sessions.get(api, opened.upload.id).upload.received_bytes == PART + 1000


class TestRefusals:
    @pytest.mark.parametrize(
        ("offset", "length"),
        [(1, PART), (0, PART - 1), (PART, 2 * PART), (LARGE, 5), (3 * PART, 0)],
        ids=["not at a part", "half a part", "past the end", "behind the end", "a part too far"],
    )
    def test_a_range_of_no_whole_parts(
        self, api: Api, unique_name: str, large: bytes, offset: int, length: int
    ) -> None:
        opened = sessions.create(api, unique_name, {"model.bin": large})
        requests = iter([sessions.header(opened.upload.id, [(0, offset, length)])])
        call = refused(
            lambda: api.artifacts.WriteUpload(requests, timeout=CALL_SECONDS), CODE.OUT_OF_RANGE, "RANGE_NOT_MISSING"
        )
        assert call.metadata["missing"] == f"0-{LARGE - 1}"
        assert call.metadata["part_size_bytes"] == str(PART)
        assert call.metadata["path"] == "model.bin"

    def test_a_range_that_is_there_names_what_is_missing(self, api: Api, unique_name: str, large: bytes) -> None:
        opened = sessions.create(api, unique_name, {"model.bin": large})
        sessions.write(api, opened.upload.id, [large], [(0, PART, PART)])
        requests = sessions.stream(opened.upload.id, [large], [(0, 0, LARGE)])
        call = refused(
            lambda: api.artifacts.WriteUpload(requests, timeout=CALL_SECONDS), CODE.OUT_OF_RANGE, "RANGE_NOT_MISSING"
        )
        assert call.metadata["missing"] == f"0-{PART - 1},{2 * PART}-{LARGE - 1}"

    def test_a_chunk_at_a_wrong_offset(self, api: Api, unique_name: str, large: bytes) -> None:
        opened = sessions.create(api, unique_name, {"model.bin": large})
        requests = iter([sessions.header(opened.upload.id, [(0, PART, PART)]), sessions.chunk(0, 0, b"x")])
        call = refused(
            lambda: api.artifacts.WriteUpload(requests, timeout=CALL_SECONDS), CODE.OUT_OF_RANGE, "OFFSET_MISMATCH"
        )
        assert call.metadata["expected_offset"] == str(PART)

    @pytest.mark.parametrize("size", [PART - 1, PART + 1], ids=["too short", "too long"])
    def test_a_range_of_another_length_than_announced(
        self, api: Api, unique_name: str, large: bytes, size: int
    ) -> None:
        opened = sessions.create(api, unique_name, {"model.bin": large})
        requests = [sessions.header(opened.upload.id, [(0, 0, PART)]), *sessions.chunks([large], [(0, 0, size)])]
        call = refused(
            lambda: api.artifacts.WriteUpload(iter(requests), timeout=CALL_SECONDS),
            CODE.INVALID_ARGUMENT,
            "SIZE_MISMATCH" if size < PART else "STREAM_MALFORMED",
        )
        assert size > PART or call.metadata["path"] == "model.bin"

    def test_wrong_bytes_of_a_whole_file_make_all_of_it_missing(self, api: Api, unique_name: str, large: bytes) -> None:
        files = {"model.bin": large, "small.txt": secrets.token_bytes(5)}
        opened = sessions.create(api, unique_name, files)
        requests = sessions.stream(opened.upload.id, [bytes(LARGE), files["small.txt"]], [(1, 0, 5), (0, 0, LARGE)])
        call = refused(
            lambda: api.artifacts.WriteUpload(requests, timeout=CALL_SECONDS), CODE.INVALID_ARGUMENT, "DIGEST_MISMATCH"
        )
        assert call.metadata["path"] == "model.bin"
        assert sessions.missing(sessions.get(api, opened.upload.id).files) == [(0, 0, LARGE)]
        sessions.write(api, opened.upload.id, [large], [(0, 0, LARGE)])
        artifact = sessions.commit(api, opened.upload.id).artifact
        assert stored(api, artifact.id, "model.bin") == large

    def test_wrong_bytes_of_a_small_file(self, api: Api, unique_name: str) -> None:
        opened = sessions.create(api, unique_name, {"small.txt": secrets.token_bytes(5)})
        requests = sessions.stream(opened.upload.id, [b"wrong"], [(0, 0, 5)])
        refused(
            lambda: api.artifacts.WriteUpload(requests, timeout=CALL_SECONDS), CODE.INVALID_ARGUMENT, "DIGEST_MISMATCH"
        )
        assert sessions.missing(sessions.get(api, opened.upload.id).files) == [(0, 0, 5)]

    def test_wrong_bytes_in_ranges_are_found_when_they_are_read_back(
        self, api: Api, unique_name: str, large: bytes
    ) -> None:
        wrong = large[:-1] + bytes([large[-1] ^ 1])
        opened = sessions.create(api, unique_name, {"model.bin": large})
        for wanted in ((0, 0, PART), (0, PART, LARGE - PART)):
            sessions.write(api, opened.upload.id, [wrong], [wanted])
        call = refused(lambda: sessions.commit(api, opened.upload.id), CODE.INVALID_ARGUMENT, "DIGEST_MISMATCH")
        assert call.metadata["path"] == "model.bin"
        assert not api.has_bundle(unique_name, manifest_of({"model.bin": large}))
        # It was told once; now the file is missing, and can be sent again in ranges as well.
        again = refused(lambda: sessions.commit(api, opened.upload.id), CODE.FAILED_PRECONDITION, "UPLOAD_INCOMPLETE")
        assert again.metadata == {"files": "1", "missing_bytes": str(LARGE)}
        for wanted in ((0, PART, LARGE - PART), (0, 0, PART)):
            sessions.write(api, opened.upload.id, [large], [wanted])
        artifact = sessions.commit(api, opened.upload.id).artifact
        assert stored(api, artifact.id, "model.bin") == large

    def test_a_commit_before_all_is_there(
        self, api: Api, unique_name: str, large: bytes, small: dict[str, bytes]
    ) -> None:
        opened = sessions.create(api, unique_name, {"model.bin": large, **small})
        sessions.write(api, opened.upload.id, [large], [(0, PART, PART)])
        call = refused(lambda: sessions.commit(api, opened.upload.id), CODE.FAILED_PRECONDITION, "UPLOAD_INCOMPLETE")
        assert call.metadata == {"files": "4", "missing_bytes": str(LARGE - PART + 14)}

    def test_what_there_is_no_session_for(self, api: Api) -> None:
        unknown = secrets.token_hex(16)
        calls = [
            lambda: sessions.get(api, unknown),
            lambda: sessions.commit(api, unknown),
            lambda: sessions.write(api, unknown, [b"x"], [(0, 0, 1)]),
            lambda: api.artifacts.CreatePartUrls(
                pb.CreatePartUrlsRequest(upload_id=unknown, ranges=[artifact_pb2.FileRange()]), timeout=CALL_SECONDS
            ),
            lambda: api.artifacts.RecordParts(
                pb.RecordPartsRequest(upload_id=unknown, writer_epoch=1, parts=[pb.SentPart(part_number=1, etag="x")]),
                timeout=CALL_SECONDS,
            ),
        ]
        for call in calls:
            assert refused(call, CODE.NOT_FOUND, "UPLOAD_NOT_FOUND").metadata == {"upload_id": unknown}

    def test_another_tenants_session_is_none(self, api: Api, unique_name: str, small: dict[str, bytes]) -> None:
        opened = sessions.create(api, unique_name, small, "acme-corp")
        assert sessions.get(api, opened.upload.id, "acme-corp").upload.id == opened.upload.id
        refused(lambda: sessions.get(api, opened.upload.id), CODE.NOT_FOUND, "UPLOAD_NOT_FOUND")
        refused(
            lambda: sessions.write(api, opened.upload.id, [b"first"], [(0, 0, 5)]), CODE.NOT_FOUND, "UPLOAD_NOT_FOUND"
        )
        refused(lambda: sessions.commit(api, opened.upload.id), CODE.NOT_FOUND, "UPLOAD_NOT_FOUND")
        api.artifacts.AbortUpload(pb.AbortUploadRequest(upload_id=opened.upload.id), timeout=CALL_SECONDS)
        assert sessions.get(api, opened.upload.id, "acme-corp").upload.id == opened.upload.id

    def test_malformed_requests_name_their_fields(self, api: Api, unique_name: str, small: dict[str, bytes]) -> None:
        assert "manifest.files" in violated(lambda: sessions.create(api, unique_name, {}))
        assert set(violated(lambda: sessions.get(api, "no id", "No Tenant"))) == {"upload_id", "tenant"}
        opened = sessions.create(api, unique_name, small)
        uid = opened.upload.id
        no_ranges = [sessions.header(uid, [])]
        assert set(violated(lambda: api.artifacts.WriteUpload(iter(no_ranges)))) == {"header.ranges"}
        many = [sessions.header(uid, [(0, 0, 0)] * 1_001)]
        assert set(violated(lambda: api.artifacts.WriteUpload(iter(many)))) == {"header.ranges"}
        negative = [sessions.header(uid, [(0, -1, 0)])]
        assert set(violated(lambda: api.artifacts.WriteUpload(iter(negative)))) == {"header.ranges[0]"}
        for wrong in ([(99, 0, 1)], [(0, 0, 5), (0, 0, 5)]):
            requests = iter([sessions.header(uid, wrong)])
            refused(partial(api.artifacts.WriteUpload, requests), CODE.INVALID_ARGUMENT, "INVALID_FIELD")

    @pytest.mark.parametrize("kind", ["empty", "chunk first", "two headers", "empty chunk", "unannounced file"])
    def test_malformed_streams(self, api: Api, unique_name: str, kind: str, small: dict[str, bytes]) -> None:
        opened = sessions.create(api, unique_name, small)
        head = sessions.header(opened.upload.id, [(0, 0, 5)])
        messages = {
            "empty": [],
            "chunk first": [sessions.chunk(0, 0, b"first")],
            "two headers": [head, head],
            "empty chunk": [head, sessions.chunk(0, 0, b"")],
            "unannounced file": [head, sessions.chunk(0, 0, small["a.txt"]), sessions.chunk(2, 0, b"{}")],
        }[kind]
        refused(
            lambda: api.artifacts.WriteUpload(iter(messages), timeout=CALL_SECONDS),
            CODE.INVALID_ARGUMENT,
            "STREAM_MALFORMED",
        )


class TestGivingUp:
    def test_an_aborted_session_is_gone_and_its_bundle_can_be_pushed(
        self, api: Api, unique_name: str, large: bytes
    ) -> None:
        files = {"model.bin": large}
        opened = sessions.create(api, unique_name, files)
        sessions.write(api, opened.upload.id, [large], [(0, 0, PART)])
        for _ in range(2):
            api.artifacts.AbortUpload(pb.AbortUploadRequest(upload_id=opened.upload.id), timeout=CALL_SECONDS)
        refused(lambda: sessions.get(api, opened.upload.id), CODE.NOT_FOUND, "UPLOAD_NOT_FOUND")

        def is_cleared() -> bool:
            try:
                return bool(sessions.create(api, unique_name, files).upload.id)
            except grpc.RpcError as exc:
                assert refusal_of(exc).reason == "DATABASE_BUSY"
                return False

        wait_until(is_cleared, 30)
        assert stored(api, sessions.push(api, unique_name, files).id, "model.bin") == large

    def test_a_committed_one_is_not_given_up(self, api: Api, unique_name: str, small: dict[str, bytes]) -> None:
        artifact = sessions.push(api, unique_name, small)
        refused(
            lambda: api.artifacts.AbortUpload(pb.AbortUploadRequest(upload_id=artifact.id), timeout=CALL_SECONDS),
            CODE.FAILED_PRECONDITION,
            "UPLOAD_COMMITTED",
        )
