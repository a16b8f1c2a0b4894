"""gRPC: the only place that knows generated types."""
