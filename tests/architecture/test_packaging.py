"""What is shipped: the client is light, the locks are complete, and Dockerfile and compose.yaml are true to the code."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(sys.executable).parent

# Measured 2026-11 on Linux: 19 distributions and 35 MB, of which grpcio is 18 (another 15 on a Mac: two architectures).
CLIENT_DISTRIBUTIONS_AT_MOST = 22
CLIENT_BYTES_AT_MOST = 55_000_000


# The client


def test_the_client_brings_few_distributions() -> None:
    distributions = closure("registrar-client")
    assert len(distributions) <= CLIENT_DISTRIBUTIONS_AT_MOST, sorted(distributions)


def test_the_client_is_small_on_disk() -> None:
    sizes = {name: installed_bytes(each) for name, each in closure("registrar-client").items()}
    assert sum(sizes.values()) <= CLIENT_BYTES_AT_MOST, sizes


def test_importing_the_client_imports_nothing_else() -> None:
    assert third_party_modules_after("import registrar") == {"registrar"}


def test_every_name_of_the_sdk_comes_with_grpc_protobuf_and_crc32c_only() -> None:
    loaded = third_party_modules_after("import registrar; [getattr(registrar, name) for name in registrar.__all__]")
    # grpc brings the runtime of Cython, and imports its sister packages where they are installed.
    others = {name for name in loaded if not name.startswith(("grpc", "_cython_", "cython_runtime"))}
    assert others <= {"registrar", "google", "google_crc32c", "typing_extensions"}


def test_both_distributions_carry_the_licence() -> None:
    licence = (ROOT / "LICENSE").read_bytes()
    for distribution in ("clients/python", "server"):
        assert (ROOT / distribution / "LICENSE").read_bytes() == licence


def test_both_distributions_are_marked_as_typed() -> None:
    assert (ROOT / "clients/python/src/registrar/py.typed").exists()
    assert (ROOT / "server/src/registrar_server/py.typed").exists()


# The locks


@pytest.mark.parametrize("name", ["uv", "generate", "serve", "demo", "dev"])
def test_every_requirement_of_a_lock_is_pinned_and_hashed(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    requirements = re.findall(r"^[^#\s](?:.*\\\n)*.*$", text, re.MULTILINE)
    assert requirements
    for requirement in requirements:
        assert re.match(r"[A-Za-z0-9._-]+==\S+ ", requirement), requirement
        assert "--hash=sha256:" in requirement, requirement


def test_a_level_only_adds_to_the_one_before() -> None:
    serve, demo, dev = (pins(name) for name in ("serve", "demo", "dev"))
    assert serve.items() <= demo.items()
    assert demo.items() <= dev.items()


@pytest.mark.parametrize("distribution", ["clients/python", "server"])
def test_the_lock_holds_what_the_distributions_require(distribution: str) -> None:
    locked = pins("serve")
    for line in importlib.metadata.requires(f"registrar-{Path(distribution).name.replace('python', 'client')}") or []:
        requirement = Requirement(line)
        if requirement.name.startswith("registrar-"):
            continue
        assert any(requirement.specifier.contains(version) for version in locked[canonicalize_name(requirement.name)])


# Dockerfile


def test_every_file_that_the_dockerfile_copies_is_in_the_build_context() -> None:
    admitted = {line[1:] for line in lines_of(".dockerignore") if line.startswith("!")}
    copied = {
        source
        for word, *rest in instructions()
        if word == "COPY" and not rest[0].startswith("--from=")
        for source in rest[:-1]
    }
    assert copied == admitted
    assert all((ROOT / source).exists() for source in copied)


def test_no_image_runs_as_root() -> None:
    for stage in ("registrar", "mlflow"):
        users = [rest[0] for word, *rest in stages()[stage] if word == "USER"]
        assert users, stage
        assert users[-1] not in {"0", "root"}


def test_the_last_stage_is_the_registry() -> None:
    assert list(stages())[-1] == "registrar"


def test_the_image_listens_where_it_says_and_is_probed_there() -> None:
    commands = {word: rest for word, *rest in stages()["registrar"]}
    port, _bulk = commands["EXPOSE"]
    serve = json.loads(" ".join(commands["CMD"]))
    assert serve[serve.index("--listen") + 1] == f"0.0.0.0:{port}"
    assert f"REGISTRAR_SERVER=127.0.0.1:{port}" in commands["ENV"]
    assert "--allow-plaintext-network" not in serve


def test_the_commands_of_the_images_exist() -> None:
    commands = {word: rest for word, *rest in stages()["registrar"]}
    assert json.loads(" ".join(commands["ENTRYPOINT"])) == ["registrar"]
    health = commands["HEALTHCHECK"]
    probe = json.loads(" ".join(health[health.index("CMD") + 1 :]))
    for command in (["registrar", *json.loads(" ".join(commands["CMD"]))], probe, ["registrar", *migrate_command()]):
        assert_command_exists(command)


# compose.yaml


def test_the_replicas_are_configured_with_variables_that_the_server_knows() -> None:
    from registrar_server.variables import KNOWN_VARIABLES

    for service in ("registry-1", "registry-2", "migrate"):
        given = compose()["services"][service]["environment"]
        ours = {name for name in given if not name.startswith("AWS_")}
        assert ours <= set(KNOWN_VARIABLES)
        assert {name for name in given if name.startswith("AWS_")} == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def test_the_replicas_start_and_ask_callers_who_they_are() -> None:
    from registrar_server.config import load_config

    for service in ("registry-1", "registry-2"):
        given = compose()["services"][service]["environment"]
        config = load_config(
            {name: re.sub(r"\$\{\w+:[^}]+\}", "text", value) for name, value in given.items()}, listen="0.0.0.0:50051"
        )
        assert config.is_authentication_required


def test_the_replicas_have_the_environment_that_was_asked_for() -> None:
    for service in ("registry-1", "registry-2"):
        environment = compose()["services"][service]["environment"]
        assert environment["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
        assert environment["MLFLOW_ARTIFACT_ROOT"] == "s3://ml-artifacts"
        assert environment["ML_REGISTRY_CACHE_TTL"] == "300"


def test_compose_publishes_on_loopback_only() -> None:
    published = [port for service in compose()["services"].values() for port in service.get("ports", [])]
    assert published
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in published)
    assert len({port.split(":")[1] for port in published}) == len(published)


def test_compose_publishes_the_ports_that_the_images_listen_on() -> None:
    services = compose()["services"]
    for service, stage in (("registry-1", "registrar"), ("registry-2", "registrar"), ("mlflow", "mlflow")):
        (exposed,) = [rest for word, *rest in stages()[stage] if word == "EXPOSE"]
        assert [port.split(":")[2] for port in services[service]["ports"]] == exposed


def test_the_replicas_announce_the_address_that_their_bulk_port_is_published_at() -> None:
    for service in ("registry-1", "registry-2"):
        replica = compose()["services"][service]
        _, port = replica["environment"]["REGISTRAR_BULK_LISTEN"].split(":")
        assert f"{replica['environment']['REGISTRAR_BULK_ENDPOINT']}:{port}" in replica["ports"]


def test_compose_holds_no_secret() -> None:
    for name, service in compose()["services"].items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"KEY|PASSWORD|SECRET|ROOT_USER", variable):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), (name, variable)
            elif "://" in value and "@" in value:
                assert re.search(r"://\w+:\$\{\w+:\?[^}]+\}@", value), (name, variable)


def test_compose_waits_for_services_that_have_a_health_check() -> None:
    services = compose()["services"]
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "test" in services[needed]["healthcheck"], (name, needed)
            else:
                assert how["condition"] == "service_completed_successfully"
                assert services[needed]["restart"] == "no"


def test_mlflows_server_has_the_options_that_compose_gives_it() -> None:
    # Read, not run: `mlflow server --help` takes seconds.
    mlflow = importlib.metadata.distribution("mlflow-skinny")
    sources = [Path(str(mlflow.locate_file(name))) for name in ("mlflow/cli/__init__.py", "mlflow/utils/cli_args.py")]
    offered = {option for source in sources for option in options_in(source.read_text(encoding="utf-8"))}
    assert {option.partition("=")[0] for option in compose()["services"]["mlflow"]["command"]} <= offered


# Helpers of these tests


def closure(root: str) -> dict[str, importlib.metadata.Distribution]:
    """A distribution and all that it brings here, without extras."""
    found: dict[str, importlib.metadata.Distribution] = {}
    names = [root]
    while names:
        name = canonicalize_name(names.pop())
        if name in found:
            continue
        found[name] = importlib.metadata.distribution(name)
        requirements = [Requirement(line) for line in found[name].requires or []]
        names += [each.name for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found


def installed_bytes(distribution: importlib.metadata.Distribution) -> int:
    return sum(file.size or 0 for file in distribution.files or [])


def third_party_modules_after(code: str) -> set[str]:
    """Top-level modules outside the standard library that a fresh interpreter has then and had not before."""
    program = (
        "import sys; before = set(sys.modules)\n"
        f"{code}\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def pins(lock: str) -> dict[str, frozenset[str]]:
    """Versions by name; more than one where they differ by platform."""
    versions: dict[str, set[str]] = {}
    for line in lines_of(f"requirements/{lock}.txt"):
        if found := re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line):
            versions.setdefault(canonicalize_name(found[1]), set()).add(found[2])
    return {name: frozenset(each) for name, each in versions.items()}


def lines_of(name: str) -> list[str]:
    return (ROOT / name).read_text(encoding="utf-8").splitlines()


@functools.cache
def compose() -> Any:
    return yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))


def migrate_command() -> list[str]:
    command: list[str] = compose()["services"]["migrate"]["command"]
    return command


def instructions() -> list[list[str]]:
    """The Dockerfile's instructions as words; those of the exec form keep their JSON in words."""
    text = re.sub(r"\\\n", " ", "\n".join(line for line in lines_of("Dockerfile") if not line.startswith("#")))
    return [line.split() for line in text.splitlines() if line.strip()]


def stages() -> dict[str, list[list[str]]]:
    named: dict[str, list[list[str]]] = {}
    for instruction in instructions():
        if instruction[0] == "FROM":
            named[instruction[-1]] = []
        else:
            named[list(named)[-1]].append(instruction)
    return named


def assert_command_exists(command: list[str]) -> None:
    """Each option of `registrar [option value]… command [option value]…` is one that its --help lists."""
    program, *arguments = command
    known = options_of([program])
    before: list[str] = []
    while arguments and arguments[0].startswith("-"):
        assert arguments[0] in known, shlex.join(command)
        before, arguments = [*before, *arguments[:2]], arguments[2:]
    known = options_of([program, arguments[0]])
    assert {argument for argument in arguments[1:] if argument.startswith("--")} <= known, shlex.join(command)


@functools.cache
def _help(command: str) -> str:
    program, *arguments = shlex.split(command)
    # Wide and plain: nothing is cut or coloured.
    environment = {**os.environ, "COLUMNS": "250", "TERM": "dumb", "NO_COLOR": "1"}
    environment = {name: value for name, value in environment.items() if name not in {"FORCE_COLOR", "GITHUB_ACTIONS"}}
    result = subprocess.run(
        [str(SCRIPTS / program), *arguments, "--help"], capture_output=True, text=True, env=environment, check=True
    )
    return result.stdout


def options_of(command: list[str]) -> set[str]:
    return options_in(_help(shlex.join(command)))


def options_in(text: str) -> set[str]:
    return set(re.findall(r"--[a-z][a-z-]*", text))
