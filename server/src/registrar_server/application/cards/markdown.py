"""A card as Markdown in the form of the Hugging Face Hub: YAML front matter, then sections that people write.

What is written is read back as it was, also after a person has changed it by hand. A section's text without a label is
its description; a field begins with a line `**Label:**`; lists are bullets, numbers are tables. Any other heading begins a section
of its own. A line of a text that would be taken for one of these has a backslash before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from registrar_server.application.cards.document import (
    FRONT_MATTER,
    KEPT_FIELDS,
    NoCard,
    block_text,
    card_of,
    document_of,
)
from registrar_server.application.cards.layout import HEADER, SECTIONS, TITLES, fields_of
from registrar_server.application.cards.markdown_blocks import read_block, render_block
from registrar_server.application.cards.markdown_lines import (
    UNTITLED,
    Heading,
    escaped,
    heading_of,
    outside_fences,
    unescaped,
)
from registrar_server.application.cards.model_index import MODEL_INDEX, model_index
from registrar_server.application.cards.yaml_text import dump_mapping, load_mapping, malformed
from registrar_server.domain.cards import AdditionalSection, CardSection, ModelCard

_FENCE = "---"
_BY_TITLE = {title.casefold(): section for section, title in TITLES.items()}


def render_markdown(card: ModelCard) -> str:
    """A card as Markdown."""
    blocks = [f"# {card.title}"] if card.title else []
    blocks += render_block(HEADER, card)
    for section, part in SECTIONS.items():
        content = render_block(fields_of(part), getattr(card, section.value))
        blocks += [f"## {TITLES[section]}", *content] if content else []
    for added in card.additional_sections:
        blocks.append(f"{'#' if added.is_chapter else '##'} {added.heading}")
        blocks += [escaped(added.text, ())] if added.text else []
    if blocks and not card.title and blocks[0].startswith(("# ", UNTITLED)):
        blocks.insert(0, UNTITLED)
    body = "\n\n".join(blocks)
    front = dump_mapping(_front_matter(card))
    if front or body.startswith((_FENCE, "\ufeff")):
        return f"{_FENCE}\n{front}{_FENCE}\n\n{body}".rstrip("\n") + "\n"
    return f"{body}\n" if body else ""


def parse_markdown(text: str) -> ModelCard:
    """The card of a Markdown text. CARD_MALFORMED when its front matter is none."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    front_lines, body = _split(lines)
    front = load_mapping("\n".join(front_lines), first_line=2)
    kept = front.pop(KEPT_FIELDS, {})
    if not isinstance(kept, dict) or not all(isinstance(value, str) for value in kept.values()):
        raise malformed(f"{KEPT_FIELDS} must have texts by their places", 2)
    try:
        card = replace(_body_card(body), additional_fields={key: str(value) for key, value in kept.items()})
        return card_of(document_of(card) | {FRONT_MATTER: front})
    except NoCard as exc:
        raise malformed(str(exc), 1) from None


def _front_matter(card: ModelCard) -> dict[str, Any]:
    in_front = _in_front(card)
    kept = document_of(ModelCard(hugging_face=card.hugging_face, additional_fields=in_front))
    front: dict[str, Any] = kept.get(FRONT_MATTER, {})
    if MODEL_INDEX not in front and (index := model_index(card)):
        front[MODEL_INDEX] = index
    elsewhere = {key: value for key, value in card.additional_fields.items() if key not in in_front}
    if elsewhere:
        front[KEPT_FIELDS] = dict(sorted(elsewhere.items()))
    return front


def _in_front(card: ModelCard) -> dict[str, str]:
    """Additional fields that the front matter has a place for."""
    beginning = f"/{FRONT_MATTER}/"
    return {key: value for key, value in card.additional_fields.items() if key.startswith(beginning)}


def _split(lines: list[str]) -> tuple[list[str], list[str]]:
    if lines[0].rstrip() != _FENCE:
        return [], lines
    end = next((index for index in range(1, len(lines)) if lines[index].rstrip() == _FENCE), 0)
    return (lines[1:end], lines[end + 1 :]) if end else ([], lines)


def _body_card(lines: Sequence[str]) -> ModelCard:
    """What the sections say. One that is there twice is one."""
    title, parts, added = _sections(lines)
    values: dict[str, Any] = {
        section.value: part(**read_block(fields_of(part), parts[section]))
        for section, part in SECTIONS.items()
        if section in parts
    }
    sections = [
        AdditionalSection(heading.text, block_text("\n".join(unescaped(content, ()))), heading.level == 1)
        for heading, content in added
    ]
    return ModelCard(
        title=title, additional_sections=tuple(sections), **read_block(HEADER, parts.get(None, [])), **values
    )


def _sections(
    lines: Sequence[str],
) -> tuple[str, dict[CardSection | None, list[str]], list[tuple[Heading, list[str]]]]:
    """Title; lines by section, None for those above the first; and the other sections with their headings."""
    title = ""
    parts: dict[CardSection | None, list[str]] = {}
    added: list[tuple[Heading, list[str]]] = []
    current = parts.setdefault(None, [])
    is_first = True
    for line, is_outside in zip(lines, outside_fences(lines), strict=True):
        heading = heading_of(line) if is_outside else None
        if heading is not None and heading.level == 1 and is_first:
            title = heading.text
        elif heading is not None and (section := _BY_TITLE.get(heading.text.casefold())):
            current = parts.setdefault(section, [])
            current.append("")
        elif heading is not None:
            current = []
            added.append((heading, current))
        elif not (is_first and line == UNTITLED):
            current.append(line)
        is_first = is_first and not line.strip()
    return title, parts, added
