"""What `adapters/mlflow_store.py` is made of. Only `environment` may be imported before MLflow's settings stand."""
