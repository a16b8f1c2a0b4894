"""What signs for the registry."""

from __future__ import annotations

from typing import Protocol


class Signer(Protocol):
    """An Ed25519 key (RFC 8032). Equal messages have equal signatures. Thread-safe."""

    @property
    def public_key(self) -> bytes:
        """32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes."""
