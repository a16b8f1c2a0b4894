"""Semantic versions follow signatures: what is suggested, what is refused, over the wire and on the command line."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

import registrar
from registrar.cli import main
from registrar.fields import VersionFields
from registrar.values import Signature, TensorSpec

AMOUNT, COUNT = TensorSpec("amount", "double"), TensorSpec("count", "long")
SCORE = TensorSpec("score", "double")
OLD = Signature([AMOUNT, COUNT], [SCORE])
WIDER = Signature([AMOUNT, COUNT, TensorSpec("region", "string", (), True)], [SCORE])
BREAKING = Signature([AMOUNT, COUNT, TensorSpec("region", "string")], [SCORE])


class Line:
    """A model, one version after the other."""

    def __init__(self, registry: registrar.Registry, name: str, directory: Path) -> None:
        self._registry = registry
        self.name = name
        file = directory / "model.pkl"
        file.write_bytes(name.encode())
        self._artifact_id = registry.upload(file, name=name).id

    def register(self, semantic_version: str = "", signature: Signature | None = OLD) -> registrar.ModelVersion:
        fields = VersionFields(semantic_version=semantic_version)
        if signature is not None:
            fields["signature"] = signature
        return self._registry.register(self.name, artifact_id=self._artifact_id, **fields)

    def check(self, semantic_version: str = "", signature: Signature = OLD) -> registrar.RegistrationAdvice:
        return self._registry.check(
            self.name, artifact_id=self._artifact_id, semantic_version=semantic_version, signature=signature
        )


@pytest.fixture
def line(registry: registrar.Registry, unique_name: str, tmp_path: Path) -> Line:
    return Line(registry, unique_name, tmp_path)


def advice_of(version: registrar.ModelVersion) -> registrar.RegistrationAdvice:
    assert version.advice is not None
    return version.advice


def test_the_next_version_is_suggested_by_what_the_signature_does_to_callers(line: Line) -> None:
    first = advice_of(line.register())
    assert (first.suggested_semantic_version, first.compared_with) == ("1.0.0", None)
    line.register("1.4.2")
    for signature, suggested in ((OLD, "1.4.3"), (WIDER, "1.5.0"), (BREAKING, "2.0.0")):
        advice = line.check(signature=signature)
        assert (advice.suggested_semantic_version, advice.compared_with) == (suggested, 2)
    made = advice_of(line.register(signature=BREAKING))
    assert made.suggested_semantic_version == "2.0.0"
    assert [(one.place, one.is_breaking) for one in made.signature_changes] == [("inputs.region", True)]


def test_before_one_a_break_asks_for_the_next_minor_number(line: Line) -> None:
    line.register("0.3.1")
    assert [line.check(signature=one).suggested_semantic_version for one in (OLD, WIDER, BREAKING)] == [
        "0.3.2",
        "0.3.2",
        "0.4.0",
    ]
    line.register("0.4.0", BREAKING)


def test_a_version_that_hides_a_break_is_refused_with_what_it_should_be(line: Line) -> None:
    line.register("1.0.0")
    line.register("2.0.0", BREAKING)
    for refusing in (line.check, line.register):
        with pytest.raises(registrar.FailedPrecondition) as refused:
            refusing("1.1.0", BREAKING)
        assert refused.value.reason == "SIGNATURE_BREAKING"
        assert refused.value.metadata["compared_with"] == "1"
        assert refused.value.metadata["suggested_semantic_version"] == "2.0.1"
        assert "input region is new and required" in str(refused.value)
    # What is below the break serves whom it served before, and a pre-release of the next promises nothing.
    assert line.register("1.1.0", WIDER).version == 3
    assert line.register("3.0.0-rc.1", OLD).version == 4
    assert line.register("2.1.0", BREAKING).version == 5


def test_a_signature_that_is_gone_breaks_and_one_that_comes_does_not(line: Line) -> None:
    line.register("1.0.0", None)
    line.register("1.1.0", OLD)
    with pytest.raises(registrar.FailedPrecondition, match="the signature is gone"):
        line.register("1.2.0", None)
    assert line.register("2.0.0", None).version == 3
    # The release before has none: compared is the one before that.
    with pytest.raises(registrar.FailedPrecondition, match="region"):
        line.register("1.1.1", BREAKING)


def test_a_deleted_version_binds_nobody_and_keeps_its_number(registry: registrar.Registry, line: Line) -> None:
    line.register("1.0.0")
    registry.delete(f"{line.name}/1")
    assert line.check(signature=BREAKING).suggested_semantic_version == "1.0.1"
    assert line.register("1.0.1", BREAKING).version == 2


def test_a_repetition_is_answered_with_the_same_suggestion(
    registry: registrar.Registry, line: Line, tmp_path: Path
) -> None:
    line.register("1.0.0")
    artifact_id = registry.get(f"{line.name}/1").artifact_id
    first, second = (
        registry.register(line.name, artifact_id=artifact_id, signature=WIDER, request_id=line.name) for _ in range(2)
    )
    assert first == second
    assert advice_of(first).suggested_semantic_version == "1.1.0"


def test_of_many_that_want_the_next_version_at_once_one_gets_it(line: Line) -> None:
    line.register("1.0.0")

    def attempt(_: int) -> str:
        try:
            return str(line.register(line.check().suggested_semantic_version or "?").version)
        except registrar.AlreadyExists as taken:
            return taken.reason

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(attempt, range(4)))
    made = [outcome for outcome in outcomes if outcome.isdigit()]
    assert made
    assert {outcome for outcome in outcomes if not outcome.isdigit()} <= {"SEMANTIC_VERSION_EXISTS"}


def run(server: str, *words: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["--server", server, *words])
    return code, out.getvalue(), err.getvalue()


def test_the_command_line_suggests_beside_what_scripts_read_and_takes_the_suggestion_itself(
    registry: registrar.Registry, line: Line, tmp_path: Path
) -> None:
    target, path = registry.target, str(tmp_path / "model.pkl")
    line.register("1.0.0", None)
    code, out, err = run(target, "push", path, "-n", line.name, "-q")
    assert (code, out) == (0, f"{line.name}/2\n")
    assert err == "suggested semantic version: 1.0.1 (the signature of version 1 serves its callers)\n"
    code, out, err = run(target, "push", path, "-n", line.name, "-q", "--semantic-version", "auto", "--json")
    assert (code, json.loads(out)["semantic_version"]) == (0, "1.0.1")
    artifact_id = registry.get(f"{line.name}/1").artifact_id
    described = ("register", line.name, "--artifact", artifact_id, "--semantic-version", "auto")
    code, out, err = run(target, *described, "--dry-run")
    assert (code, out) == (0, f"{line.name}: nothing speaks against it\n")
    assert "suggested semantic version: 1.0.2" in err
    assert run(target, *described)[1] == f"{line.name}/4\n"
    assert registry.get(f"{line.name}/4").semantic_version == "1.0.2"
    assert run(target, *described, "--request-id", "one")[0] == 2
    line.register("2.0.0", OLD)
    code, _, err = run(target, "register", line.name, "--artifact", artifact_id, "--semantic-version", "2.0.1")
    assert code != 0
    assert "try: give --semantic-version 3.0.0, or keep what callers count on" in err
