"""The asyncio client against a whole server: what it gives and raises is what the synchronous one gives and raises."""

from __future__ import annotations

import asyncio
import inspect
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

import registrar
from registrar import aio
from tests.end_to_end import sessions
from tests.end_to_end.api import Api
from tests.fixtures.proxy import TcpProxy
from tests.fixtures.server import RunningServer
from tests.fixtures.stores import wait_until

HANGS_SECONDS = 20
PARALLEL_CALLS = 100
LARGE_BYTES = 48 << 20
"""Several parts of an upload, and many chunks."""


@dataclass(frozen=True)
class Case:
    """A model with two versions, 2 in production after 1, which `champion` names; a folder; an id for one change.

    Also a role, a binding of another one, a token, a tenant and a policy, with the model's name. The policy wants the approval
    of a `checker` before the alias `guarded` moves; one is asked for version 1.
    """

    name: str
    artifact: registrar.Artifact
    folder: Path
    destination: Path
    request_id: str
    binding_id: str
    token_id: str
    approval_id: str


Act = Callable[[Any, Case], Any]
GRANTS = [registrar.Grant(registrar.Right.READ)]
RULES = registrar.PolicyRules(approval=registrar.ApprovalRule(approvers=(registrar.ApproverRequirement("checker"),)))


def make_large(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "weights.bin").write_bytes(secrets.token_bytes(1 << 20) * (LARGE_BYTES >> 20))
    return folder


@pytest.fixture
def case(registry: registrar.Registry, unique_name: str, tmp_path: Path) -> Case:
    """One to change."""
    return make_case(registry, unique_name, tmp_path)


@pytest.fixture(scope="module")
def read_case(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """One that nobody changes."""
    with server.connect() as registry:
        return make_case(registry, f"model-{secrets.token_hex(6)}", tmp_path_factory.mktemp("read"))


def make_case(registry: registrar.Registry, unique_name: str, tmp_path: Path) -> Case:
    folder = tmp_path / "model"
    (folder / "data").mkdir(parents=True)
    (folder / "model.bin").write_bytes(secrets.token_bytes(3_000_000))
    (folder / "data" / "vocabulary.txt").write_text(unique_name)
    artifact = registry.upload(folder, name=unique_name, progress=False)
    for auc in (0.5, 0.75):
        version = registry.register(unique_name, artifact_id=artifact.id, metrics={"auc": auc})
        registry.promote(version, to=registrar.Stage.PRODUCTION)
    registry.set_alias(unique_name, "champion", 1)
    registry.create_role(unique_name, GRANTS)
    binding = registry.bind_role("reader", f"user:{unique_name}")
    token = registry.create_token(unique_name, role="reader")
    registry.create_tenant(unique_name)
    scope = registrar.PolicyScope(model_patterns=(unique_name,), alias_patterns=("guarded",))
    registry.create_policy(unique_name, scope=scope, rules=RULES)
    approval = registry.request_approval(f"{unique_name}/1", alias="guarded").approval
    registry.comment(f"{unique_name}/1", "good")
    registry.report_check(f"{unique_name}/1", "scan", outcome=registrar.CheckOutcome.PASSED)
    return Case(
        unique_name,
        artifact,
        folder,
        tmp_path / "out",
        secrets.token_hex(16),
        binding_id=binding.id,
        token_id=token.id,
        approval_id=approval.id,
    )


READS: dict[str, Act] = {
    "model": lambda registry, case: registry.model(case.name, strong=True),
    "models": lambda registry, case: registry.models(prefix=case.name),
    "get": lambda registry, case: registry.get(f"{case.name}@champion"),
    "versions": lambda registry, case: registry.versions(case.name, page_size=1),
    "search": lambda registry, case: registry.search(f'name = "{case.name}"', page_size=1),
    "compare": lambda registry, case: registry.compare(case.name, [1, f"{case.name}:production"]),
    "alias_history": lambda registry, case: registry.alias_history(case.name, alias="champion"),
    "transitions": lambda registry, case: registry.transitions(case.name, page_size=1),
    "check": lambda registry, case: registry.check(case.name, artifact_id=case.artifact.id),
    "artifact": lambda registry, case: registry.artifact(f"{case.name}/1"),
    "files": lambda registry, case: registry.files(f"{case.name}/1"),
    "upload": lambda registry, case: registry.upload(case.folder, name=case.name, progress=False),
    "download": lambda registry, case: registry.download(f"{case.name}/1", "model.bin", offset=7, length=2_000_000),
    "is_serving": lambda registry, case: registry.is_serving(),
    "server_info": lambda registry, case: registry.server_info(),
    "wait_mirrored": lambda registry, case: registry.wait_mirrored(1),
    "abort_upload": lambda registry, case: registry.abort_upload("0" * 32),
    "download_urls": lambda registry, case: registry.download_urls(f"{case.name}/1", ["model.bin"]),
    "verify": lambda registry, case: registry.verify(f"{case.name}/1", progress=False),
    "caller": lambda registry, case: registry.caller(),
    "login_options": lambda registry, case: registry.login_options(),
    "get_role": lambda registry, case: registry.get_role(case.name),
    "roles": lambda registry, case: registry.roles(page_size=1),
    "role_bindings": lambda registry, case: registry.role_bindings(member=f"user:{case.name}", page_size=1),
    "tokens": lambda registry, case: registry.tokens(page_size=1),
    "get_tenant": lambda registry, case: registry.get_tenant(case.name),
    "tenants": lambda registry, case: registry.tenants(page_size=1),
    "audit_events": lambda registry, case: registry.audit_events(model=case.name, page_size=1),
    "audit_head": lambda registry, case: registry.audit_head(),
    "audit_proof": lambda registry, case: registry.audit_proof(position=1),
    "audit_key": lambda registry, case: registry.audit_key(),
    "verify_audit": lambda registry, case: registry.verify_audit(),
    "export_audit": lambda registry, case: registry.export_audit(case.destination.with_suffix(".jsonl")),
    "export_evidence": lambda registry, case: registry.export_evidence(
        f"{case.name}/1", case.destination.with_suffix(".tar")
    ),
    "policy": lambda registry, case: registry.policy(case.name),
    "policies": lambda registry, case: registry.policies(model=case.name, page_size=1),
    "policy_revisions": lambda registry, case: registry.policy_revisions(case.name, page_size=1),
    "test_policy": lambda registry, case: registry.test_policy(case.name, model=case.name),
    "approval": lambda registry, case: registry.approval(case.name, case.approval_id),
    "approvals": lambda registry, case: registry.approvals(case.name, page_size=1),
    "comments": lambda registry, case: registry.comments(case.name, page_size=1),
    "checks": lambda registry, case: registry.checks(f"{case.name}/1", page_size=1),
    "card": lambda registry, case: registry.card(f"{case.name}/1"),
    "card_revisions": lambda registry, case: registry.card_revisions(f"{case.name}/1", page_size=1),
    "render_card": lambda registry, case: registry.render_card(f"{case.name}/1"),
    "parse_card": lambda registry, case: registry.parse_card("# A model\n\n## Intended use\n\nNone.\n"),
    "lineage": lambda registry, case: registry.lineage(f"{case.name}/1"),
    "metadata_schema": lambda registry, case: registry.metadata_schema(tenant=case.name),
}

# A change is made once by both: whoever comes second repeats its request id, and is refused if it asks for anything else.
CHANGES: dict[str, Act] = {
    "create_model": lambda registry, case: registry.create_model(
        f"{case.name}-new",
        tags={"a": "b"},
        metric_goals={"f": registrar.MetricGoal.MAXIMIZE},
        request_id=case.request_id,
    ),
    "update_model": lambda registry, case: registry.update_model(
        case.name, description="d", tags={}, request_id=case.request_id
    ),
    "delete_model": lambda registry, case: registry.delete_model(f"{case.name}-spare", request_id=case.request_id),
    "undelete_model": lambda registry, case: registry.undelete_model(f"{case.name}-gone", request_id=case.request_id),
    "push": lambda registry, case: registry.push(
        case.folder, name=case.name, metrics={"auc": 0.9}, progress=False, request_id=case.request_id
    ),
    "register": lambda registry, case: registry.register(
        case.name, artifact_id=case.artifact.id, parameters={"depth": 8}, request_id=case.request_id
    ),
    "update": lambda registry, case: registry.update(f"{case.name}/1", tags={"a": "b"}, request_id=case.request_id),
    "delete": lambda registry, case: registry.delete(f"{case.name}/3", request_id=case.request_id),
    "undelete": lambda registry, case: registry.undelete(f"{case.name}/4", request_id=case.request_id),
    "set_alias": lambda registry, case: registry.set_alias(
        case.name, "champion", 2, expected=1, comment="c", request_id=case.request_id
    ),
    "delete_alias": lambda registry, case: registry.delete_alias(case.name, "champion", request_id=case.request_id),
    "promote": lambda registry, case: registry.promote(
        f"{case.name}/1", to=registrar.Stage.STAGING, expected_holder=0, request_id=case.request_id
    ),
    "rollback": lambda registry, case: registry.rollback(case.name, comment="c", request_id=case.request_id),
    "create_role": lambda registry, case: registry.create_role(f"{case.name}-x", GRANTS, request_id=case.request_id),
    "update_role": lambda registry, case: registry.update_role(
        case.name, description="d", grants=GRANTS, request_id=case.request_id
    ),
    "delete_role": lambda registry, case: registry.delete_role(case.name, request_id=case.request_id),
    "bind_role": lambda registry, case: registry.bind_role(
        case.name, "group:a b", models="a*", request_id=case.request_id
    ),
    "unbind_role": lambda registry, case: registry.unbind_role(case.binding_id, request_id=case.request_id),
    "create_token": lambda registry, case: registry.create_token(
        case.name, role=case.name, ttl_seconds=3600, request_id=case.request_id
    ),
    "revoke_token": lambda registry, case: registry.revoke_token(
        case.token_id, comment="c", request_id=case.request_id
    ),
    "revoke_sessions": lambda registry, case: registry.revoke_sessions(f"user:{case.name}", request_id=case.request_id),
    "create_tenant": lambda registry, case: registry.create_tenant(
        f"{case.name}-x", quotas=registrar.Quotas(models=0), request_id=case.request_id
    ),
    "update_tenant": lambda registry, case: registry.update_tenant(
        case.name, quotas=registrar.Quotas(bytes=7), request_id=case.request_id
    ),
    "suspend_tenant": lambda registry, case: registry.suspend_tenant(case.name, request_id=case.request_id),
    "resume_tenant": lambda registry, case: registry.resume_tenant(case.name, request_id=case.request_id),
    "delete_tenant": lambda registry, case: registry.delete_tenant(case.name, request_id=case.request_id),
    "undelete_tenant": lambda registry, case: registry.undelete_tenant(case.name, request_id=case.request_id),
    "create_policy": lambda registry, case: registry.create_policy(
        f"{case.name}-x",
        scope=registrar.PolicyScope(model_patterns=("other",), alias_patterns=("a",)),
        rules=RULES,
        request_id=case.request_id,
    ),
    "update_policy": lambda registry, case: registry.update_policy(
        case.name, description="d", request_id=case.request_id
    ),
    "delete_policy": lambda registry, case: registry.delete_policy(case.name, request_id=case.request_id),
    "request_approval": lambda registry, case: registry.request_approval(
        f"{case.name}/2", alias="guarded", comment="c", request_id=case.request_id
    ),
    "decide_approval": lambda registry, case: registry.decide_approval(
        case.name,
        case.approval_id,
        decision=registrar.Decision.APPROVE,
        role="checker",
        request_id=case.request_id,
    ),
    "approve": lambda registry, case: registry.approve(
        case.name, case.approval_id, role="checker", notes="n", request_id=case.request_id
    ),
    "reject": lambda registry, case: registry.reject(
        case.name, case.approval_id, role="checker", notes="n", request_id=case.request_id
    ),
    "withdraw_approval": lambda registry, case: registry.withdraw_approval(
        case.name, case.approval_id, comment="c", request_id=case.request_id
    ),
    "comment": lambda registry, case: registry.comment(f"{case.name}/1", "better", request_id=case.request_id),
    "report_check": lambda registry, case: registry.report_check(
        f"{case.name}/2", "scan", outcome=registrar.CheckOutcome.FAILED, summary="s", request_id=case.request_id
    ),
    "update_card": lambda registry, case: registry.update_card(
        f"{case.name}/1",
        registrar.ModelCard(intended_use=registrar.IntendedUse(primary_use="none")),
        fields=["intended_use"],
        comment="c",
        request_id=case.request_id,
    ),
    "update_metadata_schema": lambda registry, case: registry.update_metadata_schema(
        [registrar.MetadataField("tags.owner")], tenant=case.name, request_id=case.request_id
    ),
}


def prepare(name: str, registry: registrar.Registry, case: Case) -> None:
    """What some changes need."""
    if name in {"delete_model", "undelete_model"}:
        for suffix in ("spare", "gone"):
            registry.create_model(f"{case.name}-{suffix}")
        registry.delete_model(f"{case.name}-gone")
    if name in {"delete", "undelete"}:
        for _ in range(2):
            registry.register(case.name, artifact_id=case.artifact.id)
        registry.delete(f"{case.name}/4")
    if name == "resume_tenant":
        registry.suspend_tenant(case.name)
    if name == "undelete_tenant":
        registry.delete_tenant(case.name)


def waited(act: Act, registry: registrar.Registry, case: Case) -> object:
    """The result of the synchronous client, a list for an iterator."""
    result = act(registry, case)
    return list(result) if isinstance(result, Iterator) else result


def awaited(act: Act, server: RunningServer, case: Case) -> object:
    """The result of the asyncio client, a list for an iterator."""

    async def main() -> object:
        async with aio.connect(server.address) as registry:
            result = act(registry, case)
            if inspect.isawaitable(result):
                return await result
            return [item async for item in result]

    return asyncio.run(main())


def comparable(result: object) -> object:
    """Without what differs from one moment to the next, and with blocks as the bytes that they are."""
    if isinstance(result, registrar.ServerInfo):
        nothing = registrar.CacheStatus(0, 0, timedelta(), is_degraded=False)
        return replace(result, mirror=registrar.MirrorStatus(0, 0, 0), cache=nothing)
    if isinstance(result, registrar.Artifact):
        return replace(result, verify_time=None)
    if isinstance(result, list):
        if all(isinstance(item, bytes) for item in result):
            return b"".join(result)
        return [item.file if isinstance(item, registrar.DownloadUrl) else item for item in result]
    return result


def test_every_method_is_compared() -> None:
    methods = {name for name, _ in inspect.getmembers(aio.Registry, callable) if not name.startswith("_")}
    assert methods - {"aclose"} == {*READS, *CHANGES, "pull"}
    assert methods - {"aclose"} == {
        name for name, _ in inspect.getmembers(registrar.Registry, callable) if not name.startswith("_")
    } - {"close"}


@pytest.mark.parametrize("name", sorted(READS))
def test_a_read_gives_what_the_synchronous_client_gives(
    name: str, server: RunningServer, registry: registrar.Registry, read_case: Case
) -> None:
    expected = comparable(waited(READS[name], registry, read_case))
    assert comparable(awaited(READS[name], server, read_case)) == expected
    assert expected or name in {"check", "wait_mirrored", "abort_upload"}


@pytest.mark.parametrize("first", ["waits", "awaits"])
@pytest.mark.parametrize("name", sorted(CHANGES))
def test_a_change_is_the_one_that_the_synchronous_client_makes(
    name: str, first: str, server: RunningServer, registry: registrar.Registry, case: Case
) -> None:
    prepare(name, registry, case)
    ways: list[Callable[[], object]] = [
        lambda: waited(CHANGES[name], registry, case),
        lambda: awaited(CHANGES[name], server, case),
    ]
    made, repeated = [way() for way in (ways if first == "waits" else reversed(ways))]
    if isinstance(made, registrar.ApiToken):
        made = replace(made, secret="")  # which a repetition is not told
    assert made == repeated
    assert made or name in {"delete_role", "unbind_role"}


def test_a_pull_writes_what_the_synchronous_client_writes(
    server: RunningServer, registry: registrar.Registry, case: Case
) -> None:
    def contents(folder: Path) -> dict[str, bytes]:
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    folder = awaited(lambda r, c: r.pull(f"{c.name}@champion", c.destination, progress=False), server, case)
    assert isinstance(folder, Path)
    other = registry.pull(f"{case.name}@champion", case.destination.with_name("other"), progress=False)
    assert contents(folder) == contents(other) == contents(case.folder)


REFUSED: dict[str, Act] = {
    "not found": lambda registry, case: registry.get(f"{case.name}/9"),
    "not found, in a thread": lambda registry, case: registry.pull(f"{case.name}/9", case.destination),
    "invalid": lambda registry, case: registry.register(
        case.name, artifact_id=case.artifact.id, metrics={"auc": float("nan")}, semantic_version="one"
    ),
    "invalid here": lambda registry, case: registry.register(case.name),
    "exists": lambda registry, case: registry.create_model(case.name),
    "too late": lambda registry, case: registry.set_alias(case.name, "champion", 2, expected=2),
    "in use": lambda registry, case: registry.delete_model(case.name),
    "no range": lambda registry, case: registry.download(f"{case.name}/1", "model.bin", offset=10**9),
    "destination": lambda registry, case: registry.pull(f"{case.name}/1", case.folder),
    "other body": lambda registry, case: registry.create_model(f"{case.name}-x", request_id=case.request_id),
    "no name": lambda registry, case: registry.transitions("no/such/name"),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_refusal_is_the_exception_that_the_synchronous_client_raises(
    name: str, server: RunningServer, registry: registrar.Registry, case: Case
) -> None:
    registry.create_model(f"{case.name}-y", request_id=case.request_id)
    with pytest.raises(registrar.RegistrarError) as expected:
        waited(REFUSED[name], registry, case)
    with pytest.raises(registrar.RegistrarError) as caught:
        awaited(REFUSED[name], server, case)
    assert described(caught.value) == described(expected.value)


def described(error: registrar.RegistrarError) -> tuple[object, ...]:
    facts = (error.code, error.reason, error.metadata, error.violations, error.preconditions, error.retry_after)
    return (type(error), error.message, *facts)


def test_a_hundred_calls_at_once_are_answered_over_one_connection(server: RunningServer, case: Case) -> None:
    host, _, port = server.address.rpartition(":")

    async def main(proxy: TcpProxy) -> list[registrar.ModelVersion]:
        async with aio.connect(f"127.0.0.1:{proxy.port}") as registry:
            refs = [f"{case.name}/{1 + number % 2}" for number in range(PARALLEL_CALLS)]
            return list(await asyncio.gather(*[registry.get(ref) for ref in refs]))

    with TcpProxy(host, int(port)) as proxy:
        found = asyncio.run(main(proxy))
        # Two sockets for each connection that was accepted: one on either side.
        assert len(proxy._sockets) <= 2
    assert [version.version for version in found] == [1 + number % 2 for number in range(PARALLEL_CALLS)]


def test_a_call_outlasts_a_broken_network(server: RunningServer, case: Case) -> None:
    host, _, port = server.address.rpartition(":")
    has_failed = asyncio.Event()

    def draw() -> float:
        has_failed.set()
        return 0.0

    async def main(proxy: TcpProxy) -> registrar.ModelVersion:
        retry = registrar.RetryPolicy(initial_seconds=0.05, draw=draw)
        async with aio.connect(f"127.0.0.1:{proxy.port}", retry=retry) as registry:
            await registry.get(f"{case.name}/1")
            proxy.cut()
            task = asyncio.create_task(registry.update(f"{case.name}/1", description="after"))
            await has_failed.wait()
            proxy.resume()
            return await task

    with TcpProxy(host, int(port)) as proxy:
        assert asyncio.run(main(proxy)).description == "after"


def test_a_call_through_a_network_that_stands_still_can_be_cancelled(server: RunningServer, case: Case) -> None:
    host, _, port = server.address.rpartition(":")

    async def main(proxy: TcpProxy) -> None:
        async with aio.connect(f"127.0.0.1:{proxy.port}") as registry:
            await registry.get(f"{case.name}/1")
            proxy.stall()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await registry.get(f"{case.name}/2")
            proxy.resume()
            assert (await registry.get(f"{case.name}/2")).version == 2

    with TcpProxy(host, int(port)) as proxy:
        asyncio.run(main(proxy))


class Halfway:
    """Listens to a transfer, and holds it once half of it is done, until it may go on."""

    def __init__(self, action: registrar.Action) -> None:
        self._action = action
        self._is_there, self._may_go_on = threading.Event(), threading.Event()
        self.skipped_bytes = 0

    def __call__(self, progress: registrar.Progress) -> None:
        if progress.action is self._action:
            self.skipped_bytes = progress.skipped_bytes
            if progress.done_bytes >= progress.total_bytes // 2 > 0:
                self._is_there.set()
                assert self._may_go_on.wait(HANGS_SECONDS)

    async def reached(self) -> None:
        """Wait until it is there."""
        assert await asyncio.to_thread(self._is_there.wait, HANGS_SECONDS)

    async def cancel(self, task: asyncio.Task[object]) -> None:
        """Cancel the transfer's task, which must end so."""
        task.cancel()
        for _ in range(10):  # turns of the loop, in which the task notices
            await asyncio.sleep(0)
        self._may_go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_a_cancelled_push_leaves_what_the_next_one_goes_on_with(
    server: RunningServer, channel: grpc.Channel, unique_name: str, tmp_path: Path
) -> None:
    folder = make_large(tmp_path / "large")
    report, again = registrar.UploadReport(), registrar.UploadReport()
    halfway = Halfway(registrar.Action.PUSH)

    def has_received() -> bool:
        return sessions.get(Api(channel), report.upload_id).upload.received_bytes > 0

    async def main() -> registrar.ModelVersion:
        async with aio.connect(server.address) as registry:
            task = asyncio.create_task(registry.push(folder, name=unique_name, progress=halfway, report=report))
            await halfway.reached()
            await asyncio.to_thread(wait_until, has_received, HANGS_SECONDS)
            await halfway.cancel(task)
            with pytest.raises(registrar.NotFound):
                await registry.get(f"{unique_name}/1")
            return await registry.push(folder, name=unique_name, progress=False, report=again)

    assert asyncio.run(main()).version == 1
    assert again.upload_id == report.upload_id
    assert again.skipped_bytes > 0
    assert again.skipped_bytes + again.sent_bytes == LARGE_BYTES


def test_a_cancelled_pull_leaves_what_the_next_one_goes_on_with(
    server: RunningServer, registry: registrar.Registry, unique_name: str, tmp_path: Path
) -> None:
    folder, destination = make_large(tmp_path / "large"), tmp_path / "out"
    registry.push(folder, name=unique_name, progress=False)
    halfway = Halfway(registrar.Action.PULL)

    async def main() -> list[registrar.Progress]:
        seen: list[registrar.Progress] = []
        async with aio.connect(server.address) as asynchronous:
            task = asyncio.create_task(asynchronous.pull(f"{unique_name}/1", destination, progress=halfway))
            await halfway.reached()
            await halfway.cancel(task)
            assert not destination.exists()
            await asynchronous.pull(f"{unique_name}/1", destination, progress=seen.append)
        return seen

    seen = asyncio.run(main())
    assert seen[-1].skipped_bytes > 0
    assert (destination / "weights.bin").read_bytes() == (folder / "weights.bin").read_bytes()


def test_hashing_ends_when_its_task_is_cancelled(server: RunningServer, unique_name: str, tmp_path: Path) -> None:
    folder = make_large(tmp_path / "large")
    halfway, report = Halfway(registrar.Action.HASH), registrar.UploadReport()

    async def main() -> None:
        async with aio.connect(server.address) as registry:
            task = asyncio.create_task(registry.upload(folder, name=unique_name, progress=halfway, report=report))
            await halfway.reached()
            await halfway.cancel(task)

    asyncio.run(main())
    assert not report.upload_id
