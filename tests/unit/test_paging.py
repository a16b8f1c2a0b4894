"""Page tokens: opaque, bound to their list, and refused when they are anything else."""

from __future__ import annotations

import base64
import json

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from registrar.v1.lifecycle_service_pb2 import ListTransitionsRequest
from registrar.v1.model_service_pb2 import ListModelsRequest
from registrar.v1.model_version_service_pb2 import ListAliasHistoryRequest, ListModelVersionsRequest
from registrar.v1.reference_pb2 import Consistency, ModelRef
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.transport.paging import decode_token, encode_token, page_size

REQUEST = ListModelsRequest(tenant="acme-corp", name_prefix="churn")


def refused(request: Message, token: str, *kinds: type[str | int]) -> bool:
    try:
        decode_token(request, token, *kinds)
    except RegistrarError as exc:
        assert exc.reason is Reason.PAGE_TOKEN_INVALID
        return True
    return False


def forged(request: Message, *key: object) -> str:
    """A token for this request with any key: the fingerprint is no secret."""
    token = encode_token(request, [])
    fingerprint = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))[0]
    return base64.urlsafe_b64encode(json.dumps([fingerprint, *key]).encode()).decode().rstrip("=")


@given(st.text(), st.integers(0, 2**63 - 1))
def test_a_token_gives_back_its_key(name: str, sequence: int) -> None:
    token = encode_token(REQUEST, [name, sequence])
    if "\0" not in name:
        assert decode_token(REQUEST, token, str, int) == [name, sequence]


@given(st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=128))
def test_a_token_is_under_a_kilobyte(name: str) -> None:
    assert len(encode_token(REQUEST, [name])) < 1_000


def test_no_token_is_the_first_page() -> None:
    assert decode_token(REQUEST, "", str) is None


def test_size_token_and_freshness_may_change_between_pages() -> None:
    token = encode_token(REQUEST, ["a"])
    later = ListModelsRequest(
        tenant="acme-corp", name_prefix="churn", page_size=7, page_token=token, consistency=Consistency(strong=True)
    )
    assert decode_token(later, token, str) == ["a"]


@pytest.mark.parametrize(
    "other",
    [
        ListModelsRequest(tenant="default", name_prefix="churn"),
        ListModelsRequest(tenant="acme-corp", name_prefix="fraud"),
        ListModelsRequest(tenant="acme-corp", name_prefix="churn", show_deleted=True),
    ],
)
def test_a_token_of_a_changed_request_is_refused(other: ListModelsRequest) -> None:
    assert refused(other, encode_token(REQUEST, ["a"]), str)


def test_a_token_of_another_list_is_refused_although_its_request_is_equal_on_the_wire() -> None:
    versions, aliases = (kind(model=ModelRef(name="m")) for kind in (ListModelVersionsRequest, ListTransitionsRequest))
    token = encode_token(versions, [1])
    assert not refused(versions, token, int)
    assert refused(aliases, token, int)
    assert refused(ListAliasHistoryRequest(model=ModelRef(name="m")), token, int)


@given(st.text())
def test_garbage_is_refused(token: str) -> None:
    assert not token or refused(REQUEST, token, str)


@given(st.binary(min_size=1))
def test_garbage_in_base64_is_refused(document: bytes) -> None:
    assert refused(REQUEST, base64.urlsafe_b64encode(document).decode(), str)


@pytest.mark.parametrize("document", ["[", "[" * 100_000, "{}", "null", "7", '"a"', "[]", "9" * 5_000])
def test_json_that_is_no_token_is_refused(document: str) -> None:
    assert refused(REQUEST, base64.urlsafe_b64encode(document.encode()).decode(), str)


@pytest.mark.parametrize("key", [[], [1], [None], [["a"]], ["a", "b"], [True], ["a\0b"], ["\ud800"]])
def test_a_forged_key_of_another_kind_is_refused(key: list[object]) -> None:
    assert refused(REQUEST, forged(REQUEST, *key), str)


@pytest.mark.parametrize("key", ["1", 1.5, True, 2**63, -1, 10**400])
def test_a_forged_number_that_no_database_holds_is_refused(key: object) -> None:
    assert refused(REQUEST, forged(REQUEST, key), int)


@pytest.mark.parametrize(
    ("asked", "used"), [(0, 100), (-5, 100), (1, 1), (1_000, 1_000), (1_001, 1_000), (2**31 - 1, 1_000)]
)
def test_a_page_size_is_coerced_and_never_refused(asked: int, used: int) -> None:
    assert page_size(asked) == used
