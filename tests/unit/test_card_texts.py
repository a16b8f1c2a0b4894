"""Cards as texts: nothing is lost on the way, and nothing that somebody sends can do harm."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from registrar_server.application.cards.document import (
    NoCard,
    card_digest,
    dump_card,
    load_card,
    normal,
)
from registrar_server.application.cards.texts import parse, render
from registrar_server.domain.cards import (
    AdditionalSection,
    CardDataset,
    CardFormat,
    CardSection,
    GroupMetrics,
    ModelCard,
)
from registrar_server.domain.errors import Reason, RegistrarError
from tests.fixtures.cards import README, TEMPLATE, cards, texts

MARKDOWN, YAML = CardFormat.HUGGING_FACE_MARKDOWN, CardFormat.YAML
EACH_FORMAT = pytest.mark.parametrize("form", CardFormat, ids=[form.value for form in CardFormat])


@given(card=cards)
@settings(max_examples=60, deadline=None)
def test_any_card_is_read_back_as_it_was_written(card: ModelCard) -> None:
    assert normal(card) == card
    assert load_card(dump_card(card)) == card
    assert parse(render(card, YAML), YAML) == card
    assert parse(render(card, MARKDOWN), MARKDOWN) == card


@given(text=st.lists(texts | st.just("---"), max_size=8).map("\n".join))
@EACH_FORMAT
@settings(max_examples=60, deadline=None)
def test_any_text_is_a_card_that_is_read_back_or_is_malformed(text: str, form: CardFormat) -> None:
    try:
        card = parse(text, form)
    except RegistrarError as exc:
        assert exc.reason is Reason.CARD_MALFORMED
        assert int(exc.metadata["line"]) >= 1
        return
    assert normal(card) == card
    assert parse(render(card, form), form) == card


def values(document: object) -> set[str]:
    """Every key and every scalar."""
    if isinstance(document, dict):
        return set(map(str, document)).union(*map(values, document.values()))
    if isinstance(document, list):
        return set().union(*map(values, document))
    return {str(document).strip()}


@EACH_FORMAT
def test_every_value_of_a_template_is_in_what_is_written_of_it(form: CardFormat) -> None:
    card = parse(TEMPLATE, YAML)
    written = render(card, form)
    assert parse(written, form) == card
    said = values(yaml.safe_load(TEMPLATE))
    assert said <= values(yaml.safe_load(render(card, YAML)))
    everything = written if form is YAML else written.replace("\\|", "|")
    scalars = {text for text in said if " " in text or "." in text}
    assert [text for text in scalars if text not in everything] == []
    assert not card.additional_fields


def test_a_template_fills_the_sections_that_it_speaks_of() -> None:
    card = parse(TEMPLATE, YAML)
    assert card.sections == set(CardSection) - {CardSection.FACTORS}
    assert card.quantitative_analyses.per_group[1] == GroupMetrics(
        "card_type", "visa", "", {"f1": 0.7998, "roc_auc": 0.9731}
    )
    assert card.ethical_considerations.concerns[0].mitigation.startswith("Per-region")
    assert (card.model_card_version, card.last_updated, card.approved_by) == ("1.0", "2024-11-15", "alice")


def test_a_readme_of_the_hub_keeps_its_lines_and_its_keys() -> None:
    card = parse(README, MARKDOWN)
    written = render(card, MARKDOWN)
    assert parse(written, MARKDOWN) == card
    _, front, body = README.split("---\n", 2)
    _, front_written, body_written = written.split("---\n", 2)
    assert [line for line in body.split("\n") if line not in body_written.split("\n")] == []
    before, after = yaml.safe_load(front), yaml.safe_load(front_written)
    assert after == before | {"language": ["en"]}
    assert card.title == "Sentiment base model (uncased)"
    assert [section.heading for section in card.additional_sections][-2:] == [
        "Evaluation results",
        "Environmental impact",
    ]
    assert card.sections == {CardSection.TRAINING_DATA}
    assert card.hugging_face.datasets == ("bookcorpus", "wikipedia")


def test_what_a_person_changes_by_hand_is_read() -> None:
    written = render(parse(TEMPLATE, YAML), MARKDOWN)
    edited = (
        written.replace("| roc_auc | 0.9724 |", "| roc_auc | 0.98 |\n| notes | see below |")
        .replace("- Cryptocurrency transactions\n", "* Loans\n* Long ones,\n  on two lines\n")
        .replace(
            "## Ethical considerations\n", "## Our own section\n\nNew.\n\n## Ethical considerations\n\nFree text.\n"
        )
        .replace("**Size:** 28.4M transactions", "**size:**\n\n30M\ntransactions")
    )
    card = parse(edited, MARKDOWN)
    assert card.metrics.overall["roc_auc"] == 0.98
    assert card.metrics.description == "| notes | see below |"
    assert card.intended_use.out_of_scope[-2:] == ("Loans", "Long ones,\non two lines")
    assert card.additional_sections == (AdditionalSection("Our own section", "New."),)
    assert card.ethical_considerations.statement == "Free text."
    assert card.evaluation_data.size == "30M\ntransactions"
    assert parse(render(card, MARKDOWN), MARKDOWN) == card


def test_scalars_stay_as_they_are_spelled() -> None:
    text = (
        "model_details: {version: 1.10, training_date: 2024-11-15, name: no}\nours: {n: 1.10, d: 2024-11-15, f: 0.5}\n"
    )
    card = parse(text, YAML)
    assert (card.model_details.version, card.model_details.training_date) == ("1.10", "2024-11-15")
    assert card.model_details.name == "no"
    assert card.additional_fields == {"/ours": '{"d":"2024-11-15","f":0.5,"n":"1.10"}'}
    assert yaml.safe_load(render(card, YAML))["ours"] == {"n": "1.10", "d": "2024-11-15", "f": 0.5}


def test_what_does_not_fit_a_field_is_kept_in_its_place() -> None:
    text = "metrics: {overall: {f1: 0.8, auc: 0.9 ± 0.1}}\ntraining_data: {datasets: [{name: a, rows: 7}]}\nfactors: some\n"
    card = parse(text, YAML)
    assert card.metrics.overall == {"f1": 0.8}
    assert card.training_data.datasets == (CardDataset("a"),)
    assert card.additional_fields == {
        "/metrics/overall/auc": '"0.9 ± 0.1"',
        "/training_data/datasets/0/rows": "7",
        "/factors": '"some"',
    }
    assert parse(render(card, MARKDOWN), MARKDOWN) == card
    assert yaml.safe_load(render(card, YAML)) == yaml.safe_load(text)


def test_metrics_get_into_the_model_index_and_follow_what_is_changed() -> None:
    card = parse(TEMPLATE, YAML)
    written = render(card, MARKDOWN)
    index = yaml.safe_load(written.split("---\n")[1])["model-index"]
    assert index[0]["name"] == "fraud-transaction-detector"
    assert {"type": "roc_auc", "value": 0.9724, "name": "roc_auc"} in index[0]["results"][0]["metrics"]
    changed = parse(written.replace("| roc_auc | 0.9724 |", "| roc_auc | 0.5 |"), MARKDOWN)
    assert "value: 0.9724" not in render(changed, MARKDOWN)
    assert not changed.additional_fields


@EACH_FORMAT
@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: &x [1]\nb: *x\n", 2, "aliases"),
        ("a: 1\nb: !!python/object:os.system x\n", 2, "tags"),
        ("a: 1\nc: 2\na: 3\n", 3, "twice"),
        ("a: " + "[" * 60 + "]" * 60, 1, "deep"),
        ("{" * 60, 1, "key"),
        ("a: [1\nb: 2\n", 2, "YAML"),
        ("- a\n", 1, "mapping"),
        ('a: "\\0"\n', 1, "characters"),
        ('a: "\\ud800"\n', 1, "character"),
        ("a: \x01\n", 1, "characters"),
        ("? [a]\n: b\n", 1, "key"),
    ],
    ids=["alias", "tag", "twice", "deep", "deep-keys", "broken", "list", "nul", "half", "control", "complex-key"],
)
def test_yaml_that_could_do_harm_is_malformed(text: str, line: int, problem: str, form: CardFormat) -> None:
    whole = text if form is YAML else f"---\n{text}\n---\nbody\n"
    with pytest.raises(RegistrarError, match=problem) as refused:
        parse(whole, form)
    assert refused.value.reason is Reason.CARD_MALFORMED
    assert int(refused.value.metadata["line"]) == line + (form is MARKDOWN)


def test_a_second_document_is_malformed() -> None:
    with pytest.raises(RegistrarError, match="second document"):
        parse("a: 1\n---\nb: 2\n", YAML)


def test_a_text_of_the_largest_size_is_read_in_time() -> None:
    for piece in ("```\n", "- \n", "**Size:** x\n", "| a |\n|---|\n", "#" * 4 + "\n", "\\" * 64 + "\n", "[" * 20):
        parse("## Training data\n" + piece * (2**18 // len(piece)), MARKDOWN)


def test_a_text_that_is_made_to_be_looked_at_again_and_again_is_read_in_time() -> None:
    table = "## Metrics\n**Performance measures:**\n\n| Metric | Value |\n-"
    parse(f"{table}{' ' * (2**18 - 100)}x\n", MARKDOWN)
    parse("````x\n" * 25_000 + "```\n" * 25_000, MARKDOWN)
    keys = parse("".join(f"k{index}: v\n" for index in range(20_000)), YAML)
    assert parse(render(keys, MARKDOWN), MARKDOWN) == keys


@pytest.mark.parametrize(
    "fields",
    [
        {"/a" * 60: "1"},
        {"/a" * 5_000: "1"},
        {"/x": "[" * 60 + "]" * 60},
        {"/x": '{"a":' * 900 + "1" + "}" * 900},
        {"/x": "1e999"},
        {"/x": '["\\ud800"]'},
        {"/x": '{"\\u0000": 1}'},
    ],
    ids=["deep-place", "deeper-place", "deep-list", "deep-mapping", "infinite", "half", "nul"],
)
def test_an_additional_field_that_could_not_be_read_back_is_refused(fields: dict[str, str]) -> None:
    with pytest.raises(NoCard, match=r"too deep|no JSON"):
        normal(ModelCard(additional_fields=fields))
    with pytest.raises(RegistrarError) as refused:
        parse(f"---\nregistrar_additional_fields: {json.dumps(fields)}\n---\n", MARKDOWN)
    assert refused.value.reason is Reason.CARD_MALFORMED


@pytest.mark.parametrize(
    "fields",
    [
        {"/metrics/overall": "1"},
        {"": "1"},
        {"x": "1"},
        {"/x": "{"},
        {"/x": "NaN"},
        {"/title/x": "1"},
        {"/x": "1", "/x/y": "2"},
    ],
    ids=["occupied", "whole", "no-pointer", "no-json", "nan", "below-a-text", "below-another"],
)
def test_an_additional_field_without_room_is_refused(fields: dict[str, str]) -> None:
    card = replace(parse(TEMPLATE, YAML), title="A title", additional_fields=fields)
    with pytest.raises(NoCard):
        normal(card)


def test_an_additional_section_cannot_pass_for_one_of_the_nine() -> None:
    with pytest.raises(NoCard, match="one of the nine"):
        normal(ModelCard(additional_sections=(AdditionalSection("training DATA", "x"),)))


def test_equal_cards_have_equal_content_and_each_revision_a_digest_of_its_own() -> None:
    one = parse(TEMPLATE, YAML)
    other = parse(render(one, MARKDOWN), MARKDOWN)
    assert dump_card(one) == dump_card(other)
    assert card_digest(dump_card(one), 1) == card_digest(dump_card(other), 1)
    assert card_digest(dump_card(one), 1) != card_digest(dump_card(one), 2)


def test_an_empty_card_is_an_empty_text() -> None:
    assert [render(ModelCard(), form) for form in CardFormat] == ["", ""]
    assert [parse("", form) for form in CardFormat] == [ModelCard(), ModelCard()]
