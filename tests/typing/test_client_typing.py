"""A caller of the client under `mypy --strict`: what is right passes, what is wrong is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CALLER = """\
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import registrar
from registrar import Grant, MetricSlice, Right, Stage


def publish(folder: Path) -> int:
    with registrar.connect("127.0.0.1:50051", tenant="acme") as registry:
        version = registry.push(
            folder,
            name="churn",
            metrics={"auc": 0.97},
            parameters={"depth": 8, "rate": 0.05, "bagged": True, "loss": "log"},
            metric_slices=[MetricSlice("region", "eu", {"auc": 0.9})],
        )
        promotion = registry.promote(version, to=Stage.PRODUCTION, expected_holder=2)
        names: list[str] = [other.name for other in promotion.displaced]
        blocks: Iterator[bytes] = registry.download("churn@champion", "model.pkl")
        print(names, sum(map(len, blocks)))
        try:
            pulled: Path = registry.pull("churn:production", folder)
        except registrar.NotFound as error:
            print(error.reason, error.metadata["model"], [v.field for v in error.violations], pulled_from(registry))
        return version.version


def pulled_from(registry: registrar.Registry) -> str:
    return registry.server_info().caller.tenant


def audited(registry: registrar.Registry) -> list[str]:
    verdict: registrar.AuditVerdict = registry.verify_audit(kept=registry.audit_head(), progress=print)
    events = registry.audit_events(model="churn", outcome=registrar.AuditOutcome.REFUSED, end_time=datetime.now(UTC))
    where: int | None = verdict.altered_position
    return [str(where), *[event.actor for event in events]]


def governed(registry: registrar.Registry) -> list[str]:
    gate = registrar.MetricGate("auc", min=0.9, slices=registrar.SliceScope.EVERY)
    approval = registrar.ApprovalRule([registrar.ApproverRequirement("risk")], valid_for=timedelta(days=30))
    rules = registrar.PolicyRules(approval=approval, metric_gates=[gate], checks=[registrar.CheckRule("scan")])
    scope = registrar.PolicyScope(target_stages=[Stage.PRODUCTION], risk_levels=[None, registrar.RiskLevel.HIGH])
    policy: registrar.Policy = registrar.Policy.from_document({"name": "gate"})
    trials = registry.test_policy(policy, model="churn", versions=[1, 2]).trials
    registry.create_policy(policy.name, scope=scope, rules=rules, validate_only=True)
    asked: registrar.Approval = registry.request_approval("churn/1", to=Stage.PRODUCTION).approval
    given = registry.approve(asked.model_ref, asked.id, role="risk", notes="fine")
    registry.report_check("churn/1", "scan", outcome=registrar.CheckOutcome.PASSED)
    said: Iterator[registrar.Comment] = registry.comments("churn", version=1)
    gates = registry.set_alias("churn", "champion", 1, comment="outage", break_glass=True).overridden_gates
    return [given.status, *[one.text for one in said], *[one.description for one in gates], str(trials[0].passes)]


def administer(token: str) -> str:
    credentials = registrar.tls_credentials(ca=Path("ca.pem"), certificate="c.pem", key="k.pem")
    with registrar.connect("grpcs://a.example", credentials=credentials, token=lambda: token) as registry:
        grants = [Grant(Right.READ), Grant(Right.PROMOTE, stages=[Stage.STAGING])]
        role: registrar.Role = registry.create_role("releaser", grants, tenant=registrar.EVERYWHERE)
        registry.bind_role(role.name, "group:ml", models="churn-*", expire_time=datetime.now(UTC))
        registry.update_tenant("acme", quotas=registrar.Quotas(models=3, bytes=None))
        names: list[str] = [tenant.name for tenant in registry.tenants(show_deleted=True)]
        held: list[str] = [held.role for held in registry.caller().roles]
        try:
            return registry.create_token("ci", role="reader", ttl_seconds=3600).secret
        except registrar.ResourceExhausted as error:
            print(names, held, [quota.subject for quota in error.quotas])
    return ""
"""

ASYNCIO_CALLER = """\
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import registrar
from registrar import aio, Stage


async def publish(folder: Path) -> int:
    async with aio.connect("127.0.0.1:50051", tenant="acme") as registry:
        version = await registry.push(folder, name="churn", metrics={"auc": 0.97}, parameters={"depth": 8})
        promotion: registrar.Promotion = await registry.promote(version, to=Stage.PRODUCTION, expected_holder=2)
        names: list[str] = [other.name for other in promotion.displaced]
        async for model in registry.models(prefix="a"):
            names.append(model.name)
        history: AsyncIterator[registrar.AliasMove] = registry.alias_history("churn")
        async with aclosing(registry.download("churn@champion", "model.pkl")) as blocks:
            sizes: list[int] = [len(block) async for block in blocks]
        pulled: Path = await registry.pull("churn:production", folder)
        print(names, sizes, pulled, [move.alias async for move in history])
        found: registrar.ModelVersion = await registry.get("churn@champion")
        return found.version


async def tenant_of(registry: aio.Registry) -> str:
    return (await registry.server_info()).caller.tenant


async def administer(token: str) -> list[str]:
    async with aio.connect("grpcs://a.example", token=lambda: token) as registry:
        made: registrar.ApiToken = await registry.create_token("ci", role="reader")
        await registry.revoke_token(made.id)
        return [binding.member async for binding in registry.role_bindings(role="reader")]


async def governed(registry: aio.Registry) -> list[str]:
    request: registrar.ApprovalRequest = await registry.request_approval("churn/1", alias="champion")
    await registry.reject("churn", request.approval.id, role="risk", notes="no")
    await registry.comment("churn/1", "drift")
    return [policy.name async for policy in registry.policies(model="churn")]
"""

WRONG = [
    'registry.push("./model")',
    'registry.push("./model", name="a", metric={"auc": 1.0})',
    'registry.push("./model", name="a", metrics={"auc": "high"})',
    'registry.push("./model", name="a", parameters={"x": [1]})',
    'registry.push("./model", name=3)',
    "registry.get(3)",
    'registry.promote("a/1", to="production")',
    'registry.promote("a/1", registrar.Stage.PRODUCTION)',
    'registry.get("a/1").version = 4',
    'registry.get("a/1").versoin',
    'len(registry.versions("a"))',
    'registry.set_alias("a", "champion")',
    "registrar.conect()",
    "registrar.connect(token=3)",
    "registrar.connect(token=lambda: 3)",
    'registrar.tls_credentials("ca.pem")',
    'registry.create_role("a", ["read"])',
    'registry.bind_role("a", "user:b", expire_time="tomorrow")',
    'registry.create_token("ci")',
    'registry.create_token("ci", role="reader").secrets',
    'registry.update_tenant("a", quotas={"models": 3})',
    'registry.create_policy("a", scope=registrar.PolicyScope())',
    'registry.create_policy("a", scope={"target_stages": []}, rules=registrar.PolicyRules())',
    'registrar.PolicyScope(target_stages=["production"])',
    'registry.request_approval("a/1", to="production")',
    'registry.reject("a", "b", role="risk")',
    'registry.report_check("a/1", "scan", outcome="passed")',
    'registry.set_alias("a", "b", 1).version.versoin',
]

ASYNCIO_WRONG = [
    'registry.get("a/1")',
    'registry.get("a/1").version',
    'version: registrar.ModelVersion = registry.get("a/1")',
    "await registry.get(3)",
    'await registry.get("a/1", stong=True)',
    'await registry.push("./model")',
    'await registry.push("./model", name="a", metric={"auc": 1.0})',
    'await registry.push("./model", name="a", metrics={"auc": "high"})',
    'await registry.promote("a/1", to="production")',
    'await registry.promote("a/1", registrar.Stage.PRODUCTION)',
    '(await registry.get("a/1")).versoin',
    'await registry.versions("a")',
    '[version for version in registry.versions("a")]',
    '[block for block in registry.download("a/1", "b")]',
    'await registry.set_alias("a", "champion")',
    'registry.create_token("ci", role="reader").secret',
    "await registry.tokens()",
    'registry.approve("a", "b", role="risk").status',
    "await registry.policies()",
    'await registry.promote("a/1", to=registrar.Stage.PRODUCTION, break_glas=True)',
    "aio.connect(token=3)",
    "with registry: pass",
    "registry.close()",
]


def check(path: Path, source: str) -> subprocess.CompletedProcess[str]:
    path.write_text(source)
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--config-file=",
            "--cache-dir",
            str(path.parent / "cache"),
            str(path),
        ],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("caller", "head", "wrong"),
    [
        (CALLER, "import registrar\n\n\ndef call(registry: registrar.Registry) -> None:\n", WRONG),
        (
            ASYNCIO_CALLER,
            "import registrar\nfrom registrar import aio\n\n\nasync def call(registry: aio.Registry) -> None:\n",
            ASYNCIO_WRONG,
        ),
    ],
    ids=["synchronous", "asyncio"],
)
def test_a_right_caller_passes_and_every_wrong_call_is_refused(
    caller: str, head: str, wrong: list[str], tmp_path: Path
) -> None:
    right = check(tmp_path / "right.py", caller)
    assert right.returncode == 0, right.stdout
    checked = check(tmp_path / "wrong.py", head + "".join(f"    {line}\n" for line in wrong))
    refused = {int(line.split(":")[1]) for line in checked.stdout.splitlines() if ": error:" in line}
    first = head.count("\n") + 1
    assert [line for number, line in enumerate(wrong, first) if number not in refused] == [], checked.stdout
