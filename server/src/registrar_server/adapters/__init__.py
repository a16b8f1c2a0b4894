"""What the ports are implemented with: SQL databases, S3 stores, MLflow."""
