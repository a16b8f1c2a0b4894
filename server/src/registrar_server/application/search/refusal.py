"""How a search is refused: which field of the request, which column in it, and what was expected there."""

from __future__ import annotations

from registrar_server.domain.errors import Reason, RegistrarError, Violation


def refusal(field: str, column: int, description: str) -> RegistrarError:
    """FILTER_INVALID. Columns count characters, from 1."""
    return RegistrarError(
        Reason.FILTER_INVALID,
        f"{field}, column {column}: {description}",
        metadata={"field": field, "column": str(column)},
        violations=[Violation(field, f"column {column}: {description}")],
    )


class Misplaced(Exception):
    """What is wrong at a column, before it is known which field of the request is read."""

    def __init__(self, column: int, description: str) -> None:
        super().__init__(description)
        self.column = column
        self.description = description
