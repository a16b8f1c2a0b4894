"""Alembic's migrations of the registrar database, oldest first in `versions`."""
