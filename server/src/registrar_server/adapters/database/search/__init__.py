"""Searches: their tables, what keeps those in step, and the statements that find versions."""
