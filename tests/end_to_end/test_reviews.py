"""Comments and checks over the wire."""

from __future__ import annotations

import secrets
from typing import Any

import grpc
import pytest

from registrar.v1 import lifecycle_service_pb2 as pb
from registrar.v1 import policy_pb2, reference_pb2, review_pb2
from registrar.v1.model_version_service_pb2 import DeleteModelVersionRequest
from tests.end_to_end.api import CALL_SECONDS, CODE, Api, by_number, by_stage, model_ref, refused, violated
from tests.fixtures.guarded import GuardedServer

PASSED, FAILED = review_pb2.CHECK_OUTCOME_PASSED, review_pb2.CHECK_OUTCOME_FAILED
STAGING = reference_pb2.STAGE_STAGING


@pytest.fixture
def api(channel: grpc.Channel) -> Api:
    return Api(channel)


@pytest.fixture
def model(api: Api, unique_name: str) -> str:
    """A model with two versions."""
    artifact_id = api.register(unique_name).artifact_id
    api.register(unique_name, artifact_id=artifact_id)
    return unique_name


def comment(api: Api, name: str, text: str, version: int = 1, **fields: Any) -> review_pb2.Comment:
    request = pb.CreateCommentRequest(ref=by_number(name, version), text=text, **fields)
    return api.lifecycle.CreateComment(request, timeout=CALL_SECONDS).comment


def comments(api: Api, name: str, **fields: Any) -> pb.ListCommentsResponse:
    request = pb.ListCommentsRequest(model=model_ref(name), **fields)
    return api.lifecycle.ListComments(request, timeout=CALL_SECONDS)


def report(
    api: Api,
    name: str,
    check: str,
    outcome: review_pb2.CheckOutcome.ValueType = PASSED,
    version: int = 1,
    **fields: Any,
) -> review_pb2.CheckResult:
    request = pb.ReportCheckRequest(ref=by_number(name, version), name=check, outcome=outcome, **fields)
    return api.lifecycle.ReportCheck(request, timeout=CALL_SECONDS).result


def checks(api: Api, name: str, **fields: Any) -> pb.ListChecksResponse:
    request = pb.ListChecksRequest(ref=by_number(name, 1), **fields)
    return api.lifecycle.ListChecks(request, timeout=CALL_SECONDS)


class TestComments:
    def test_they_are_listed_as_they_were_said_the_newest_first(self, api: Api, model: str) -> None:
        first = comment(api, model, "why is f1 lower on the eu slice?")
        answer = comment(api, model, "fewer rows: see the card", reply_to=first.id)
        other = comment(api, model, "looks good", version=2)
        assert list(comments(api, model).comments) == [other, answer, first]
        assert list(comments(api, model, version=1).comments) == [answer, first]
        assert (first.version, first.author, first.reply_to) == (1, "local", "")
        assert answer.reply_to == first.id
        assert first.event_sequence < answer.event_sequence

    def test_pages_and_periods(self, api: Api, model: str) -> None:
        made = [comment(api, model, str(number)) for number in range(3)]
        page = comments(api, model, page_size=2)
        rest = comments(api, model, page_size=2, page_token=page.next_page_token)
        assert [*page.comments, *rest.comments] == made[::-1]
        assert not rest.next_page_token
        assert list(comments(api, model, start_time=made[1].create_time).comments) == [made[2], made[1]]
        assert list(comments(api, model, end_time=made[1].create_time).comments) == [made[0]]
        refused(
            lambda: comments(api, f"{model}x", page_token=page.next_page_token),
            CODE.INVALID_ARGUMENT,
            "PAGE_TOKEN_INVALID",
        )
        assert "end_time" in violated(
            lambda: comments(api, model, start_time=made[1].create_time, end_time=made[1].create_time)
        )

    def test_an_answer_is_to_a_comment_on_the_same_version(self, api: Api, model: str) -> None:
        first = comment(api, model, "hm")
        for reply_to, version in ((first.id, 2), ("0" * 32, 1)):
            absent = refused(
                lambda of=reply_to, on=version: comment(api, model, "yes", on, reply_to=of),  # type: ignore[misc]
                CODE.NOT_FOUND,
                "COMMENT_NOT_FOUND",
            )
            assert absent.metadata == {"comment_id": reply_to}

    def test_what_is_deleted_can_still_be_talked_about(self, api: Api, model: str) -> None:
        api.versions.DeleteModelVersion(DeleteModelVersionRequest(ref=by_number(model, 2)), timeout=CALL_SECONDS)
        assert comment(api, model, "it leaked the labels", version=2).version == 2

    def test_wrong_fields_are_named_all_at_once(self, api: Api, model: str) -> None:
        assert set(violated(lambda: comment(api, model, "", reply_to="x"))) == {"text", "reply_to"}
        assert set(violated(lambda: comment(api, model, "x" * 5_001))) == {"text"}
        assert set(violated(lambda: comment(api, model, "\0"))) == {"text"}
        assert set(violated(lambda: comment(api, model, " \n "))) == {"text"}
        comment(api, model, "x" * 5_000)

    def test_a_repetition_says_it_once(self, api: Api, model: str) -> None:
        key = secrets.token_hex(8)
        assert comment(api, model, "once", request_id=key) == comment(api, model, "once", request_id=key)
        assert len(comments(api, model).comments) == 1
        refused(lambda: comment(api, model, "twice", request_id=key), CODE.INVALID_ARGUMENT, "REQUEST_ID_REUSED")

    @pytest.mark.parametrize(
        ("role", "may"),
        [("reader", False), ("auditor", False), ("contributor", True), ("release-engineer", True), ("approver", True)],
    )
    def test_who_has_a_part_in_it_may_speak(self, guarded: GuardedServer, role: str, may: bool) -> None:
        name = f"credit-{secrets.token_hex(4)}"
        with guarded.channel(guarded.secret("acme", "administrator")) as channel:
            Api(channel).register(name)
        with guarded.channel(guarded.secret("acme", role)) as channel:
            own = Api(channel)
            if may:
                assert comment(own, name, "hello").author.startswith("service:")
            else:
                missing = refused(lambda: comment(own, name, "hello"), CODE.PERMISSION_DENIED, "PERMISSION_DENIED")
                assert missing.metadata["right"] == "register,promote,approve"
            assert len(comments(own, name).comments) == int(may)


class TestChecks:
    def test_results_are_listed_as_they_were_reported(self, api: Api, model: str) -> None:
        digest = api.get(by_number(model, 1)).manifest_digest
        first = report(api, model, "pickle-scan", summary="2 files", details_uri="https://ci.example.com/7")
        assert (first.version, first.reported_by, first.manifest_digest) == (1, "local", digest)
        second = report(api, model, "pickle-scan", FAILED)
        report(api, model, "pickle-scan", version=2)
        assert list(checks(api, model).results) == [second, first]
        page = checks(api, model, page_size=1)
        rest = checks(api, model, page_size=1, page_token=page.next_page_token)
        assert [*page.results, *rest.results] == [second, first]
        assert not rest.next_page_token

    def test_a_policy_goes_by_the_last_one(self, api: Api, model: str) -> None:
        scope = policy_pb2.PolicyScope(model_patterns=[model], target_stages=[STAGING])
        rules = policy_pb2.PolicyRules(checks=[policy_pb2.CheckRule(name="pickle-scan")])
        wanted = pb.CreatePolicyRequest(name=f"scanned-{secrets.token_hex(4)}", scope=scope, rules=rules)
        api.lifecycle.CreatePolicy(wanted, timeout=CALL_SECONDS)
        for outcome in (PASSED, FAILED):
            report(api, model, "pickle-scan", outcome)
        failed = refused(lambda: api.move(model, 1, STAGING), CODE.FAILED_PRECONDITION, "POLICY_NOT_MET")
        assert failed.preconditions == ("CHECK",)
        report(api, model, "pickle-scan")
        api.move(model, 1, STAGING)
        assert api.get(by_stage(model, STAGING)).version == 1

    def test_wrong_fields_are_named_all_at_once(self, api: Api, model: str) -> None:
        outcome = review_pb2.CHECK_OUTCOME_UNSPECIFIED
        wrong = violated(
            lambda: report(api, model, "Scan", outcome, summary="x" * 5_001, details_uri="x" * 2_001, request_id="\n")
        )
        assert set(wrong) == {"name", "outcome", "summary", "details_uri", "request_id"}

    def test_what_is_deleted_is_not_checked(self, api: Api, model: str) -> None:
        api.versions.DeleteModelVersion(DeleteModelVersionRequest(ref=by_number(model, 1)), timeout=CALL_SECONDS)
        refused(lambda: report(api, model, "scan"), CODE.FAILED_PRECONDITION, "VERSION_DELETED")

    def test_a_repetition_is_reported_once(self, api: Api, model: str) -> None:
        key = secrets.token_hex(8)
        assert report(api, model, "scan", request_id=key) == report(api, model, "scan", request_id=key)
        assert len(checks(api, model).results) == 1
        refused(lambda: report(api, model, "scan", FAILED, request_id=key), CODE.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
