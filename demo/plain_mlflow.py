"""Load a model as somebody does who has never heard of Registrar: plain MLflow, nothing else.

    python plain_mlflow.py models:/NAME@production ROWS.csv

Writes one JSON document: the predictions, and whether any module of Registrar was imported on the way.
"""

from __future__ import annotations

import json
import sys

import mlflow
import pandas as pd

model = mlflow.pyfunc.load_model(sys.argv[1])
predicted = model.predict(pd.read_csv(sys.argv[2]))
has_registrar = any(name.split(".")[0] in {"registrar", "registrar_server"} for name in sys.modules)
json.dump({"predictions": predicted.tolist(), "has_registrar": has_registrar}, sys.stdout)
