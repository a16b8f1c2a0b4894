"""CRC32C of a chunk: tells at once, and where, that bytes were damaged on their way."""

from __future__ import annotations

from collections.abc import Callable

import google_crc32c

crc32c: Callable[[bytes], int] | None = google_crc32c.value if google_crc32c.implementation == "c" else None
"""None where only the implementation in Python is there, which takes a hundred times as long as everything else: chunks go
without then, and files are verified by SHA-256 all the same."""
