"""docs/rights.md tells what the server enforces."""

from __future__ import annotations

from registrar.v1 import access_pb2 as pb
from registrar.v1.reference_pb2 import Stage
from registrar_server.domain.access import Right
from registrar_server.transport.admission import access_of
from tests.end_to_end.every_call import METHODS
from tools.make_rights_page import PAGE, RIGHT, SCOPE, STAGE, read_contract, render


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(read_contract())


def test_every_right_and_scope_has_a_meaning() -> None:
    contract = read_contract()
    assert set(contract.rights) == set(Right)
    assert {*contract.rights.values(), *contract.scopes.values()}.isdisjoint({""})


def test_the_page_says_of_every_rpc_what_is_enforced_and_what_it_does() -> None:
    demands = {demand.rpc: demand for demand in read_contract().demands}
    assert set(demands) == set(METHODS)
    for name, demand in demands.items():
        access = access_of(f"/{METHODS[name].containing_service.full_name}/{name}")
        assert demand.scope == pb.AccessScope.Name(access.scope).removeprefix(SCOPE).lower(), name
        assert demand.right == (pb.Right.Name(access.right).removeprefix(RIGHT).lower() if access.right else ""), name
        assert demand.stage == (Stage.Name(access.stage).removeprefix(STAGE).lower() if access.stage else ""), name
        assert demand.does.endswith("."), name
