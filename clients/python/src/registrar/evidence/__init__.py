"""Evidence apart from any server: an archive about one version, and how it is verified.

`archive` reads it, `verification` checks digests, proofs and signatures, `agreement` whether what it says of the version is
what the audit recorded. None of it knows the server's code or makes a connection.
"""

from registrar.evidence.verification import EvidenceVerdict, verify

__all__ = ["EvidenceVerdict", "verify"]
