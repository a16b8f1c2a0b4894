"""`connect`, and the registry that it gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

import grpc

from registrar import client as blocking
from registrar.aio.connection import Connection
from registrar.aio.methods import listing, unary
from registrar.aio.transfers import TransferCalls, from_thread, in_thread
from registrar.calls import access as access_calls
from registrar.calls import admin, aliases, bundles, lifecycle
from registrar.calls import approvals as approval_calls
from registrar.calls import audit as audit_calls
from registrar.calls import cards as card_calls
from registrar.calls import lineage as lineage_calls
from registrar.calls import models as model_calls
from registrar.calls import policies as policy_calls
from registrar.calls import reviews as review_calls
from registrar.calls import search as search_calls
from registrar.calls import tenants as tenant_calls
from registrar.calls import versions as version_calls
from registrar.context import AnyVersionRef
from registrar.retry import Patience, RetryPolicy
from registrar.settings import resolve_settings
from registrar.tokens import TokenCallable
from registrar.types import Artifact
from registrar.values import BundleFile


def connect(
    target: str | None = None,
    *,
    tenant: str | None = None,
    timeout_seconds: float = 60.0,
    connect_timeout_seconds: float = 10.0,
    retry: RetryPolicy | None = None,
    credentials: grpc.ChannelCredentials | None = None,
    token: str | TokenCallable | None = None,
) -> Registry:
    """A registry, to be closed after use: `async with aio.connect() as registry: …`. Arguments: `registrar.connect`'s.

    It belongs to the event loop of its first call; no connection is made before that.
    """
    settings = resolve_settings(
        target,
        tenant=tenant,
        timeout_seconds=timeout_seconds,
        connect_timeout_seconds=connect_timeout_seconds,
        retry=retry,
        credentials=credentials,
        token=token,
    )
    return Registry(Connection(settings))


class Registry(TransferCalls):
    """A model registry, for the tasks of one event loop; made by `connect`.

    Every change carries a request id (a new one unless given), so it is tried again after a broken connection without
    being made twice. What another caller's change makes impossible raises Aborted and is never tried again by itself.
    Cancelling a task ends its call. A transfer that is cancelled first waits for its thread, which ends soon and leaves
    what the same call goes on with later; its `progress` is called by that thread. At most 16 transfers work at once.
    """

    create_model = unary(model_calls.create_model)
    model = unary(model_calls.model)
    models = listing(model_calls.models)
    update_model = unary(model_calls.update_model)
    delete_model = unary(model_calls.delete_model)
    undelete_model = unary(model_calls.undelete_model)

    register = unary(version_calls.register)
    check = unary(version_calls.check)
    get = unary(version_calls.get)
    compare = unary(version_calls.compare)
    update = unary(version_calls.update)
    delete = unary(version_calls.delete)
    undelete = unary(version_calls.undelete)
    versions = listing(version_calls.versions)
    search = listing(search_calls.search)

    set_alias = unary(aliases.set_alias)
    delete_alias = unary(aliases.delete_alias)
    alias_history = listing(aliases.alias_history)

    promote = unary(lifecycle.promote)
    rollback = unary(lifecycle.rollback)
    transitions = listing(lifecycle.transitions)

    create_policy = unary(policy_calls.create_policy)
    policy = unary(policy_calls.policy)
    policies = listing(policy_calls.policies)
    policy_revisions = listing(policy_calls.policy_revisions)
    update_policy = unary(policy_calls.update_policy)
    delete_policy = unary(policy_calls.delete_policy)
    test_policy = unary(policy_calls.test_policy)

    request_approval = unary(approval_calls.request_approval)
    decide_approval = unary(approval_calls.decide_approval)
    approve = unary(approval_calls.approve)
    reject = unary(approval_calls.reject)
    withdraw_approval = unary(approval_calls.withdraw_approval)
    approval = unary(approval_calls.approval)
    approvals = listing(approval_calls.approvals)

    comment = unary(review_calls.comment)
    comments = listing(review_calls.comments)
    report_check = unary(review_calls.report_check)
    checks = listing(review_calls.checks)

    card = unary(card_calls.card)
    card_revisions = listing(card_calls.card_revisions)
    update_card = unary(card_calls.update_card)
    render_card = unary(card_calls.render_card)
    parse_card = unary(card_calls.parse_card)

    lineage = unary(lineage_calls.lineage)
    metadata_schema = unary(lineage_calls.metadata_schema)
    update_metadata_schema = unary(lineage_calls.update_metadata_schema)

    push = in_thread(blocking.Registry.push)
    upload = in_thread(blocking.Registry.upload)
    abort_upload = unary(bundles.abort_upload)
    pull = in_thread(blocking.Registry.pull)
    download = from_thread(blocking.Registry.download)
    download_urls = in_thread(blocking.Registry.download_urls)
    verify = in_thread(blocking.Registry.verify)

    server_info = unary(admin.server_info)
    is_serving = unary(admin.is_serving)

    caller = unary(access_calls.caller)
    login_options = unary(access_calls.login_options)
    create_role = unary(access_calls.create_role)
    get_role = unary(access_calls.get_role)
    roles = listing(access_calls.roles)
    update_role = unary(access_calls.update_role)
    delete_role = unary(access_calls.delete_role)
    bind_role = unary(access_calls.bind_role)
    role_bindings = listing(access_calls.role_bindings)
    unbind_role = unary(access_calls.unbind_role)
    create_token = unary(access_calls.create_token)
    tokens = listing(access_calls.tokens)
    revoke_token = unary(access_calls.revoke_token)
    revoke_sessions = unary(access_calls.revoke_sessions)

    create_tenant = unary(tenant_calls.create_tenant)
    get_tenant = unary(tenant_calls.get_tenant)
    tenants = listing(tenant_calls.tenants)
    update_tenant = unary(tenant_calls.update_tenant)
    suspend_tenant = unary(tenant_calls.suspend_tenant)
    resume_tenant = unary(tenant_calls.resume_tenant)
    delete_tenant = unary(tenant_calls.delete_tenant)
    undelete_tenant = unary(tenant_calls.undelete_tenant)

    audit_events = listing(audit_calls.audit_events)
    audit_head = unary(audit_calls.audit_head)
    audit_proof = unary(audit_calls.audit_proof)
    verify_audit = in_thread(blocking.Registry.verify_audit)
    export_audit = in_thread(blocking.Registry.export_audit)
    audit_key = unary(audit_calls.audit_key)
    export_evidence = in_thread(blocking.Registry.export_evidence)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End every call and transfer that runs, and the connections. May be called twice."""
        await self._connection.close()
        await self._workers.close()

    @property
    def target(self) -> str:
        """Where it is."""
        return self._connection.target

    @property
    def event_sequence(self) -> int:
        """Sequence of the last change that was made through this object; 0: none."""
        return self._connection.sequence.value

    async def artifact(self, ref: AnyVersionRef) -> Artifact:
        """The bundle of a version. Errors: NotFound; FailedPrecondition when its artifact is external."""
        version = await self.get(ref)
        return await self._connection.run(bundles.artifact_of(self._connection, version))

    async def files(self, ref: AnyVersionRef) -> AsyncIterator[BundleFile]:
        """The files of a version's bundle, by path; pages are fetched as they are consumed."""
        version = await self.get(ref)
        async for file in self._connection.iterate(bundles.files_of(self._connection, version)):
            yield file

    async def wait_mirrored(self, sequence: int | None = None, *, timeout_seconds: float = 30.0) -> None:
        """Wait until MLflow has every change up to a sequence; None: up to the last one made through this object.

        Errors: DeadlineExceeded when it has not in time; the change itself stands all the same.
        """
        wanted = self.event_sequence if sequence is None else sequence
        patience = Patience(timeout_seconds)
        while (mirrored := (await self.server_info()).mirror.mirrored_sequence) < wanted:
            if not patience.allows(admin.MIRROR_POLL_SECONDS):
                raise admin.mirror_behind(mirrored, wanted)
            await asyncio.sleep(admin.MIRROR_POLL_SECONDS)
