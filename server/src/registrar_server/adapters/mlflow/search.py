"""Conditions in MLflow's search language, which has quotes but no way to escape them."""

from __future__ import annotations


def quoted(value: str) -> str:
    """A string literal. A value with both kinds of quotes can't be written: ValueError."""
    if "'" not in value:
        return f"'{value}'"
    if '"' not in value:
        return f'"{value}"'
    raise ValueError("MLflow's search language cannot express a value with both kinds of quotes")


def tag_filter(key: str, value: str) -> str:
    """Condition on a tag; backticks because the keys have dots."""
    return f"tags.`{key}` = {quoted(value)}"
