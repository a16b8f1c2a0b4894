"""Paths, types and manifests of bundles, on both sides of the contract."""

from __future__ import annotations

import hashlib
import posixpath
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar import manifest as client
from registrar.values import BundleFile as ClientFile
from registrar.values import FileType as ClientType
from registrar_server.domain.bundles import (
    BundleFile,
    FileType,
    Manifest,
    bundle_prefix,
    collisions,
    guess_type,
    path_problem,
)
from registrar_server.domain.limits import PATH_BYTES

SHA = "0f" * 32
EMPTY = hashlib.sha256().hexdigest()
NAMES = st.sampled_from(
    ["model", "README.md", "requirements", "conda.yaml", "scaler", "vocab", "metrics", "threshold", "report", "MLmodel"]
    + ["config", "features", "evaluation", "tokenizer", "weights.pt", "data.json", "x.YML", "model.pkl", "model_card"]
)
PATHS = st.one_of(
    st.text(max_size=40),
    st.lists(st.one_of(NAMES, st.text("ab./\\éE ", max_size=6)), min_size=1, max_size=4).map("/".join),
    st.tuples(NAMES, st.sampled_from([".txt", ".pkl", ".md", ".json", "", "_v2.onnx"])).map("".join),
)


@pytest.mark.parametrize("path", ["model.pkl", "a/b/c", "..a", "a..", ".hidden", "späße/ü", "with space", "a:b"])
def test_a_relative_path_is_good(path: str) -> None:
    assert path_problem(path) is None


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "..", ".", "../x", "a/../b", "a/./b", "a//b", "a/", "a\\b", "a\0b", "a\nb", "a\x7f", "u\u0308"],
)
def test_a_path_that_leads_out_or_is_ambiguous_is_refused(path: str) -> None:
    assert path_problem(path) is not None


@given(PATHS)
def test_a_good_path_stays_below_any_folder(path: str) -> None:
    if path_problem(path) is None:
        assert posixpath.normpath(posixpath.join("/base", path)) == f"/base/{path}"


@given(PATHS)
def test_server_and_client_find_the_same_paths_good(path: str) -> None:
    is_short = len(path.encode()) <= PATH_BYTES
    assert (path_problem(path) is None and is_short) == (client.path_problem(path) is None)


@given(st.lists(PATHS, max_size=6))
def test_server_and_client_find_the_same_collisions(paths: list[str]) -> None:
    good = [path for path in paths if client.path_problem(path) is None]
    assert bool(collisions(good)) == bool(client.path_problems(good))


def test_collisions_name_the_other_file() -> None:
    paths = ["a", "b", "A", "b/c", "B/c/d"]
    assert collisions(paths) == [
        (2, "collides with files[0].path"),
        (3, "lies below files[1].path, which is a file"),
        (4, "lies below files[1].path, which is a file"),
    ]


@pytest.mark.parametrize("paths", [["a", "b"], ["a/b", "a/c"], ["a", "ab/c"], ["a.txt", "a/b"]])
def test_paths_that_fit_one_folder_do_not_collide(paths: list[str]) -> None:
    assert collisions(paths) == []


@given(PATHS)
def test_server_and_client_guess_the_same_type(path: str) -> None:
    assert guess_type(path).value == client.guess_type(path).value


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("model.pkl", FileType.MODEL),
        ("model.pt", FileType.MODEL),
        ("sub/MLmodel", FileType.MODEL),
        ("preprocessor.pkl", FileType.PREPROCESSOR),
        ("config.json", FileType.CONFIG),
        ("metrics.json", FileType.METRICS),
        ("requirements.txt", FileType.REQUIREMENTS),
        ("README.md", FileType.CARD),
        ("notes.txt", FileType.OTHER),
    ],
)
def test_the_files_of_the_reference_have_their_types(path: str, kind: FileType) -> None:
    assert guess_type(path) is kind


def test_the_types_have_the_same_numbers_on_both_sides() -> None:
    assert {t.name: t.value for t in FileType} == {t.name: t.value for t in ClientType}


def test_the_manifest_digest_is_that_of_the_canonical_bytes() -> None:
    manifest = Manifest(
        (BundleFile("model.pkl", 3, SHA, FileType.MODEL), BundleFile("config/a.json", 0, EMPTY, FileType.CONFIG))
    )
    canonical = f"registrar.manifest.v1\n{EMPTY} 0 4 config/a.json\n{SHA} 3 1 model.pkl\n"
    assert manifest.digest == f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"
    assert manifest.digest == "sha256:7f641b9f3127151433ffc8952a3f37a95ef4b7026e5e4d3a1d0520526d78cf8b"


FILES = st.lists(
    st.tuples(PATHS, st.integers(0, 2**42), st.binary(max_size=4), st.sampled_from(list(FileType))),
    max_size=5,
    unique_by=lambda file: file[0],
)


@given(FILES, st.randoms(use_true_random=False))
def test_server_and_client_give_equal_files_equal_digests_in_any_order(
    files: list[tuple[str, int, bytes, FileType]], random: Random
) -> None:
    hashed = [(path, size, hashlib.sha256(content).hexdigest(), kind) for path, size, content, kind in files]
    expected = client.manifest_digest([ClientFile(p, s, d, ClientType(k.value)) for p, s, d, k in hashed])
    random.shuffle(hashed)
    assert Manifest(tuple(BundleFile(*file) for file in hashed)).digest == expected


@given(FILES)
def test_a_manifest_with_one_fact_changed_has_another_digest(files: list[tuple[str, int, bytes, FileType]]) -> None:
    made = [BundleFile(path, size, SHA, kind) for path, size, _, kind in files]
    made.append(BundleFile("#", 1, SHA, FileType.OTHER))
    whole = Manifest(tuple(made)).digest
    last = made[-1]
    for other in (
        BundleFile(last.path, last.size_bytes + 1, SHA, last.type),
        BundleFile(last.path, last.size_bytes, EMPTY, last.type),
        BundleFile(last.path, last.size_bytes, SHA, FileType.MODEL),
    ):
        assert Manifest((*made[:-1], other)).digest != whole
    assert Manifest(tuple(made[:-1])).digest != whole


def test_a_bundle_lies_below_tenant_and_model_without_a_colon() -> None:
    assert bundle_prefix("acme", "a" * 32, f"sha256:{SHA}") == f"acme/{'a' * 32}/sha256-{SHA}"
