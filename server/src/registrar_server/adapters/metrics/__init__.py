"""Metrics: every process counts in a file of its own, the parent adds them up for Prometheus."""
