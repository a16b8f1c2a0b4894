"""Signed heads: what the registry vouches for, in a form that outlives it."""

from __future__ import annotations

from registrar_server.application.ports.signing import Signer
from registrar_server.domain.notes import checkpoint_text, signed_note, verifier_key


class Checkpoints:
    """Signs heads of audits. Without a key all that it gives is empty."""

    def __init__(self, origin: str, signer: Signer | None) -> None:
        """`origin` says whose registry it is; a tenant's log is `origin/tenant`."""
        self._origin = origin
        self._signer = signer

    def of(self, tenant: str, size: int, root: bytes) -> str:
        """The signed checkpoint of a tree."""
        return self.signed(tenant, checkpoint_text(self.name(tenant), size, root))

    def signed(self, tenant: str, text: str) -> str:
        """Any text that ends in a line feed, signed for a tenant."""
        if self._signer is None:
            return ""
        return signed_note(text, self.name(tenant), self._signer.public_key, self._signer.sign(text.encode()))

    def verifier_key(self, tenant: str) -> str:
        """What verifies a tenant's checkpoints."""
        return "" if self._signer is None else verifier_key(self.name(tenant), self._signer.public_key)

    def name(self, tenant: str) -> str:
        """What a tenant's log and its key are called."""
        return f"{self._origin}/{tenant}"


UNSIGNED = Checkpoints("registrar", None)
"""Signs nothing."""
