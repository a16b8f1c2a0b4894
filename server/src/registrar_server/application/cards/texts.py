"""Cards as texts, in each format."""

from __future__ import annotations

from registrar_server.application.cards.document import NoCard, card_of, document_of
from registrar_server.application.cards.markdown import parse_markdown, render_markdown
from registrar_server.application.cards.yaml_text import dump_mapping, load_mapping, malformed
from registrar_server.domain.cards import CardFormat, ModelCard


def render(card: ModelCard, form: CardFormat) -> str:
    """A card as a text that `parse` reads."""
    if form is CardFormat.YAML:
        return dump_mapping(document_of(card))
    return render_markdown(card)


def parse(text: str, form: CardFormat) -> ModelCard:
    """The card that a text says. CARD_MALFORMED, with the line."""
    if form is CardFormat.HUGGING_FACE_MARKDOWN:
        return parse_markdown(text)
    try:
        return card_of(load_mapping(text.removeprefix("\ufeff")))
    except NoCard as exc:
        raise malformed(str(exc), 1) from None
