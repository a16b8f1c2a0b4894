"""What known callers were refused stands in the audit, in a chain with what was done."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from registrar.v1 import audit_service_pb2 as pb
from registrar.v1 import model_service_pb2 as models_pb
from registrar.v1 import model_version_service_pb2 as versions_pb
from registrar.v1.audit_pb2 import AUDIT_OUTCOME_DONE, AUDIT_OUTCOME_REFUSED, AuditEvent
from registrar.v1.audit_service_pb2_grpc import AuditServiceStub
from registrar.v1.reference_pb2 import ModelRef, Stage
from registrar_server.application.refusals import BURST
from tests.end_to_end.api import CALL_SECONDS, CODE, Api, by_number, refused
from tests.end_to_end.every_call import METHODS, call
from tests.fixtures.guarded import GuardedServer


@pytest.fixture
def audit(guarded: GuardedServer) -> Iterator[AuditServiceStub]:
    with guarded.channel(guarded.secret("acme", "auditor")) as channel:
        yield AuditServiceStub(channel)


def newest(audit: AuditServiceStub, **wanted: object) -> list[AuditEvent]:
    request = pb.ListAuditEventsRequest(**wanted)  # type: ignore[arg-type]
    return list(audit.ListAuditEvents(request, timeout=CALL_SECONDS).events)


def test_a_refused_promotion_says_who_wanted_what_and_why_not(guarded: GuardedServer, audit: AuditServiceStub) -> None:
    name = f"model-{secrets.token_hex(4)}"
    with guarded.channel(guarded.secret("acme", "administrator")) as channel:
        Api(channel).register(name)
    token = guarded.create_token("acme", "contributor")
    with guarded.channel(token.secret) as channel:
        attempt = {"ref": {"model": {"name": name}, "version": 1}, "stage": "STAGE_PRODUCTION", "comment": "now!"}
        assert call(channel, METHODS["TransitionStage"], {**attempt, "requestId": "r-1"})[1] == "PERMISSION_DENIED"
        assert call(channel, METHODS["TransitionStage"], {**attempt, "validateOnly": True})[1] == "PERMISSION_DENIED"
        refused(lambda: Api(channel).get(by_number(name, 9)), CODE.NOT_FOUND, "VERSION_NOT_FOUND")
    (entry,) = newest(audit, model=name, outcome=AUDIT_OUTCOME_REFUSED)
    assert (entry.actor, list(entry.roles)) == (f"service:{token.token.name}", ["contributor"])
    assert (entry.action, entry.reason) == ("transition_stage", "PERMISSION_DENIED")
    assert (entry.model, entry.version, entry.comment, entry.request_id) == (name, 1, "now!", "r-1")
    assert entry.after == '{"stage":"STAGE_PRODUCTION"}'
    assert entry.event_sequence == 0
    done = newest(audit, model=name, outcome=AUDIT_OUTCOME_DONE)
    assert {one.action for one in done} == {"model.created", "artifact.committed", "version.registered"}


def test_a_refusal_by_the_state_of_things_is_one_too(guarded: GuardedServer, audit: AuditServiceStub) -> None:
    name = f"model-{secrets.token_hex(4)}"
    with guarded.channel(guarded.secret("acme", "administrator")) as channel:
        api = Api(channel)
        api.register(name)
        api.move(name, 1, Stage.STAGE_STAGING)
        delete = models_pb.DeleteModelRequest(model=ModelRef(name=name))
        refused(lambda: api.models.DeleteModel(delete), CODE.FAILED_PRECONDITION, "MODEL_IN_USE")
        move = versions_pb.SetAliasRequest(ref=by_number(name, 1), alias="champion", expected_version=7)
        refused(lambda: api.versions.SetAlias(move), CODE.ABORTED, "ALIAS_MOVED")
        refused(lambda: api.versions.SetAlias(versions_pb.SetAliasRequest()), CODE.INVALID_ARGUMENT, "INVALID_FIELD")
    found = newest(audit, model=name, outcome=AUDIT_OUTCOME_REFUSED)
    assert [(one.action, one.reason, one.alias) for one in found] == [
        ("set_alias", "ALIAS_MOVED", "champion"),
        ("delete_model", "MODEL_IN_USE", ""),
    ]


def test_who_tries_another_tenant_is_found_in_its_own(guarded: GuardedServer, audit: AuditServiceStub) -> None:
    token = guarded.create_token("globex", "administrator")
    with guarded.channel(token.secret) as channel:
        request = {"model": {"tenant": "acme", "name": "theirs"}}
        assert call(channel, METHODS["DeleteModel"], request)[1] == "TENANT_NOT_FOUND"
        own = AuditServiceStub(channel)
        (entry,) = newest(own, actor=f"service:{token.token.name}", outcome=AUDIT_OUTCOME_REFUSED)
    assert (entry.tenant, entry.action, entry.after) == ("globex", "delete_model", '{"tenant":"acme"}')
    assert newest(audit, actor=f"service:{token.token.name}") == []


def test_whoever_is_refused_over_and_over_fills_nothing(guarded: GuardedServer, audit: AuditServiceStub) -> None:
    token = guarded.create_token("acme", "reader")
    actor = f"service:{token.token.name}"
    with guarded.channel(token.secret) as channel:
        for _ in range(BURST * 3):
            call(channel, METHODS["CreateModel"], {"model": {"name": "mine"}})
    found = newest(audit, actor=actor, page_size=1_000)
    # One connection, and so one worker: each counts for itself.
    assert BURST <= len(found) < BURST * 2


def test_the_chain_holds_over_what_was_done_and_refused(guarded: GuardedServer, audit: AuditServiceStub) -> None:
    *_, last = audit.VerifyAudit(pb.VerifyAuditRequest(), timeout=CALL_SECONDS)
    assert last.verdict.is_intact
    assert last.verdict.head.tree_size > 0


def test_who_is_nobody_leaves_no_trace(guarded: GuardedServer, audit: AuditServiceStub) -> None:
    before = audit.GetAuditHead(pb.GetAuditHeadRequest(), timeout=CALL_SECONDS).head.tree_size
    with guarded.channel() as channel:
        assert call(channel, METHODS["DeleteModel"], {"model": {"tenant": "acme", "name": "m"}})[0] == "UNAUTHENTICATED"
    after = audit.GetAuditHead(pb.GetAuditHeadRequest(), timeout=CALL_SECONDS).head.tree_size
    assert after == before
