"""A caller of one tenant sees, guesses and touches nothing of another: every RPC, with everything that it can name.

Each call is made twice: for what the other tenant has, and for the same in a tenant that never was. What comes back must
be the same, word for word.
"""

from __future__ import annotations

import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import fields
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import grpc
import pytest

from registrar.v1 import access_pb2
from registrar.v1 import artifact_service_pb2 as artifacts_pb
from registrar.v1 import model_service_pb2 as models_pb
from registrar.v1.reference_pb2 import ModelRef
from registrar_server.transport.admission import access_of
from tests.end_to_end import sessions
from tests.end_to_end.api import CALL_SECONDS, Api, by_number
from tests.end_to_end.every_call import ABOUT_NOBODY, FILES, METHODS, OPEN_FILES, Everything, Things, call, make_things
from tests.fixtures.guarded import GuardedServer

NOWHERE = "nowhere"


@pytest.fixture(scope="module")
def theirs(guarded: GuardedServer) -> Things:
    """What tenant acme has."""
    with guarded.channel(guarded.secret("acme", "administrator")) as channel:
        return make_things(Api(channel), "acme")


@pytest.fixture(scope="module")
def stranger(guarded: GuardedServer) -> Iterator[grpc.Channel]:
    """Somebody who may everything, in tenant globex."""
    with guarded.channel(guarded.secret("globex", "administrator")) as channel:
        yield channel


def shown(answer: Any, one: Things) -> str:
    """An answer as text, with what was named in it taken out."""
    text = repr(answer)
    for field in fields(one):
        text = text.replace(str(getattr(one, field.name)), f"<{field.name}>")
    return text


def imagined(one: Things) -> Things:
    """The same, of a tenant that never was."""
    return Things(
        tenant=NOWHERE,
        model=f"secret-{secrets.token_hex(4)}",
        uid=secrets.token_hex(16),
        alias="champioo",
        semantic_version="1.0.1",
        artifact_id=secrets.token_hex(16),
        manifest_digest=f"sha256:{secrets.token_hex(32)}",
        upload_id=secrets.token_hex(16),
        page_token=one.page_token,
        request_id=secrets.token_hex(8),
    )


@pytest.mark.parametrize("name", sorted(METHODS))
def test_another_tenant_s_things_look_as_if_they_were_not(
    guarded: GuardedServer, theirs: Things, stranger: grpc.Channel, name: str
) -> None:
    nobody = imagined(theirs)
    real, unreal = list(Everything(theirs).requests(name)), list(Everything(nobody).requests(name))
    assert (name in ABOUT_NOBODY) is not bool(real), f"{name} is not tried"
    with guarded.channel(guarded.secret("acme", "administrator")) as channel:
        before = call(channel, METHODS["GetModel"], {"model": {"name": theirs.model}})
        for document, same in zip(real, unreal, strict=True):
            answer = call(stranger, METHODS[name], document)
            if name == "AbortUpload" and isinstance(answer, list):
                # What is not there is given up already.
                assert answer == [{}]
            else:
                assert isinstance(answer, tuple), f"{name} {document} was answered: {answer}"
                assert answer[0] in ("NOT_FOUND", "PERMISSION_DENIED", "INVALID_ARGUMENT"), (document, answer)
            if "pageToken" not in document:
                assert shown(answer, theirs) == shown(call(stranger, METHODS[name], same), nobody), document
        assert call(channel, METHODS["GetModel"], {"model": {"name": theirs.model}}) == before


def test_only_what_concerns_all_tenants_is_denied_and_not_hidden() -> None:
    platform = {
        name
        for name, m in METHODS.items()
        if access_of(f"/{m.containing_service.full_name}/{name}").scope == access_pb2.ACCESS_SCOPE_PLATFORM
    }
    assert {"CreateTenant", "ListTenants", "DeleteTenant", "RevokeSessions"} <= platform


def test_a_page_token_of_another_tenant_opens_nothing(guarded: GuardedServer, stranger: grpc.Channel) -> None:
    name = f"same-{secrets.token_hex(4)}"
    document = {"model": {"name": name}, "pageSize": 1}
    with guarded.channel(guarded.secret("acme", "administrator")) as channel:
        for _ in range(2):
            Api(channel).register(name)
        token = call(channel, METHODS["ListModelVersions"], document)[0]["nextPageToken"]
    own = models_pb.CreateModelRequest(model=ModelRef(name=name))
    Api(stranger).models.CreateModel(own, timeout=CALL_SECONDS)
    # The request is the same to the letter, so the token fits; it holds a position, and no right to what is there.
    assert call(stranger, METHODS["ListModelVersions"], {**document, "pageToken": token}) == [{}]


def test_the_same_request_id_means_nothing_to_another_tenant(theirs: Things, stranger: grpc.Channel) -> None:
    own = Api(stranger)
    name = f"own-{secrets.token_hex(4)}"
    version = own.register(name, request_id=theirs.request_id)
    assert version.name == name
    assert version.uid != theirs.uid


def test_an_url_reads_one_file_and_no_other(guarded: GuardedServer, theirs: Things, stranger: grpc.Channel) -> None:
    own = Api(stranger)
    mine = own.upload(f"own-{secrets.token_hex(4)}", {"model.pkl": b"own"})
    request = artifacts_pb.CreateDownloadUrlsRequest(artifact_id=mine.id)
    url = own.artifacts.CreateDownloadUrls(request, timeout=CALL_SECONDS).urls[0].url
    with urllib.request.urlopen(url, timeout=30) as response:
        assert response.read() == b"own"
    with guarded.channel(guarded.secret("acme", "reader")) as channel:
        request = artifacts_pb.CreateDownloadUrlsRequest(artifact_id=theirs.artifact_id)
        target = urlsplit(Api(channel).artifacts.CreateDownloadUrls(request, timeout=CALL_SECONDS).urls[0].url)
    for attempt in (
        urlunsplit(urlsplit(url)._replace(path=target.path)),
        urlunsplit(target._replace(query="")),
        urlunsplit(target._replace(query=urlsplit(url).query)),
    ):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(attempt, timeout=30)
        with caught.value as answer:
            assert answer.code in (400, 403)


def test_the_same_bytes_are_not_taken_from_another_tenant(theirs: Things, stranger: grpc.Channel) -> None:
    created = sessions.create(Api(stranger), f"own-{secrets.token_hex(4)}", FILES)
    assert sessions.missing(created.files) == [(0, 0, len(FILES["model.pkl"]))]


def test_the_other_tenant_is_served_all_the_while(guarded: GuardedServer, theirs: Things) -> None:
    with guarded.channel(guarded.secret("acme", "contributor")) as channel:
        api = Api(channel)
        assert api.get(by_number(theirs.model, 1)).uid == theirs.uid
        assert sessions.get(api, theirs.upload_id).upload.id == theirs.upload_id
        ranges = [(0, 0, len(OPEN_FILES["model.pkl"]))]
        messages = [sessions.header(theirs.upload_id, ranges), *sessions.chunks(list(OPEN_FILES.values()), ranges)]
        assert api.artifacts.WriteUpload(iter(messages), timeout=CALL_SECONDS).received_bytes == ranges[0][2]
