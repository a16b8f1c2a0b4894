"""Model cards over a socket: prefilled, written, raced for, searched, stored beside the weights; by SDK and command line."""

from __future__ import annotations

import asyncio
import json
import shlex
import stat
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
import urllib3
import yaml
from google.protobuf.field_mask_pb2 import FieldMask
from minio import Minio

import registrar
import registrar.aio
from registrar.cli.app import main
from registrar.cli.exits import ExitCode
from registrar.v1 import card_pb2
from registrar.v1 import model_card_service_pb2 as pb
from tests.end_to_end.api import CODE, Api, by_number, refusal_of, refused, violated
from tests.fixtures.cards import README, TEMPLATE
from tests.fixtures.server import RunningServer
from tests.fixtures.stores import wait_until

STORED_SECONDS = 30.0
WRITERS = 8
YAML, MARKDOWN = card_pb2.CARD_FORMAT_YAML, card_pb2.CARD_FORMAT_HUGGING_FACE_MARKDOWN


@pytest.fixture
def api(channel: grpc.Channel) -> Api:
    return Api(channel)


@pytest.fixture
def name(api: Api, unique_name: str) -> str:
    """A model with a version."""
    api.register(unique_name, description="Finds fraud", metrics={"auc": 0.9})
    return unique_name


@pytest.fixture
def minio(server: RunningServer) -> Iterator[Minio]:
    """The store of the session's server, past the server."""
    settings = server.mlflow_environment()
    pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=5, read=30))
    yield Minio(
        urlsplit(settings["MLFLOW_S3_ENDPOINT_URL"]).netloc,
        settings["AWS_ACCESS_KEY_ID"],
        settings["AWS_SECRET_ACCESS_KEY"],
        secure=False,
        http_client=pool,
    )
    pool.clear()


def read(minio: Minio, uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    response = minio.get_object(bucket, key)
    try:
        return response.data
    finally:
        response.close()
        response.release_conn()


def update(api: Api, name: str, **fields: Any) -> pb.UpdateModelCardResponse:
    return api.cards.UpdateModelCard(pb.UpdateModelCardRequest(ref=by_number(name, 1), **fields))


def said(text: str) -> card_pb2.ModelCard:
    return card_pb2.ModelCard(intended_use=card_pb2.IntendedUse(primary_use=text))


def test_a_version_has_a_card_from_the_start_and_it_lies_beside_its_files(
    registry: registrar.Registry, minio: Minio, name: str
) -> None:
    first = registry.card(f"{name}/1")
    assert (first.revision, first.author, first.is_prefilled) == (1, "registrar", True)
    assert first.card is not None
    assert first.card.model_details.description == "Finds fraud"
    assert first.card.metrics.overall == {"auc": 0.9}
    assert first.sections == (registrar.CardSection.MODEL_DETAILS, registrar.CardSection.METRICS)
    registry.update_card(f"{name}/1", replace(first.card, summary="Ours now"))
    wait_until(lambda: all(one.uri for one in registry.card_revisions(f"{name}/1")), STORED_SECONDS)
    for revision in registry.card_revisions(f"{name}/1"):
        assert revision.uri.endswith(f"/cards/1/{revision.revision}")
        rendered = registry.render_card(f"{name}/1", revision=revision.revision)
        assert read(minio, revision.uri) == rendered.encode()
        assert ("Ours now" in rendered) is (revision.revision == 2)


def test_a_bundle_brings_its_card_along(registry: registrar.Registry, unique_name: str, tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"weights")
    (tmp_path / "model_card.yaml").write_text(TEMPLATE, encoding="utf-8")
    registry.push(tmp_path, name=unique_name, metrics={"auc": 0.5}, progress=False)
    card = registry.card(f"{unique_name}/1").card
    assert card is not None
    assert card.intended_use.intended_users[0] == "Fraud operations analysts"
    assert (card.metrics.overall["roc_auc"], card.metrics.overall["auc"]) == (0.9724, 0.5)
    (tmp_path / "model_card.yaml").write_text("a: &a [*a]\n", encoding="utf-8")
    broken = registry.push(tmp_path, name=unique_name, progress=False)
    found = registry.card(broken)
    assert found.card is not None
    assert (found.is_prefilled, found.card.intended_use.intended_users) == (True, ())


def test_a_card_is_written_in_revisions_that_stay(api: Api, name: str) -> None:
    second = update(api, name, card=said("Screening"), comment="we know now", request_id="a1").revision
    assert (second.revision, second.author, second.is_prefilled) == (2, "local", False)
    assert second.sections == [card_pb2.CARD_SECTION_INTENDED_USE]
    again = update(api, name, card=said("Screening"), comment="we know now", request_id="a1")
    assert again.revision == second
    same = update(api, name, card=said(" Screening "))
    assert (same.revision.revision, same.event_sequence) == (2, 0)
    masked = update(
        api,
        name,
        card=card_pb2.ModelCard(summary="New", title="Not named"),
        update_mask=FieldMask(paths=["summary", "factors"]),
        etag=second.etag,
    ).revision
    assert (masked.revision, masked.card.summary, masked.card.title) == (3, "New", "")
    assert masked.card.intended_use.primary_use == "Screening"
    first = api.cards.GetModelCard(pb.GetModelCardRequest(ref=by_number(name, 1), revision=1)).revision
    assert (first.card.model_details.description, first.revision) == ("Finds fraud", 1)
    page = api.cards.ListModelCardRevisions(pb.ListModelCardRevisionsRequest(ref=by_number(name, 1), page_size=2))
    assert [(one.revision, one.HasField("card")) for one in page.revisions] == [(3, False), (2, False)]
    rest = api.cards.ListModelCardRevisions(
        pb.ListModelCardRevisionsRequest(ref=by_number(name, 1), page_size=2, page_token=page.next_page_token)
    )
    assert [one.digest for one in rest.revisions] == [first.digest]
    assert len({first.digest, second.digest, masked.digest}) == 3


def test_the_audit_names_digests_and_why(registry: registrar.Registry, name: str) -> None:
    before = registry.card(f"{name}/1")
    after = registry.update_card(f"{name}/1", registrar.ModelCard(summary="New"), comment="we know now")
    (entry,) = registry.audit_events(model=name, action="card.revised")
    assert (entry.version, entry.comment) == (1, "we know now")
    assert json.loads(entry.before) == {"card_digest": before.digest, "card_revision": 1}
    assert json.loads(entry.after) == {"card_digest": after.digest, "card_revision": 2}
    (registered,) = registry.audit_events(model=name, action="version.registered")
    assert json.loads(registered.after)["card_digest"] == before.digest
    assert (registered.event_sequence, entry.event_sequence) == (before.event_sequence, after.event_sequence)


def test_of_writers_who_read_the_same_revision_one_wins(api: Api, name: str) -> None:
    def write(writer: int) -> str:
        try:
            return str(update(api, name, card=said(f"Writer {writer}"), etag="c1").revision.revision)
        except grpc.RpcError as exc:
            found = refusal_of(exc)
            assert found.code is CODE.ABORTED
            return found.reason

    with ThreadPoolExecutor(WRITERS) as pool:
        outcomes = sorted(pool.map(write, range(WRITERS)))
    assert outcomes == ["2", *["ETAG_MISMATCH"] * (WRITERS - 1)]


def test_what_cannot_be_a_card_is_refused_with_every_field(api: Api, name: str) -> None:
    bad = card_pb2.ModelCard(title="two\nlines", additional_sections=[card_pb2.AdditionalSection(text="x")])
    bad.metrics.overall["auc"] = float("nan")
    group = bad.quantitative_analyses.per_group.add(dimension="a", group="b")
    bad.quantitative_analyses.per_group.append(group)
    assert set(violated(lambda: update(api, name, card=bad, update_mask=FieldMask(paths=["none"])))) == {
        "card.title",
        "card.additional_sections[0].heading",
        "card.metrics.overall['auc']",
        "card.quantitative_analyses.per_group[1]",
        "update_mask.paths[0]",
    }
    for card in (
        card_pb2.ModelCard(additional_fields={"/x": "{"}),
        card_pb2.ModelCard(additional_sections=[card_pb2.AdditionalSection(heading="Metrics")]),
        said("x" * 262_145),
        said("x" * 262_140),
    ):
        assert len(violated(partial(update, api, name, card=card))) == 1
    assert violated(lambda: update(api, name, card=said("x"), request_id="ä")) != {}
    assert api.cards.GetModelCard(pb.GetModelCardRequest(ref=by_number(name, 1))).revision.revision == 1


def test_what_is_not_there_is_not_found(api: Api, name: str) -> None:
    def get(version: int, revision: int = 0) -> object:
        return api.cards.GetModelCard(pb.GetModelCardRequest(ref=by_number(name, version), revision=revision))

    refused(lambda: get(2), CODE.NOT_FOUND, "VERSION_NOT_FOUND")
    absent = refused(lambda: get(1, 7), CODE.NOT_FOUND, "CARD_NOT_FOUND")
    assert absent.metadata == {"model": name, "version": "1", "revision": "7"}
    assert set(violated(lambda: get(1, -1))) == {"revision"}
    render = pb.RenderModelCardRequest(ref=by_number(name, 1))
    assert set(violated(lambda: api.cards.RenderModelCard(render))) == {"format"}


def test_texts_are_parsed_and_what_is_no_card_is_named_by_its_line(api: Api) -> None:
    parsed = api.cards.ParseModelCard(pb.ParseModelCardRequest(text=TEMPLATE, format=YAML)).card
    assert parsed.model_details.version == "3.2.1"
    malformed = pb.ParseModelCardRequest(text="a: 1\nb: [\n", format=YAML)
    found = refused(lambda: api.cards.ParseModelCard(malformed), CODE.INVALID_ARGUMENT, "CARD_MALFORMED")
    assert found.metadata["line"] == "3"
    for text in ("x" * 262_145, "ä" * 131_073):
        large = pb.ParseModelCardRequest(text=text, format=MARKDOWN)
        assert set(violated(partial(api.cards.ParseModelCard, large))) == {"text"}


def test_search_finds_a_version_by_what_its_card_says(registry: registrar.Registry, name: str) -> None:
    word = f"w{name.removeprefix('model-')}"
    registry.update_card(f"{name}/1", registrar.ModelCard(summary=f"Screens {word}"))
    assert [found.name for found in registry.search(word)] == [name]
    registry.update_card(f"{name}/1", registrar.ModelCard(summary="Says less"))
    assert list(registry.search(word)) == []


def test_the_client_gives_back_what_it_sent_in_both_formats(registry: registrar.Registry, name: str) -> None:
    card = registry.parse_card(README)
    assert card.additional_sections[0].heading == "Model description"
    written = registry.update_card(f"{name}/1", card)
    assert written.card == card
    for card_format in registrar.CardFormat:
        assert registry.parse_card(registry.render_card(f"{name}/1", card_format), card_format) == card
    only = registry.update_card(f"{name}/1", registrar.ModelCard(title="T", summary="S"), fields=["title"])
    assert only.card == replace(card, title="T")
    with pytest.raises(registrar.Aborted):
        registry.update_card(f"{name}/1", card, etag=written.etag)


def test_the_asynchronous_client_has_the_same(server: RunningServer, name: str) -> None:
    async def use() -> list[int]:
        async with registrar.aio.connect(server.address) as registry:
            await registry.update_card(f"{name}/1", await registry.parse_card("# T\n\nS\n"))
            assert (await registry.card(f"{name}/1")).card == registrar.ModelCard(title="T", summary="S")
            assert await registry.render_card(f"{name}/1") == "# T\n\nS\n"
            return [one.revision async for one in registry.card_revisions(f"{name}/1")]

    assert asyncio.run(use()) == [2, 1]


class TestCommandLine:
    @pytest.fixture
    def run(self, server: RunningServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
        for variable in ("VISUAL", "EDITOR", "REGISTRAR_TENANT", "REGISTRAR_TOKEN"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("REGISTRAR_SERVER", server.address)
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

        def edit_with(program: str) -> None:
            script = tmp_path / "editor.py"
            script.write_text(f"import pathlib, sys\npath = pathlib.Path(sys.argv[1])\n{program}\n", encoding="utf-8")
            script.chmod(stat.S_IRWXU)
            monkeypatch.setenv("EDITOR", shlex.join([sys.executable, str(script)]))

        def call(*arguments: str, editor: str = "") -> int:
            if editor:
                edit_with(editor)
            return main(["card", *arguments])

        return call

    def test_a_card_goes_out_and_comes_back_in(
        self, run: Any, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        readme, card = tmp_path / "README.md", tmp_path / "card.yaml"
        readme.write_text(README, encoding="utf-8")
        assert run("import", f"{name}/1", str(readme), "-m", "from the hub") == ExitCode.OK
        assert run("export", f"{name}/1", "-o", str(card)) == ExitCode.OK
        assert yaml.safe_load(card.read_text(encoding="utf-8"))["hugging_face"]["license"] == "apache-2.0"
        capsys.readouterr()
        assert run("import", f"{name}/1", str(card), "--json") == ExitCode.OK
        assert json.loads(capsys.readouterr().out)["revision"] == 2
        assert run("export", f"{name}/1") == ExitCode.OK
        assert "unmasker = pipeline" in capsys.readouterr().out
        assert run("show", f"{name}/1") == ExitCode.OK
        shown = capsys.readouterr().out
        assert "card revision 2" in shown
        assert "co2_eq_emissions" not in shown
        assert run("history", f"{name}/1") == ExitCode.OK
        assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["2", "1"]

    def test_a_card_is_changed_in_an_editor(
        self, run: Any, registry: registrar.Registry, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        replaced = "path.write_text(path.read_text().replace('Finds fraud', 'Finds more'))"
        assert run("edit", f"{name}/1", editor=replaced) == ExitCode.OK
        found = registry.card(f"{name}/1").card
        assert found is not None
        assert found.model_details.description == "Finds more"
        assert run("edit", f"{name}/1", "--format", "yaml", editor="pass") == ExitCode.OK
        assert "nothing has changed" in capsys.readouterr().out
        assert list(tmp_path.glob("model-card-*")) == []

    def test_a_text_that_is_no_card_is_kept(
        self, run: Any, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        broken = "path.write_text('---\\na: [\\n---\\n# Mine')"
        assert run("edit", f"{name}/1", editor=broken) == ExitCode.REFUSED
        (kept,) = tmp_path.glob("model-card-*.md")
        assert "# Mine" in kept.read_text(encoding="utf-8")
        assert str(kept) in capsys.readouterr().err
