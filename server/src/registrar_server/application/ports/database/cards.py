"""Records of model cards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from registrar_server.domain.bundles import BundleFile
from registrar_server.domain.cards import CardRevision, CardState


@dataclass(frozen=True, slots=True)
class UnstoredCard:
    """A revision that does not lie in the object store yet: where it belongs, and what it says."""

    version_uid: str
    revision: int
    key: str
    content: str


class CardRecords(Protocol):
    """Revisions of cards. They are only added; what is stored later is that the object is there."""

    def state(self, version_uid: str) -> CardState | None:
        """The last revision in short; None: the version has no card."""

    def get(self, version_uid: str, revision: int = 0) -> CardRevision | None:
        """A revision with its content, 0: the last."""

    def at_sequence(self, version_uid: str, sequence: int) -> CardRevision | None:
        """The last revision as of an event, with its content; None: there was none yet."""

    def content(self, version_uid: str, revision: int) -> str:
        """What a revision says, as canonical JSON; empty: there is none."""

    def revisions(self, version_uid: str, *, before: int, limit: int) -> Sequence[CardRevision]:
        """Revisions without content, the newest first, those below `before` only (0: all)."""

    def add(self, revision: CardRevision) -> None:
        """Add the next revision, once its event is recorded; free text finds the version by its words from now on."""

    def files(self, bundle_uid: str) -> Sequence[BundleFile]:
        """Files of a bundle that are model cards, by path."""

    def is_any_unstored(self) -> bool:
        """Whether there is a revision to be put into the object store."""

    def unstored(self, *, limit: int) -> Sequence[UnstoredCard]:
        """Revisions that do not lie in the object store, the oldest first."""

    def set_stored(self, version_uid: str, revision: int, time: datetime) -> None:
        """Remember that the object is there."""
