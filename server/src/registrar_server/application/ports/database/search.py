"""Search over all versions of a tenant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from registrar_server.domain.search import Position, Search
from registrar_server.domain.versions import ModelVersion


@dataclass(frozen=True, slots=True)
class Found:
    """A version, and where it stands in the order that was asked for."""

    version: ModelVersion
    position: Position


class SearchRecords(Protocol):
    """What can be searched: READY versions, neither they nor their models deleted, as of the transaction."""

    def find(self, search: Search) -> Sequence[Found]:
        """The next versions in order, at most `limit`; those behind `after` only.

        In the order of registration every version is found once, however many are registered between two calls.
        """
