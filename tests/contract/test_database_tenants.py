"""What every implementation of the port `TenantRecords` must do, on SQLite and PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.application.ports.database import BundleClaim, Change, NewModel, Transaction
from registrar_server.domain.access import EVERYWHERE
from registrar_server.domain.bundles import BundleFile, FileType, Manifest
from registrar_server.domain.errors import Reason, RegistrarError
from registrar_server.domain.tenants import Quotas, Tenant, TenantState, TenantUsage
from registrar_server.domain.values import ModelKey, Stage
from tests.fixtures.database import CALLER, NOON, TENANTS, add_model, add_version, at, uid

BOTH = sorted(TENANTS)


def tenant(name: str = "north", **facts: object) -> Tenant:
    return replace(Tenant(name, "ü", Quotas(1, 2, 3, 4), 1, NOON), **facts)  # type: ignore[arg-type]


def names(transaction: Transaction, *, is_deleted_shown: bool = True) -> list[str]:
    found = transaction.tenants.list(after="", limit=1_000, is_deleted_shown=is_deleted_shown)
    return [one.name for one in found]


def add_bundle(transaction: Transaction, model: NewModel, size_bytes: int) -> None:
    """A committed one."""
    manifest = Manifest((BundleFile("model.pkl", size_bytes, f"{size_bytes:064x}", FileType.MODEL),))
    claim = BundleClaim(uid(), "x")
    transaction.bundles.claim(claim, model.uid, model.key.tenant, manifest.digest, until=at(60))
    assert transaction.bundles.commit(claim.uid, manifest, wipes=0, uri="s3://b/x", created_by="local", time=NOON)


class TestTenants:
    """Tenants."""

    def test_a_tenant_comes_back_as_it_was_given(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            assert transaction.tenants.insert(tenant())
            assert not transaction.tenants.insert(tenant(description="other"))
        with database.writing() as transaction:
            assert transaction.tenants.get("north") == transaction.tenants.lock("north") == tenant()
            assert transaction.tenants.exists("north")
            assert transaction.tenants.get("nobody") is transaction.tenants.lock("nobody") is None
            assert not transaction.tenants.exists("nobody")

    def test_a_migrated_tenant_has_no_quotas_and_is_active(self, database: SqlDatabase) -> None:
        with database.reading() as transaction:
            found = transaction.tenants.get("default")
        assert found is not None
        assert (found.quotas, found.state, found.revision) == (Quotas(), TenantState.ACTIVE, 1)

    def test_that_which_holds_the_audit_of_all_is_no_tenant(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            assert not transaction.tenants.exists(EVERYWHERE)
            assert transaction.tenants.get(EVERYWHERE) is transaction.tenants.lock(EVERYWHERE) is None
            assert names(transaction) == BOTH
            assert transaction.tenants.without_workspace(limit=9) == BOTH
            assert not transaction.tenants.insert(tenant(EVERYWHERE))

    def test_an_update_replaces_all_but_name_and_create_time_and_grows_the_revision(
        self, database: SqlDatabase
    ) -> None:
        with database.writing() as transaction:
            transaction.tenants.insert(tenant())
            wanted = Tenant("north", "", Quotas(bytes=0), 1, NOON, at(1), at(2), at(3))
            transaction.tenants.update(wanted)
            assert transaction.tenants.get("north") == replace(wanted, revision=2)
            assert [one.state for one in transaction.tenants.list(after="m", limit=9, is_deleted_shown=True)] == [
                TenantState.DELETED
            ]

    def test_a_deleted_tenant_does_not_exist_and_is_listed_on_request(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            transaction.tenants.insert(tenant(delete_time=at(1), purge_time=at(2)))
            assert not transaction.tenants.exists("north")
            assert transaction.tenants.get("north") is not None
            assert names(transaction) == [*BOTH, "north"]
            assert names(transaction, is_deleted_shown=False) == BOTH

    def test_names_come_in_the_order_of_their_bytes_page_by_page(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            for name in ("b-c", "bc", "b0", "b-0", "bb"):
                transaction.tenants.insert(tenant(name))
            found: list[str] = []
            while page := transaction.tenants.list(after=found[-1] if found else "", limit=2, is_deleted_shown=False):
                found += [one.name for one in page]
        assert found == sorted(found) == ["acme-corp", "b-0", "b-c", "b0", "bb", "bc", "default"]

    def test_unusable_are_those_that_are_suspended_or_deleted(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            transaction.tenants.insert(tenant("one", suspend_time=NOON))
            transaction.tenants.insert(tenant("two", delete_time=NOON))
            transaction.tenants.insert(tenant("both", suspend_time=NOON, delete_time=NOON))
            assert transaction.tenants.unusable() == {
                "one": TenantState.SUSPENDED,
                "two": TenantState.DELETED,
                "both": TenantState.DELETED,
            }

    def test_a_tenant_lacks_a_workspace_until_mlflow_knows_it(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            transaction.tenants.set_workspace("default", time=NOON)
            transaction.tenants.insert(tenant("gone", delete_time=NOON))
            transaction.tenants.insert(tenant())
            assert transaction.tenants.without_workspace(limit=9) == ["acme-corp", "north"]
            assert transaction.tenants.without_workspace(limit=1) == ["acme-corp"]

    @pytest.mark.parametrize("name", [EVERYWHERE, "acme-corp"])
    def test_what_is_about_no_model_is_recorded_in_the_chain_of_its_tenant(
        self, database: SqlDatabase, name: str
    ) -> None:
        key = ModelKey(name, "")
        with database.writing() as transaction:
            made = Change("role.updated", CALLER, NOON, key, "", comment="why", after={"role": "x"}, is_mirrored=False)
            assert [transaction.journal.record(made), transaction.journal.record(made)] == [1, 2]
        head, events = database.events_after(0, limit=9)
        assert (head, [(one.sequence, one.model) for one in events]) == (2, [(1, key), (2, key)])
        with database.reading() as transaction:
            assert transaction.mirror.progress().pending_models == 0


class TestUsage:
    """Quotas, and what is counted against them."""

    def test_usage_counts_what_is_there_of_one_tenant(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            assert transaction.tenants.usage("default") == TenantUsage(0, 0, 0, 0)
            first, second = add_model(transaction, "a"), add_model(transaction, "b")
            add_model(transaction, "reserved", is_reserved=True)
            versions = [add_version(transaction, first, number) for number in (1, 2, 0)]
            add_version(transaction, second, 1)
            failed = add_version(transaction, second)
            transaction.versions.set_failed(failed, "REGISTRATION_FAILED", "no", NOON)
            theirs = add_model(transaction, "a", tenant="acme-corp")
            add_version(transaction, theirs, 1)
            add_bundle(transaction, first, 1_000)
            add_bundle(transaction, second, 2**40)
            add_bundle(transaction, theirs, 5)
            assert transaction.tenants.usage("default") == TenantUsage(2, 4, 2**40 + 1_000, 0)
            transaction.versions.set_deleted(versions[0], delete_time=NOON, purge_time=NOON, time=NOON)
            assert transaction.tenants.usage("default") == TenantUsage(2, 3, 2**40 + 1_000, 0)
            transaction.models.set_deleted(second.uid, delete_time=NOON, purge_time=NOON, time=NOON)
            assert transaction.tenants.usage("default") == TenantUsage(1, 2, 2**40 + 1_000, 0)
            assert transaction.tenants.usage("acme-corp") == TenantUsage(1, 1, 5, 0)

    def test_a_bundle_that_is_cleared_away_is_not_counted(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            claim = BundleClaim(uid(), "x")
            transaction.bundles.claim(claim, model.uid, "default", f"sha256:{'1' * 64}", until=NOON)
            add_bundle(transaction, model, 7)
            assert transaction.bundles.lease_abandoned(now=at(1), until=at(2), limit=9)
            assert transaction.tenants.usage("default").bytes == 7

    def test_quotas_are_those_of_the_tenant(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            transaction.tenants.insert(tenant())
            assert transaction.tenants.quotas("north") == Quotas(1, 2, 3, 4)
            transaction.tenants.update(tenant(quotas=Quotas(concurrent_transfers=0)))
            assert transaction.tenants.quotas("north") == Quotas(concurrent_transfers=0)
            assert transaction.tenants.quotas("default") == transaction.tenants.quotas("nobody") == Quotas()

    def test_who_counts_against_a_quota_counts_what_the_one_before_has_added(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            transaction.tenants.insert(tenant(quotas=Quotas(models=3)))

        def add(index: int) -> bool:
            with database.writing() as transaction:
                # The model first, as every use case does: rows that name the tenant must not stand in its lock's way.
                add_model(transaction, f"m{index}", tenant="north")
                limit = transaction.tenants.quotas("north").models
                assert limit is not None
                is_within = transaction.tenants.usage("north").models <= limit
                if not is_within:
                    transaction.discard()
                return is_within

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(add, range(8))) == 3
        with database.reading() as transaction:
            assert transaction.tenants.usage("north").models == 3

    def test_models_in_production_are_named_by_name(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            models = {name: add_model(transaction, name) for name in ("b", "a", "C", "staged", "deleted")}
            for name, model in models.items():
                stage = Stage.STAGING if name == "staged" else Stage.PRODUCTION
                for number in (1, 2):
                    version = add_version(transaction, model, number)
                    transaction.versions.set_stage(version, stage, is_exclusive=False, time=NOON)
            gone = models["deleted"].uid
            transaction.models.set_deleted(gone, delete_time=NOON, purge_time=NOON, time=NOON)
            assert transaction.tenants.in_production("default", limit=9) == ["C", "a", "b"]
            assert transaction.tenants.in_production("default", limit=2) == ["C", "a"]
            assert transaction.tenants.in_production("acme-corp", limit=2) == []


class TestTransfers:
    """Streams under way."""

    def test_no_more_streams_begin_than_a_tenant_may_have(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            tenants = transaction.tenants
            first = uid()
            assert tenants.begin_transfer(first, "default", until=at(60), now=NOON, limit=2)
            assert tenants.begin_transfer(uid(), "default", until=at(60), now=NOON, limit=2)
            assert not tenants.begin_transfer(uid(), "default", until=at(60), now=NOON, limit=2)
            assert tenants.begin_transfer(uid(), "acme-corp", until=at(60), now=NOON, limit=2)
            tenants.end_transfer(first)
            assert tenants.begin_transfer(uid(), "default", until=at(60), now=NOON, limit=2)
            assert not tenants.begin_transfer(uid(), "default", until=at(60), now=NOON, limit=0)

    def test_a_stream_that_gives_no_sign_of_life_is_not_counted(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            tenants = transaction.tenants
            kept, silent = uid(), uid()
            assert tenants.begin_transfer(kept, "default", until=at(60), now=NOON, limit=2)
            assert tenants.begin_transfer(silent, "default", until=at(60), now=NOON, limit=2)
            tenants.keep_transfers([kept, uid()], until=at(120))
            assert tenants.begin_transfer(uid(), "default", until=at(180), now=at(60), limit=2)
            assert not tenants.begin_transfer(uid(), "default", until=at(180), now=at(119), limit=2)
            tenants.keep_transfers([silent], until=at(900))
            assert tenants.begin_transfer(uid(), "default", until=at(180), now=at(120), limit=2)

    def test_usage_shows_the_streams_under_way(self, database: SqlDatabase) -> None:
        now = datetime.now(UTC)
        with database.writing() as transaction:
            for seconds in (600, 600, -1):
                until = now + timedelta(seconds=seconds)
                transaction.tenants.begin_transfer(uid(), "default", until=until, now=NOON, limit=9)
            assert transaction.tenants.usage("default").concurrent_transfers == 2

    def test_streams_that_begin_at_once_are_counted_exactly(self, database: SqlDatabase) -> None:
        def begin(_: int) -> bool:
            with database.writing() as transaction:
                return transaction.tenants.begin_transfer(uid(), "default", until=at(60), now=NOON, limit=3)

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(begin, range(12))) == 3


def test_a_tenant_is_locked_until_the_transaction_ends(database_url: str) -> None:
    patient, hasty = SqlDatabase(database_url), SqlDatabase(database_url, lock_timeout_seconds=0.2)
    try:
        with patient.writing() as transaction:
            assert transaction.tenants.lock("default") is not None
            with pytest.raises(RegistrarError) as caught, hasty.writing() as other:
                other.tenants.lock("default")
            assert caught.value.reason is Reason.DATABASE_BUSY
    finally:
        patient.close()
        hasty.close()
