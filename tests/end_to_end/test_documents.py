"""README.md and docs/python.md are true: their snippets run and print what they say, their table is complete."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from registrar.cli.app import _COMMANDS, _GROUPS, SERVER_COMMANDS
from registrar_server.variables import _CLIENT_VARIABLES, KNOWN_VARIABLES
from tests.end_to_end.test_grpcurl_cookbook import require_programs
from tests.fixtures.server import RunningServer, clean_environment

ROOT = Path(__file__).resolve().parents[2]
ADDRESS, MODEL = "127.0.0.1:50051", "churn-predictor"

_PRINTED = re.compile(r"# → (.*)$", re.MULTILINE)
_ROW = re.compile(r"^\| `(\w+)` \| (.*) \| (.*) \|$", re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)[^)]*\)|^\[\w+\]: (?!https?://)(\S+)$", re.MULTILINE)


@pytest.mark.parametrize("document", ["README.md", "docs/python.md"])
def test_every_python_snippet_prints_what_the_page_says(
    document: str, server: RunningServer, unique_name: str, tmp_path: Path
) -> None:
    program = "\n".join(snippets(document, "python", server, unique_name))
    # README's quickstart pushes a folder that its reader has.
    (tmp_path / "my-model").mkdir()
    (tmp_path / "my-model" / "model.onnx").write_bytes(unique_name.encode())
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    shown = _PRINTED.findall(program)
    printed = done.stdout.splitlines()
    assert len(printed) == len(shown), done.stdout
    for real, expected in zip(printed, shown, strict=True):
        assert re.fullmatch(re.escape(expected).replace("…", ".*"), real), (real, expected)


def test_every_shell_command_of_the_readme_runs(server: RunningServer, unique_name: str, tmp_path: Path) -> None:
    require_programs("grpcurl")
    (tmp_path / "my-model").mkdir()
    (tmp_path / "my-model" / "model.onnx").write_bytes(b"shell " + unique_name.encode())
    commands = [text for text in snippets("README.md", "sh", server, unique_name) if "make " not in text]
    assert commands
    scripts = str(Path(sys.executable).parent)
    environment = clean_environment(REGISTRAR_SERVER=server.address)
    environment["PATH"] = f"{scripts}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-euxc", "\n".join(commands)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr


def test_the_readme_has_every_variable_with_its_default() -> None:
    told = {name: default for name, _, default in _ROW.findall(text_of("README.md"))}
    variables = {name: default for name, default in told.items() if name in KNOWN_VARIABLES}
    assert variables == {
        name: shown_default(variable.default or variable.otherwise) for name, variable in KNOWN_VARIABLES.items()
    }
    assert set(told) - set(KNOWN_VARIABLES) == _CLIENT_VARIABLES


def test_the_readme_names_commands_that_exist() -> None:
    named = set(re.findall(r"^registrar ([a-z-]+)", text_of("README.md"), re.MULTILINE))
    assert named <= {*_COMMANDS, *_GROUPS, *SERVER_COMMANDS}
    assert {"push", "pull", "promote", "rollback", "compare"} <= named


@pytest.mark.parametrize(
    "document", [path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]]
)
def test_every_link_within_the_repository_leads_somewhere(document: str) -> None:
    for groups in _LINK.findall(text_of(document)):
        target = "".join(groups)
        assert (ROOT / document).parent.joinpath(target).exists(), f"{document}: {target}"


def snippets(document: str, language: str, server: RunningServer, model: str) -> list[str]:
    """The snippets of a language, for this server and a model of the test's own."""
    text = text_of(document).replace(ADDRESS, server.address).replace(MODEL, model)
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def shown_default(default: str) -> str:
    """A value stands in code, a description does not."""
    return f"`{default}`" if re.fullmatch(r"[\w.:~/-]+", default) and default not in {"none", "AWS"} else default


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")
