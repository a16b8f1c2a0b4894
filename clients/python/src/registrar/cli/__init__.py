"""The command `registrar`."""

from __future__ import annotations

from registrar.cli.app import main

__all__ = ["main"]
