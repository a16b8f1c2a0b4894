"""Lineage: its tables and its statements."""
