"""Benchmarks: each measures the registry and a peer in one run, so that the ratio holds where absolute figures do not."""
