"""What a bundle's MLmodel file says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar_server.application.mlmodel import parse_mlmodel
from registrar_server.domain.versions import Signature, TensorSpec

# As mlflow 3 wrote it for a scikit-learn model on a data frame.
SKLEARN = b"""\
artifact_path: s3://bucket/models/m-1/artifacts
flavors:
  python_function:
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.sklearn
    model_path: model.pkl
    predict_fn: predict
    python_version: 3.11.9
  sklearn:
    code: null
    pickled_model: model.pkl
    serialization_format: cloudpickle
    sklearn_version: 1.5.0
is_signature_from_type_hint: false
mlflow_version: 3.1.0
model_id: m-1
run_id: b7f9
signature:
  inputs: '[{"type": "double", "name": "alcohol", "required": true}, {"type": "long",
    "name": "age", "required": false}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]'
  params: null
utc_time_created: '2025-03-15 10:00:00.000000'
"""


def test_flavors_and_signature_of_a_real_file() -> None:
    flavors, signature = parse_mlmodel(SKLEARN)
    assert flavors == ("python_function", "sklearn")
    assert signature == Signature(
        inputs=(TensorSpec("alcohol", "double"), TensorSpec("age", "long", is_optional=True)),
        outputs=(TensorSpec("", "int64", (-1,)),),
    )


def test_a_tensor_keeps_name_and_shape() -> None:
    text = b"""signature: {inputs: '[{"name":"features","type":"tensor","tensor-spec":{"dtype":"float32","shape":[-1,128]}}]'}"""
    _, signature = parse_mlmodel(text)
    assert signature == Signature(inputs=(TensorSpec("features", "float32", (-1, 128)),))


def test_a_model_without_a_signature_has_none() -> None:
    assert parse_mlmodel(b"flavors: {sklearn: {}}") == (("sklearn",), None)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"- a list",
        b"flavors: [not, a, map]",
        b"a: b: c",
        b"\xff\xfe\x00",
        b"signature: {inputs: 'no json'}",
        b"signature: {inputs: '{}', outputs: '[1, null, \"a\"]'}",
        b"signature: 7",
        b"!!python/object/apply:os.system ['false']",
        b"[" * 50_000,
        b"signature: {inputs: '" + b"[" * 50_000 + b"'}",
        b'signature: {inputs: \'[{"type":"tensor","tensor-spec":{"dtype":"int64","shape":["x"]}}]\'}',
        b'signature: {inputs: \'[{"type":"tensor","tensor-spec":{"dtype":"int64","shape":[null]}}]\'}',
    ],
)
def test_a_file_that_cannot_be_read_says_nothing(text: bytes) -> None:
    flavors, signature = parse_mlmodel(text)
    assert flavors == ()
    assert signature is None or all(isinstance(size, int) for tensor in signature.inputs for size in tensor.shape)


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail(text: bytes) -> None:
    parse_mlmodel(text)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=True), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["type", "name", "tensor-spec", "dtype", "shape", "required"]), inner, max_size=4
        ),
    ),
    max_leaves=12,
)


@given(JSON)
def test_no_signature_makes_it_fail(document: object) -> None:
    import json

    parse_mlmodel(json.dumps({"flavors": {}, "signature": {"inputs": json.dumps(document)}}).encode())
