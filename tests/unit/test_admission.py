"""Every RPC says what it demands, in the contract, and admission finds in its request what that is about."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor

from registrar.v1 import access_pb2 as pb
from registrar_server.domain.access import Right
from registrar_server.transport.admission import access_of
from registrar_server.transport.convert.access import RIGHTS
from registrar_server.transport.server import SERVICE_NAMES

_NAMES_NOTHING = {pb.ACCESS_SCOPE_OPEN, pb.ACCESS_SCOPE_CALLER}


def methods() -> dict[str, MethodDescriptor]:
    """Every RPC of this API by its full name."""
    pool = descriptor_pool.Default()
    found = [m for name in SERVICE_NAMES for m in pool.FindServiceByName(name).methods_by_name.values()]
    return {method.full_name: method for method in found}


def wire_name(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


@pytest.mark.parametrize("name", sorted(methods()))
def test_every_rpc_declares_its_right(name: str) -> None:
    access = access_of(wire_name(methods()[name]))
    assert access.scope != pb.ACCESS_SCOPE_UNSPECIFIED, f"{name} says nothing of what it demands"
    assert (access.right == pb.RIGHT_UNSPECIFIED) is (access.scope in _NAMES_NOTHING)


@pytest.mark.parametrize("name", sorted(methods()))
def test_what_a_right_is_asked_on_is_in_the_request(name: str) -> None:
    method = methods()[name]
    access = access_of(wire_name(method))
    fields = set(method.input_type.fields_by_name)
    header = method.input_type.fields_by_name["header"].message_type if "header" in fields else None
    if header is not None:
        fields |= set(header.fields_by_name)
    if access.scope == pb.ACCESS_SCOPE_MODEL:
        assert fields & {"model", "ref", "refs", "upload_id", "artifact_id", "dataset_digest"}
        # An id says nothing of whose it is.
        assert "tenant" in fields or not fields & {"upload_id", "dataset_digest"}
    if access.scope in (pb.ACCESS_SCOPE_LIST, pb.ACCESS_SCOPE_TENANT):
        assert "tenant" in fields
    if access.right == pb.RIGHT_PROMOTE:
        assert ("stage" in fields) is not bool(access.stage)
    if access.right == pb.RIGHT_MOVE_ALIAS:
        assert "alias" in fields


def test_every_right_of_the_contract_is_known() -> None:
    assert set(RIGHTS) == set(pb.Right.values()) - {pb.RIGHT_UNSPECIFIED}
    assert set(RIGHTS.values()) == set(Right)


def test_what_changes_something_asks_for_more_than_to_read() -> None:
    from google.protobuf.descriptor_pb2 import MethodOptions

    for name, method in methods().items():
        is_read = method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS
        right = access_of(wire_name(method)).right
        # URLs to read by, and a fresh verification, are written down, and change nothing. The others need one of several
        # rights, or to be who asked: use cases look.
        asked_for_later = (".RequestApproval", ".WithdrawApproval", ".CreateComment")
        if not is_read and not name.endswith((".CreateDownloadUrls", ".VerifyArtifact", *asked_for_later)):
            assert right not in (pb.RIGHT_READ, pb.RIGHT_UNSPECIFIED), name


def test_what_nobody_declared_is_for_nobody() -> None:
    assert access_of("/registrar.v1.ModelService/NoSuchMethod").scope == pb.ACCESS_SCOPE_UNSPECIFIED
    assert access_of("/some.other.Service/Method").scope == pb.ACCESS_SCOPE_UNSPECIFIED
