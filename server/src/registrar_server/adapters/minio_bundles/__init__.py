"""The bundle store on any S3 server, by the MinIO client."""

from registrar_server.adapters.minio_bundles.store import MinioBundleStore

__all__ = ["MinioBundleStore"]
