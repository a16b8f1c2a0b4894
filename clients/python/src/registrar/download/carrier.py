"""What brings a range of a file here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from registrar.values import BundleFile

Block = bytes | memoryview
"""Bytes that arrived; a view holds good until the next block is asked for."""


class Carrier(Protocol):
    """The bytes of one range, in order; iterate it once. Broken connections are its own affair."""

    def __iter__(self) -> Iterator[Block]:
        """The bytes, not verified. Errors: those of the registry or the store, as RegistrarError; Cancelled."""

    def check(self) -> None:
        """Break off an attempt that has stood still for too long, so that the next one begins. From any thread.

        Errors: InvalidArgument CLOSED when the registry's connection is closed.
        """

    def cancel(self) -> None:
        """End soon, with Cancelled. From any thread."""


OpenCarrier = Callable[[BundleFile, int, int], Carrier]
"""Makes the carrier of a range: the file, first byte, number of bytes. Nothing is sent before it is iterated."""
