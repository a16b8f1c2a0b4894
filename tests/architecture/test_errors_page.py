"""The reasons of errors are told in four places, and all of them say the same."""

from __future__ import annotations

from registrar.v1.error_pb2 import ErrorReason
from registrar_server.domain.errors import Reason
from registrar_server.transport.errors import CODES
from tools.make_errors_page import PAGE, PREFIX, read_contract, render


def test_every_reason_of_the_server_is_in_the_contract_and_the_other_way_round() -> None:
    told = {name.removeprefix(PREFIX) for name, _ in ErrorReason.items()} - {"UNSPECIFIED"}
    assert {reason.value for reason in Reason} == told


def test_every_reason_has_the_status_that_its_comment_says() -> None:
    said = {reason.name: reason.code for reason in read_contract().reasons}
    assert {reason.value: code.name for reason, code in CODES.items()} == said


def test_every_reason_has_a_status() -> None:
    assert set(CODES) == set(Reason)


def test_every_reason_says_when_it_happens() -> None:
    assert all(reason.text.endswith(".") for reason in read_contract().reasons)


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(read_contract())
