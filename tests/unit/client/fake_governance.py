"""Policies, approvals, comments and checks, in the registry of the client's tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import grpc
from google.rpc import error_details_pb2

from registrar.v1 import (
    approval_pb2,
    lifecycle_service_pb2_grpc,
    model_version_pb2,
    policy_pb2,
    reference_pb2,
    review_pb2,
)
from registrar.v1 import lifecycle_service_pb2 as pb
from tests.unit.client.fake_state import EPOCH_SECONDS, Base, State, refuse

Item = TypeVar("Item")


def check_gates(state: State, context: grpc.ServicerContext, *, break_glass: bool, **where: str) -> None:
    """Refuse a move while gates fail, unless it is made against them."""
    if not state.failed_gates or break_glass:
        return
    failure = error_details_pb2.PreconditionFailure()
    for gate in state.failed_gates:
        failure.violations.add(
            type=gate.type, subject=f"{gate.policy.name}/{gate.subject}", description=gate.description
        )
    names = ", ".join(dict.fromkeys(gate.policy.name for gate in state.failed_gates))
    refuse(context, grpc.StatusCode.FAILED_PRECONDITION, "POLICY_NOT_MET", failure, policies=names, **where)


class Governance(Base, lifecycle_service_pb2_grpc.LifecycleServiceServicer):
    def _policy(self, name: str, context: grpc.ServicerContext) -> policy_pb2.Policy:
        revisions = self.state.policies.get(name)
        if not revisions or revisions[-1].HasField("delete_time"):
            refuse(context, grpc.StatusCode.NOT_FOUND, "POLICY_NOT_FOUND", policy=name)
        return revisions[-1]

    def CreatePolicy(self, request: pb.CreatePolicyRequest, context: grpc.ServicerContext) -> pb.CreatePolicyResponse:
        def make() -> pb.CreatePolicyResponse:
            if request.name in self.state.policies:
                refuse(context, grpc.StatusCode.ALREADY_EXISTS, "POLICY_EXISTS", policy=request.name)
            policy = policy_pb2.Policy(
                tenant=request.tenant or "default",
                name=request.name,
                description=request.description,
                scope=request.scope,
                rules=request.rules,
                revision=1,
                digest="sha256:" + "0" * 64,
                etag="p1",
                updated_by="local",
            )
            policy.create_time.seconds = policy.update_time.seconds = EPOCH_SECONDS
            if request.validate_only:
                return pb.CreatePolicyResponse(policy=policy)
            self.state.policies[policy.name] = [policy]
            return pb.CreatePolicyResponse(policy=policy, event_sequence=self.state.next_sequence())

        return self.answer(request, context, make, request.request_id)

    def GetPolicy(self, request: pb.GetPolicyRequest, context: grpc.ServicerContext) -> pb.GetPolicyResponse:
        def make() -> pb.GetPolicyResponse:
            if request.revision:
                return pb.GetPolicyResponse(policy=self.state.policies[request.name][request.revision - 1])
            return pb.GetPolicyResponse(policy=self._policy(request.name, context))

        return self.answer(request, context, make)

    def ListPolicies(self, request: pb.ListPoliciesRequest, context: grpc.ServicerContext) -> pb.ListPoliciesResponse:
        def make() -> pb.ListPoliciesResponse:
            last = [self.state.policies[name][-1] for name in sorted(self.state.policies)]
            found = [policy for policy in last if request.show_deleted or not policy.HasField("delete_time")]
            page, token = _page(found, request.page_token)
            return pb.ListPoliciesResponse(policies=page, next_page_token=token)

        return self.answer(request, context, make)

    def ListPolicyRevisions(
        self, request: pb.ListPolicyRevisionsRequest, context: grpc.ServicerContext
    ) -> pb.ListPolicyRevisionsResponse:
        def make() -> pb.ListPolicyRevisionsResponse:
            page, token = _page(self.state.policies[request.name][::-1], request.page_token)
            return pb.ListPolicyRevisionsResponse(policies=page, next_page_token=token)

        return self.answer(request, context, make)

    def UpdatePolicy(self, request: pb.UpdatePolicyRequest, context: grpc.ServicerContext) -> pb.UpdatePolicyResponse:
        def make() -> pb.UpdatePolicyResponse:
            before = self._policy(request.name, context)
            if request.etag not in {"", before.etag}:
                refuse(context, grpc.StatusCode.ABORTED, "ETAG_MISMATCH", etag=before.etag)
            after = policy_pb2.Policy()
            after.CopyFrom(before)
            if request.HasField("description"):
                after.description = request.description
            if request.HasField("scope"):
                after.scope.CopyFrom(request.scope)
            if request.HasField("rules"):
                after.rules.CopyFrom(request.rules)
            if after == before:
                return pb.UpdatePolicyResponse(policy=before)
            after.revision += 1
            after.etag = f"p{after.revision}"
            if request.validate_only:
                return pb.UpdatePolicyResponse(policy=after)
            self.state.policies[request.name].append(after)
            return pb.UpdatePolicyResponse(policy=after, event_sequence=self.state.next_sequence())

        return self.answer(request, context, make, request.request_id)

    def DeletePolicy(self, request: pb.DeletePolicyRequest, context: grpc.ServicerContext) -> pb.DeletePolicyResponse:
        def make() -> pb.DeletePolicyResponse:
            policy = self._policy(request.name, context)
            policy.delete_time.seconds = EPOCH_SECONDS
            return pb.DeletePolicyResponse(policy=policy, event_sequence=self.state.next_sequence())

        return self.answer(request, context, make, request.request_id)

    def TestPolicy(self, request: pb.TestPolicyRequest, context: grpc.ServicerContext) -> pb.TestPolicyResponse:
        """Every version fails the gates of the state; the first was there."""

        def make() -> pb.TestPolicyResponse:
            response = pb.TestPolicyResponse(is_truncated=bool(self.state.failed_gates))
            for model, versions in self.state.versions.items():
                for version in reversed(versions):
                    response.trials.add(
                        model=model,
                        version=version.version,
                        stage=reference_pb2.STAGE_PRODUCTION,
                        is_covered=version.version > 0,
                        failed_gates=self.state.failed_gates,
                        compared_with=version.version - 1,
                        was_there=version.version == 1,
                    )
            return response

        return self.answer(request, context, make)

    def RequestApproval(
        self, request: pb.RequestApprovalRequest, context: grpc.ServicerContext
    ) -> pb.RequestApprovalResponse:
        def make() -> pb.RequestApprovalResponse:
            version = self.resolve(request.ref, context)
            approval = approval_pb2.Approval(
                id=f"{len(self.state.approvals) + 1:032x}",
                tenant="default",
                model=version.name,
                version=version.version,
                version_uid=version.uid,
                status=model_version_pb2.APPROVAL_STATUS_PENDING,
                requested_by="local",
                comment=request.comment,
                awaiting=self.state.awaiting,
                manifest_digest=version.manifest_digest,
                policies=[policy_pb2.PolicyRef(tenant="default", name="gate", revision=1)],
            )
            if request.WhichOneof("target") == "stage":
                approval.stage = request.stage
            else:
                approval.alias = request.alias
            approval.request_time.seconds = EPOCH_SECONDS
            self.state.approvals.insert(0, approval)
            return pb.RequestApprovalResponse(
                approval=approval, failed_gates=self.state.failed_gates, event_sequence=self.state.next_sequence()
            )

        return self.answer(request, context, make, request.request_id)

    def _approval(self, approval_id: str, context: grpc.ServicerContext) -> approval_pb2.Approval:
        found = next((approval for approval in self.state.approvals if approval.id == approval_id), None)
        if found is None:
            refuse(context, grpc.StatusCode.NOT_FOUND, "APPROVAL_NOT_FOUND", approval_id=approval_id)
        return found

    def DecideApproval(
        self, request: pb.DecideApprovalRequest, context: grpc.ServicerContext
    ) -> pb.DecideApprovalResponse:
        def make() -> pb.DecideApprovalResponse:
            approval = self._approval(request.approval_id, context)
            decision = approval.decisions.add(
                approver="user:risk@example.com",
                approver_role=request.approver_role,
                decision=request.decision,
                notes=request.notes,
                method="oidc",
            )
            decision.decide_time.seconds = EPOCH_SECONDS
            left = [one for one in approval.awaiting if one.role != request.approver_role]
            del approval.awaiting[:]
            approval.awaiting.extend(left)
            if request.decision == approval_pb2.DECISION_REJECT:
                approval.status = model_version_pb2.APPROVAL_STATUS_REJECTED
            elif not left:
                approval.status = model_version_pb2.APPROVAL_STATUS_APPROVED
            return pb.DecideApprovalResponse(approval=approval, event_sequence=self.state.next_sequence())

        return self.answer(request, context, make, request.request_id)

    def WithdrawApproval(
        self, request: pb.WithdrawApprovalRequest, context: grpc.ServicerContext
    ) -> pb.WithdrawApprovalResponse:
        def make() -> pb.WithdrawApprovalResponse:
            approval = self._approval(request.approval_id, context)
            approval.status = model_version_pb2.APPROVAL_STATUS_WITHDRAWN
            return pb.WithdrawApprovalResponse(approval=approval, event_sequence=self.state.next_sequence())

        return self.answer(request, context, make, request.request_id)

    def GetApproval(self, request: pb.GetApprovalRequest, context: grpc.ServicerContext) -> pb.GetApprovalResponse:
        return self.answer(
            request, context, lambda: pb.GetApprovalResponse(approval=self._approval(request.approval_id, context))
        )

    def ListApprovals(
        self, request: pb.ListApprovalsRequest, context: grpc.ServicerContext
    ) -> pb.ListApprovalsResponse:
        def make() -> pb.ListApprovalsResponse:
            ended = {
                model_version_pb2.APPROVAL_STATUS_REJECTED,
                model_version_pb2.APPROVAL_STATUS_WITHDRAWN,
                model_version_pb2.APPROVAL_STATUS_USED,
            }
            found = [
                approval
                for approval in self.state.approvals
                if request.model in {"", approval.model}
                and request.version in {0, approval.version}
                and not (request.open_only and approval.status in ended)
                and request.awaiting_role in {"", *(one.role for one in approval.awaiting)}
            ]
            page, token = _page(found, request.page_token)
            return pb.ListApprovalsResponse(approvals=page, next_page_token=token)

        return self.answer(request, context, make)

    def CreateComment(
        self, request: pb.CreateCommentRequest, context: grpc.ServicerContext
    ) -> pb.CreateCommentResponse:
        def make() -> pb.CreateCommentResponse:
            sequence = self.state.next_sequence()
            comment = review_pb2.Comment(
                id=f"{len(self.state.comments) + 1:032x}",
                version=self.resolve(request.ref, context).version,
                text=request.text,
                author="local",
                reply_to=request.reply_to,
                event_sequence=sequence,
            )
            comment.create_time.seconds = EPOCH_SECONDS
            self.state.comments.insert(0, comment)
            return pb.CreateCommentResponse(comment=comment, event_sequence=sequence)

        return self.answer(request, context, make, request.request_id)

    def ListComments(self, request: pb.ListCommentsRequest, context: grpc.ServicerContext) -> pb.ListCommentsResponse:
        def make() -> pb.ListCommentsResponse:
            found = [comment for comment in self.state.comments if request.version in {0, comment.version}]
            page, token = _page(found, request.page_token)
            return pb.ListCommentsResponse(comments=page, next_page_token=token)

        return self.answer(request, context, make)

    def ReportCheck(self, request: pb.ReportCheckRequest, context: grpc.ServicerContext) -> pb.ReportCheckResponse:
        def make() -> pb.ReportCheckResponse:
            version = self.resolve(request.ref, context)
            sequence = self.state.next_sequence()
            result = review_pb2.CheckResult(
                version=version.version,
                name=request.name,
                outcome=request.outcome,
                summary=request.summary,
                details_uri=request.details_uri,
                reported_by="local",
                manifest_digest=version.manifest_digest,
                event_sequence=sequence,
            )
            result.report_time.seconds = EPOCH_SECONDS
            self.state.checks.insert(0, result)
            return pb.ReportCheckResponse(result=result, event_sequence=sequence)

        return self.answer(request, context, make, request.request_id)

    def ListChecks(self, request: pb.ListChecksRequest, context: grpc.ServicerContext) -> pb.ListChecksResponse:
        def make() -> pb.ListChecksResponse:
            page, token = _page(self.state.checks, request.page_token)
            return pb.ListChecksResponse(results=page, next_page_token=token)

        return self.answer(request, context, make)


def _page(items: Sequence[Item], token: str) -> tuple[Sequence[Item], str]:
    """Pages are small, so that there are several."""
    begin = int(token or 0)
    return items[begin : begin + 2], str(begin + 2) if len(items) > begin + 2 else ""
