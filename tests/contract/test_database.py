"""What every implementation of the port `Database` must do: the records of the catalogue, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from sqlalchemy.exc import IntegrityError

from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.application.ports.database import Transaction
from registrar_server.domain.access import EVERY_NAME
from registrar_server.domain.lifecycle import AliasMove
from registrar_server.domain.models import Model
from registrar_server.domain.semantic_versions import SemanticRange, SemanticVersion
from registrar_server.domain.values import (
    ByAlias,
    ByNumber,
    BySemanticRange,
    BySemanticVersion,
    ByStage,
    ByUid,
    MetricGoal,
    ModelKey,
    Selector,
    Stage,
    VersionState,
)
from registrar_server.domain.versions import ArtifactLink, Facts, Notes, Provenance, Signature, TensorSpec
from tests.fixtures.database import NOON, add_model, add_version, at, change, move

NAMES = ["A", "B.1", "B_1", "Z", "a", "a-b", "a.b", "a0", "ab", "b"]
"""In the order of their UTF-8 bytes, which is not that of a dictionary."""

SEMANTIC_VERSIONS = [
    "2.1.10",
    "0.1.2",
    "10.0.0",
    "2.1.9",
    "2.2.0-rc.1",
    "2.2.0-rc.10",
    "2.2.0-rc.a",
    "0.2.0",
    "9.0.0",
    "2.0.0",
]
SEMANTIC_VERSIONS += [
    "3.0.0-alpha",
    "3.0.0-alpha.1",
    "3.0.0-a-b",
    "0.0.3",
    "2.2.0-0",
    "999999999.0.0",
    "1.0.0--",
    "1.0.0-a.b",
]
SEMANTIC_RANGES = [
    "*",
    "2",
    "2.1",
    "^2.1",
    "~2.1.9",
    "^0.1",
    "^0.0.3",
    "0.x",
    "<10",
    "<=2.2.0-rc.9",
    ">2.2.0-rc.1 <2.2.0",
]
SEMANTIC_RANGES += [
    ">=2.2.0-rc.1",
    "<3",
    "<3.0.0-b",
    "^3.0.0-0",
    "1",
    "1.0.0-0 - 1",
    ">9.0.0 <10",
    "^999999999",
    "2.2",
    "=2.1.9",
]


def names(models: Sequence[Model]) -> list[str]:
    return [model.key.name for model in models]


def everything(transaction: Transaction, *, is_deleted_shown: bool = False) -> Sequence[Model]:
    return transaction.models.list(
        "default", readable=EVERY_NAME, prefix="", after="", limit=1_000, is_deleted_shown=is_deleted_shown
    )


class TestDatabase:
    """Transactions."""

    def test_what_was_written_is_there_after_the_commit(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            add_model(transaction, "m")
            assert transaction.models.get(ModelKey("default", "m")) is not None
        with database.reading() as transaction:
            assert transaction.models.get(ModelKey("default", "m")) is not None

    def test_an_error_leaves_nothing_behind(self, database: SqlDatabase) -> None:
        with pytest.raises(RuntimeError, match="on purpose"), database.writing() as transaction:
            model = add_model(transaction, "m")
            add_version(transaction, model, 1)
            transaction.journal.record(change(model))
            raise RuntimeError("on purpose")
        with database.reading() as transaction:
            assert transaction.models.get(ModelKey("default", "m")) is None
            assert transaction.journal.head() == 0

    def test_what_is_discarded_leaves_nothing_behind(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            assert transaction.journal.record(change(model)) == 1
            transaction.discard()
        with database.writing() as transaction:
            assert transaction.models.get(ModelKey("default", "m")) is None
            assert transaction.journal.record(change(add_model(transaction, "n"))) == 1

    def test_a_reading_transaction_keeps_nothing_that_was_written_in_it(self, database: SqlDatabase) -> None:
        with database.reading() as transaction:
            add_model(transaction, "m")
        with database.reading() as transaction:
            assert transaction.models.get(ModelKey("default", "m")) is None

    def test_a_migrated_database_passes_the_check(self, database: SqlDatabase) -> None:
        database.check()


class TestModels:
    """Models."""

    def test_names_come_in_the_order_of_their_bytes(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            for name in reversed(NAMES):
                add_model(transaction, name)
            assert names(everything(transaction)) == NAMES

    def test_pages_by_key_give_each_name_once(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            for name in NAMES:
                add_model(transaction, name)
            found, after = [], ""
            while page := transaction.models.list(
                "default", readable=EVERY_NAME, prefix="", after=after, limit=3, is_deleted_shown=False
            ):
                found += names(page)
                after = found[-1]
        assert found == NAMES

    @pytest.mark.parametrize("prefix", ["a", "a.", "B", "", "a-b", "none", "%", "_", "ä", "\x7f"])
    def test_a_prefix_selects_the_names_that_begin_with_it(self, database: SqlDatabase, prefix: str) -> None:
        with database.writing() as transaction:
            for name in NAMES:
                add_model(transaction, name)
            found = transaction.models.list(
                "default", readable=EVERY_NAME, prefix=prefix, after="", limit=100, is_deleted_shown=False
            )
        assert names(found) == [name for name in NAMES if name.startswith(prefix)]

    def test_a_reserved_name_shows_nowhere_until_it_appears(self, database: SqlDatabase) -> None:
        key = ModelKey("default", "m")
        with database.writing() as transaction:
            reserved = add_model(transaction, "m", is_reserved=True)
            assert transaction.models.get(key, is_deleted_shown=True) is None
            assert transaction.models.lock(key) is None
            assert transaction.models.lock_reserved(key) == (reserved.uid, True)
            assert names(everything(transaction, is_deleted_shown=True)) == []
            transaction.models.appear(replace(reserved, description="now"))
            found = transaction.models.get(key)
            assert found is not None
            assert (found.uid, found.description) == (reserved.uid, "now")
            assert transaction.models.lock_reserved(key) == (reserved.uid, False)

    def test_a_taken_name_is_not_inserted_again(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            first = add_model(transaction, "m")
            assert not transaction.models.insert(replace(first, uid="f" * 32))
            assert not transaction.models.insert(replace(first, uid="f" * 32), is_reserved=True)
            found = transaction.models.get(first.key)
            assert found is not None
            assert found.uid == first.uid

    def test_tenants_have_names_of_their_own(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            ours = add_model(transaction, "m")
            theirs = add_model(transaction, "m", tenant="acme-corp")
            found = transaction.models.get(ModelKey("acme-corp", "m"))
            assert found is not None
            assert found.uid == theirs.uid != ours.uid
            assert names(everything(transaction)) == ["m"]
            assert transaction.tenants.exists("acme-corp")
            assert not transaction.tenants.exists("nobody")

    def test_an_update_grows_the_revision_and_a_read_shows_what_was_written(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            transaction.models.update(
                model.uid,
                description="ü\n",
                tags={"k": "v"},
                metric_goals={"rmse": MetricGoal.MINIMIZE},
                time=at(1),
            )
            found = transaction.models.get(model.key)
        assert found is not None
        assert (found.description, found.tags, found.metric_goals) == ("ü\n", {"k": "v"}, {"rmse": MetricGoal.MINIMIZE})
        assert (found.revision, found.create_time, found.update_time) == (2, NOON, at(1))

    def test_a_deleted_model_is_hidden_and_comes_back(self, database: SqlDatabase) -> None:
        key = ModelKey("default", "m")
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            transaction.models.set_deleted(model.uid, delete_time=at(1), purge_time=at(2), time=at(1))
            assert transaction.models.get(key) is None
            assert names(everything(transaction)) == []
            assert names(everything(transaction, is_deleted_shown=True)) == ["m"]
            locked = transaction.models.lock(key)
            assert locked is not None
            assert (locked.delete_time, locked.purge_time) == (at(1), at(2))
            transaction.models.set_deleted(model.uid, delete_time=None, purge_time=None, time=at(3))
            assert transaction.models.get(key) is not None

    def test_a_model_shows_its_latest_its_stages_and_its_aliases(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            uids = [add_version(transaction, model, number) for number in (1, 2, 10, 11)]
            add_version(transaction, model)
            transaction.versions.set_stage(uids[0], Stage.PRODUCTION, is_exclusive=True, time=NOON)
            transaction.versions.set_stage(uids[1], Stage.STAGING, is_exclusive=True, time=NOON)
            transaction.versions.set_deleted(uids[3], delete_time=NOON, purge_time=NOON, time=NOON)
            transaction.aliases.set(model.uid, "champion", uids[0], 1)
            transaction.aliases.set(model.uid, "Canary_2", uids[2], 10)
            found = transaction.models.get(model.key)
        assert found is not None
        assert (found.latest_version, found.production_version, found.staging_version) == (10, 1, 2)
        assert found.aliases == {"champion": 1, "Canary_2": 10}


class TestVersions:
    """Versions."""

    def test_every_selector_finds_the_version_and_no_other(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            other = add_model(transaction, "other")
            first = add_version(transaction, model, 1, facts=Facts(semantic_version="1.0.0"))
            second = add_version(transaction, model, 2)
            add_version(transaction, other, 1, facts=Facts(semantic_version="1.0.0"))
            transaction.versions.set_stage(second, Stage.PRODUCTION, is_exclusive=True, time=at(1))
            transaction.aliases.set(model.uid, "champion", first, 1)

            def get(selector: Selector) -> list[str]:
                return [version.uid for version in transaction.versions.get(model.key, selector)]

            assert get(ByNumber(1)) == get(BySemanticVersion("1.0.0")) == get(ByAlias("champion")) == [first]
            assert get(ByStage(Stage.PRODUCTION)) == get(ByUid(second)) == get(ByNumber(2)) == [second]
            for absent in (ByNumber(3), ByAlias("Champion"), ByStage(Stage.STAGING), BySemanticVersion("2.0.0")):
                assert get(absent) == []
            assert transaction.versions.get(ModelKey("acme-corp", "m"), ByNumber(1)) == []

    def test_a_range_selects_the_highest_version_that_is_in_it(self, database: SqlDatabase) -> None:
        given = [SemanticVersion.parse(text) for text in SEMANTIC_VERSIONS]
        with database.writing() as transaction:
            model, other = add_model(transaction, "m"), add_model(transaction, "other")
            for number, text in enumerate(SEMANTIC_VERSIONS, start=1):
                add_version(transaction, model, number, facts=Facts(semantic_version=text))
            add_version(transaction, model, 99)
            add_version(transaction, other, 1, facts=Facts(semantic_version="99.0.0"))
        for text in SEMANTIC_RANGES:
            wanted = SemanticRange.parse(text)
            highest = max(filter(wanted.includes, given), key=lambda version: version.key, default=None)
            expected = [] if highest is None else [given.index(highest) + 1]
            with database.reading() as transaction:
                found = transaction.versions.get(model.key, BySemanticRange(wanted))
            assert [version.number for version in found] == expected, text
            assert database.resolve(model.key, BySemanticRange(wanted)) == found

    def test_a_range_selects_neither_what_is_not_ready_nor_what_is_deleted(self, database: SqlDatabase) -> None:
        everything = BySemanticRange(SemanticRange.parse("*"))
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            uids = [
                add_version(transaction, model, number, facts=Facts(semantic_version=f"{number}.0.0"))
                for number in (1, 2)
            ]
            add_version(transaction, model, facts=Facts(semantic_version="3.0.0"))
            failed = add_version(transaction, model, facts=Facts(semantic_version="4.0.0"))
            transaction.versions.set_failed(failed, "REGISTRATION_FAILED", "no", NOON)

            def highest() -> list[int]:
                return [version.number for version in transaction.versions.get(model.key, everything)]

            assert highest() == [2]
            transaction.versions.set_deleted(uids[1], delete_time=NOON, purge_time=NOON, time=NOON)
            assert highest() == [1]
            transaction.versions.set_deleted(uids[1], delete_time=None, purge_time=None, time=NOON)
            assert highest() == [2]

    def test_a_version_comes_back_as_it_was_given(self, database: SqlDatabase) -> None:
        facts = Facts(
            metrics={"f1": 1e20},
            parameters={"n": 2**63 - 1, "on": True, "one": 1, "two": 2.0},
            signature=Signature((TensorSpec("x", "float32", (-1, 128)),)),
            semantic_version="1.4.0",
            provenance=Provenance(run_id="b7f9", is_git_dirty=False),
        )
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            found = transaction.versions.get_by_uid(add_version(transaction, model, 7, facts=facts))
        assert found is not None
        assert found.facts == facts
        assert {k: type(v) for k, v in found.facts.parameters.items()} == {
            "n": int,
            "on": bool,
            "one": int,
            "two": float,
        }
        assert (found.number, found.state, found.stage, found.run_id) == (7, VersionState.READY, Stage.NONE, "b7f9")
        assert (found.model, found.model_uid, found.create_time) == (model.key, model.uid, NOON)

    def test_a_pending_version_is_found_by_uid_only(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            pending = add_version(transaction, model, facts=Facts(semantic_version="1.0.0"))
            assert [v.number for v in transaction.versions.get(model.key, ByUid(pending))] == [0]
            assert transaction.versions.get(model.key, BySemanticVersion("1.0.0")) == []
            assert transaction.versions.list(model.uid, before=0, limit=9, stage=None, is_deleted_shown=True) == []
            assert transaction.versions.has_semantic_version(model.uid, "1.0.0") == 0
            assert transaction.versions.highest_number(model.uid) == 0

    def test_the_database_itself_refuses_a_second_holder_of_an_exclusive_stage(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            first, second = (add_version(transaction, model, number) for number in (1, 2))
            transaction.versions.set_stage(first, Stage.PRODUCTION, is_exclusive=True, time=NOON)
        with pytest.raises(IntegrityError), database.writing() as transaction:
            transaction.versions.set_stage(second, Stage.PRODUCTION, is_exclusive=True, time=NOON)
        with database.reading() as transaction:
            assert [v.number for v in transaction.versions.holders(model.uid, Stage.PRODUCTION)] == [1]

    def test_models_and_stages_hold_each_other_not_up(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            for name in ("m", "n"):
                model = add_model(transaction, name)
                for number, stage in ((1, Stage.PRODUCTION), (2, Stage.STAGING)):
                    version = add_version(transaction, model, number)
                    transaction.versions.set_stage(version, stage, is_exclusive=True, time=NOON)
                for number in (3, 4):
                    version = add_version(transaction, model, number)
                    transaction.versions.set_stage(version, Stage.ARCHIVED, is_exclusive=False, time=NOON)
                assert [v.number for v in transaction.versions.holders(model.uid, Stage.ARCHIVED)] == [3, 4]

    def test_the_database_itself_refuses_a_number_twice_and_a_semantic_version_twice(
        self, database: SqlDatabase
    ) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            add_version(transaction, model, 1, facts=Facts(semantic_version="1.0.0"))
        with pytest.raises(IntegrityError), database.writing() as transaction:
            add_version(transaction, model, 1)
        with pytest.raises(IntegrityError), database.writing() as transaction:
            add_version(transaction, model, 2, facts=Facts(semantic_version="1.0.0"))

    def test_only_a_pending_version_is_settled_and_only_once(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            ready, failed = add_version(transaction, model, 1), add_version(transaction, model)
            assert not transaction.versions.set_ready(ready, 2, NOON)
            assert not transaction.versions.set_failed(ready, "REGISTRATION_FAILED", "no", NOON)
            assert transaction.versions.set_failed(failed, "REGISTRATION_FAILED", "no", NOON)
            assert not transaction.versions.set_ready(failed, 2, NOON)
            found = transaction.versions.get_by_uid(failed)
        assert found is not None
        assert (found.state, found.failure_reason, found.failure) == (VersionState.FAILED, "REGISTRATION_FAILED", "no")

    def test_a_failed_version_gives_its_semantic_version_back(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            failed = add_version(transaction, model, facts=Facts(semantic_version="1.0.0"))
            transaction.versions.set_failed(failed, "REGISTRATION_FAILED", "no", NOON)
            assert transaction.versions.has_semantic_version(model.uid, "1.0.0") is None
            add_version(transaction, model, 1, facts=Facts(semantic_version="1.0.0"))
            assert transaction.versions.has_semantic_version(model.uid, "1.0.0") == 1

    def test_a_list_is_newest_first_by_key_by_stage_and_hides_the_deleted(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            uids = {number: add_version(transaction, model, number) for number in range(1, 13)}
            for number in (2, 11):
                transaction.versions.set_stage(uids[number], Stage.ARCHIVED, is_exclusive=False, time=NOON)
            transaction.versions.set_deleted(uids[12], delete_time=NOON, purge_time=at(1), time=NOON)

            def numbers(
                before: int, limit: int, stage: Stage | None = None, *, is_deleted_shown: bool = False
            ) -> list[int]:
                found = transaction.versions.list(
                    model.uid, before=before, limit=limit, stage=stage, is_deleted_shown=is_deleted_shown
                )
                return [version.number for version in found]

            assert numbers(0, 3) == [11, 10, 9]
            assert numbers(9, 3) == [8, 7, 6]
            assert numbers(0, 1, is_deleted_shown=True) == [12]
            assert numbers(0, 100, Stage.ARCHIVED) == [11, 2]
            assert transaction.versions.highest_number(model.uid) == 12

    def test_content_is_found_among_living_ready_versions_the_newest_first(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model, other = add_model(transaction, "m"), add_model(transaction, "n")
            uids = [add_version(transaction, model, number, content="c" * 64) for number in (1, 2, 3)]
            add_version(transaction, model, content="c" * 64)
            add_version(transaction, other, 9, content="c" * 64)
            transaction.versions.set_deleted(uids[2], delete_time=NOON, purge_time=NOON, time=NOON)
            found = transaction.versions.find_content(model.uid, "c" * 64)
            assert found is not None
            assert found.number == 2
            assert transaction.versions.find_content(model.uid, "d" * 64) is None

    def test_changes_grow_the_revision_and_keep_the_facts(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            version = add_version(transaction, model, 1, facts=Facts(metrics={"f1": 0.9}))
            transaction.versions.update_notes(version, Notes("new", {"k": "v"}, "old", "c", "d", "e"), at(1))
            transaction.versions.set_stage(version, Stage.STAGING, is_exclusive=True, time=at(2))
            found = transaction.versions.get_by_uid(version)
        assert found is not None
        assert found.notes == Notes("new", {"k": "v"}, "old", "c", "d", "e")
        assert (found.revision, found.stage, found.stage_time, found.update_time) == (3, Stage.STAGING, at(2), at(2))
        assert found.facts.metrics == {"f1": 0.9}

    def test_a_run_s_files_complete_a_pending_version(self, database: SqlDatabase) -> None:
        facts = Facts(metrics={"f1": 0.9}, provenance=Provenance(run_id="b7f9"))
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            version = add_version(transaction, model)
            transaction.versions.set_artifact(version, ArtifactLink("s3://b/x"), facts, "c" * 64)
            found = transaction.versions.get_by_uid(version)
            assert found is not None
            assert (found.artifact, found.facts, found.run_id) == (ArtifactLink("s3://b/x"), facts, "b7f9")
            transaction.versions.set_run(version, "c0ffee")
            found = transaction.versions.get_by_uid(version)
            assert found is not None
            assert found.run_id == "c0ffee"


class TestAliases:
    """Aliases and their history."""

    def test_an_alias_points_at_one_version_and_moves_in_one_step(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            first, second = (add_version(transaction, model, number) for number in (1, 2))
            transaction.aliases.set(model.uid, "champion", first, 1)
            transaction.aliases.set(model.uid, "champion", second, 2)
            transaction.aliases.set(model.uid, "Champion", first, 1)
            assert transaction.aliases.get(model.uid, "champion") == (second, 2)
            assert transaction.aliases.all(model.uid) == {"champion": 2, "Champion": 1}
            (version,) = transaction.versions.get(model.key, ByNumber(2))
            assert version.aliases == ("champion",)
            transaction.aliases.delete(model.uid, "champion")
            assert transaction.aliases.get(model.uid, "champion") is None
            assert transaction.versions.get(model.key, ByAlias("champion")) == []

    def test_history_is_newest_first_by_key_and_by_alias(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model, other = add_model(transaction, "m"), add_model(transaction, "n")
            for sequence, alias in enumerate(["a", "b", "a", "a"], 1):
                moved = AliasMove(alias, sequence - 1, sequence, "local", "why", at(sequence), sequence)
                transaction.aliases.add_move(model.uid, moved)
            transaction.aliases.add_move(other.uid, AliasMove("a", 0, 1, "local", "", NOON, 5))

            def sequences(alias: str, before: int, limit: int) -> list[int]:
                found = transaction.aliases.history(model.uid, alias=alias, before=before, limit=limit)
                return [moved.sequence for moved in found]

            assert sequences("", 0, 9) == [4, 3, 2, 1]
            assert sequences("a", 0, 2) == [4, 3]
            assert sequences("a", 3, 2) == [1]
            assert transaction.aliases.history(model.uid, alias="b", before=0, limit=9) == [
                AliasMove("b", 1, 2, "local", "why", at(2), 2)
            ]


class TestTransitions:
    """History of the stages."""

    def test_pages_by_key_give_each_move_once_also_within_one_change(self, database: SqlDatabase) -> None:
        with database.writing() as transaction:
            model = add_model(transaction, "m")
            made = [[move(n, s) for n in range(1, 4)] for s in range(1, 5)]
            for moves in made:
                transaction.transitions.add(model.uid, moves)
            found: list[tuple[int, int]] = []
            while page := transaction.transitions.history(
                model.uid, number=0, before=found[-1] if found else None, limit=5
            ):
                found += [(moved.sequence, place) for place, moved in page]
            assert found == [(s, place) for s in (4, 3, 2, 1) for place in (2, 1, 0)]
            of_one = transaction.transitions.history(model.uid, number=2, before=(4, 1), limit=2)
            assert [moved for _, moved in of_one] == [made[2][1], made[1][1]]

    def test_the_history_of_production_is_oldest_first_and_nothing_else(self, database: SqlDatabase) -> None:
        production, archived, staging = Stage.PRODUCTION, Stage.ARCHIVED, Stage.STAGING
        with database.writing() as transaction:
            model, other = add_model(transaction, "m"), add_model(transaction, "n")
            kept = [move(1, 2, production, staging), move(1, 3, archived, production), move(2, 3, production, staging)]
            transaction.transitions.add(other.uid, [move(9, 4, production)])
            transaction.transitions.add(model.uid, kept[1:])
            transaction.transitions.add(model.uid, [move(1, 1, staging)])
            transaction.transitions.add(model.uid, kept[:1])
            assert transaction.transitions.production_history(model.uid) == kept
