"""Bundles that local files make."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registrar.errors import InvalidArgument
from registrar.manifest import LocalBundle, guess_type, manifest_digest, path_problem, path_problems, read_bundle
from registrar.values import BundleFile, FileType

EMPTY = hashlib.sha256().hexdigest()


def read(path: Path) -> LocalBundle:
    return read_bundle(path, on_total=lambda _: None, on_bytes=lambda _: None)


def refused(path: Path) -> dict[str, str]:
    with pytest.raises(InvalidArgument) as caught:
        read(path)
    return {violation.field: violation.description for violation in caught.value.violations}


def test_the_digest_of_a_manifest_is_that_of_its_canonical_bytes() -> None:
    files = [
        BundleFile("model.pkl", 3, "0f" * 32, FileType.MODEL),
        BundleFile("config/a.json", 0, EMPTY, FileType.CONFIG),
    ]
    canonical = f"registrar.manifest.v1\n{EMPTY} 0 4 config/a.json\n{'0f' * 32} 3 1 model.pkl\n"
    assert manifest_digest(files) == f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"
    assert manifest_digest(files) == "sha256:7f641b9f3127151433ffc8952a3f37a95ef4b7026e5e4d3a1d0520526d78cf8b"


@given(st.lists(st.text(min_size=1), unique=True))
def test_the_order_of_files_does_not_change_the_digest(paths: list[str]) -> None:
    files = [BundleFile(path, 1, EMPTY) for path in paths if path_problem(path) is None]
    assert manifest_digest(files) == manifest_digest(reversed(files))


@given(st.text())
def test_a_path_without_problems_stays_inside_its_folder(path: str) -> None:
    if path_problem(path) is None:
        resolved = os.path.normpath(f"/base/{path}")
        assert resolved == f"/base/{path}"
        assert unicodedata.normalize("NFC", path) == path


@pytest.mark.parametrize(
    "path",
    ["", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a\\b", "a\nb", "a\x7f", "e\u0301", "é" * 257, "\udcff"],
)
def test_wrong_paths_have_a_problem(path: str) -> None:
    assert path_problem(path) is not None


@pytest.mark.parametrize("paths", [["a", "A"], ["a", "a"], ["a/b", "A"], ["straße", "STRASSE"], ["x", "X/y/z"]])
def test_paths_that_are_one_where_case_does_not_count_collide(paths: list[str]) -> None:
    assert len(path_problems(paths)) == 1


def test_a_folder_becomes_its_files_by_path_with_size_digest_and_type(bundle: Path) -> None:
    found = read(bundle)
    assert [entry.path for entry in found.entries] == ["config.json", "data/vocab.txt", "empty", "model.pkl"]
    assert [entry.type for entry in found.entries] == [
        FileType.CONFIG,
        FileType.TOKENIZER,
        FileType.OTHER,
        FileType.MODEL,
    ]
    for file in found.files:
        data = file.source.read_bytes()
        assert (file.entry.size_bytes, file.entry.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert found.size_bytes == 2 + 4000 + 0 + 5120


def test_a_file_is_a_bundle_of_one(bundle: Path) -> None:
    assert [entry.path for entry in read(bundle / "model.pkl").entries] == ["model.pkl"]


def test_names_are_brought_to_nfc(tmp_path: Path) -> None:
    (tmp_path / "cafe\u0301").mkdir()
    (tmp_path / "cafe\u0301" / "o\u0308.bin").touch()
    assert [entry.path for entry in read(tmp_path).entries] == ["caf\u00e9/\u00f6.bin"]


def test_hidden_files_are_not_skipped_and_empty_folders_are_told(tmp_path: Path) -> None:
    (tmp_path / ".hidden").touch()
    (tmp_path / "nothing").mkdir()
    found = read(tmp_path)
    assert [entry.path for entry in found.entries] == [".hidden"]
    assert found.empty_folders == ("nothing",)


def test_a_link_inside_the_folder_is_followed(bundle: Path) -> None:
    (bundle / "again.pkl").symlink_to("model.pkl")
    (bundle / "more").symlink_to("data")
    assert {"again.pkl", "more/vocab.txt"} <= {entry.path for entry in read(bundle).entries}


def test_every_file_that_cannot_be_in_a_bundle_is_named_at_once(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    (bundle / "out").symlink_to(tmp_path / "secret")
    (bundle / "nowhere").symlink_to("absent")
    (bundle / "data" / "up").symlink_to("..")
    (bundle / "back\\slash").touch()
    os.mkfifo(bundle / "pipe")
    (bundle / "MODEL.PKL").touch()
    assert set(refused(bundle)) == {"out", "nowhere", "data/up", "back\\slash", "pipe", "model.pkl"}


def test_a_name_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).touch()
    assert list(refused(tmp_path).values()) == ["is not valid UTF-8"]


def test_an_empty_folder_and_an_absent_one_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path) == {str(tmp_path): "holds no file"}
    refused(tmp_path / "absent")


def test_what_is_hashed_is_counted(bundle: Path) -> None:
    totals: list[int] = []
    counted: list[int] = []
    read_bundle(bundle, on_total=totals.append, on_bytes=counted.append)
    assert totals == [sum(counted)] == [9122]


def test_a_failing_listener_ends_the_hashing(bundle: Path) -> None:
    def fail(size: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_bundle(bundle, on_total=lambda _: None, on_bytes=fail)


PATHS = ["README.md", "requirements-dev.txt", "a/scaler.pkl", "vocab.json", "metrics.json", "thresholds.yaml"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("README.md", FileType.CARD),
        ("model_card.yaml", FileType.CARD),
        ("requirements-dev.txt", FileType.REQUIREMENTS),
        ("conda.yml", FileType.REQUIREMENTS),
        ("a/scaler.pkl", FileType.PREPROCESSOR),
        ("tokenizer_config.json", FileType.TOKENIZER),
        ("metrics.json", FileType.METRICS),
        ("thresholds.yaml", FileType.THRESHOLDS),
        ("bias_report.html", FileType.EVALUATION),
        ("MLmodel", FileType.MODEL),
        ("weights/a.SAFETENSORS", FileType.MODEL),
        ("feature_names.txt", FileType.CONFIG),
        ("x/y.yaml", FileType.CONFIG),
        ("notes", FileType.OTHER),
    ],
)
def test_the_type_is_guessed_from_the_name(path: str, kind: FileType) -> None:
    assert guess_type(path) is kind


def test_the_server_guesses_and_digests_alike() -> None:
    bundles = pytest.importorskip("registrar_server.domain.bundles")
    names = [*PATHS, "MLmodel", "a.pt", "b.bin", "confusion.png", "x.yml", "python_env.yaml", "encoder", "VOCAB.txt"]
    assert [guess_type(name).value for name in names] == [bundles.guess_type(name).value for name in names]
    ours = manifest_digest(BundleFile(name, 1, EMPTY, guess_type(name)) for name in names)
    theirs = (bundles.BundleFile(name, 1, EMPTY, bundles.guess_type(name)) for name in names)
    assert bundles.Manifest(files=tuple(theirs)).digest == ours
