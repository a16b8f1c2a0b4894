"""Registrar's server: the model registry behind the gRPC contract in ``protos/registrar/v1``."""
