"""docs/company.md and docs/release.md do what they say: every block is run at its person's machine, and what is shown is what comes."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from registrar import oidc
from registrar.credentials_file import CredentialsFile
from tests.end_to_end.test_grpcurl_cookbook import ANYTHING, Block, read_blocks, require_programs
from tests.fixtures.certificates import Authority, tls_settings
from tests.fixtures.oidc import DEVICE_CLIENT, OidcProvider
from tests.fixtures.server import RunningServer, clean_environment, running_server

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE, RELEASE = DOCS / "company.md", DOCS / "release.md"
ADDRESS, SERVER, CI = "registry.example:50051", "on the server", "CI"
ISSUER = "https://login.example/realms/company"
BLOCK_SECONDS = 120

_PERSON = re.compile(r"^\| `(\S+@\S+)` \| `([\w-]+)` \|", re.MULTILINE)
_SETTINGS = re.compile(r"^```ini\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SETTING = re.compile(r"^(\w+)=(.*)$", re.MULTILINE)
_CODE = re.compile(r"the code (\S+)")


@dataclass(frozen=True)
class Company:
    """The page's server, provider and people. All of them work in one directory, each with an environment of its own."""

    server: RunningServer
    settings: Mapping[str, str]
    provider: OidcProvider
    directory: Path

    @property
    def address(self) -> str:
        """As the certificate has it."""
        return f"localhost:{self.server.address.rpartition(':')[2]}"

    def run(self, block: Block) -> str:
        """What a block writes, to either stream. Whoever is shown a code enters it. The first command that fails ends it."""
        machine = machine_of(block)
        state = self._home(machine) / "environment"
        script = f"[ ! -e '{state}' ] || . '{state}'\nset -eu\nexec 2>&1\n{block.commands}\nexport -p > '{state}'\n"
        lines = []
        with subprocess.Popen(
            ["bash", "-c", script.replace(ADDRESS, self.address)],
            cwd=self.directory,
            env=self._environment(machine),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            timer = threading.Timer(BLOCK_SECONDS, process.kill)
            timer.start()
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if code := _CODE.search(line):
                    self.provider.approve_device(code[1], machine)
            timer.cancel()
        output = "".join(lines)
        assert process.wait() == 0, f"failed:\n{block.commands}\n{output}"
        return output

    def assert_shown(self, block: Block, output: str) -> None:
        """Every line that is shown comes, in order, and no other; columns may have other widths."""
        if not block.kind:
            return
        shown = block.expected.replace(ADDRESS, self.address).replace(ISSUER, self.provider.issuer)
        patterns = [re.escape(line).replace(re.escape(ANYTHING), ".*") for line in lines_of(shown)]
        real = lines_of(output)
        wrong = [
            (pattern, line) for pattern, line in zip(patterns, real, strict=False) if not re.fullmatch(pattern, line)
        ]
        assert not wrong, f"{block.commands}\nfirst difference: {wrong[0]}\n{output}"
        assert len(real) == len(patterns), f"{block.commands}\n{output}"

    def log_in(self, person: str) -> None:
        """What `registrar login` leaves, for those whose login the page does not show."""
        found, told = oidc.discover(self.provider.issuer), (DEVICE_CLIENT, ("openid", "offline_access"), "")
        device = oidc.begin(found, *told)
        self.provider.approve_device(device.user_code, person)
        login = oidc.wait(found, *told, device, sleep=lambda _seconds: None)
        file = CredentialsFile(self._home(person) / "registrar" / "credentials.json")
        file.change(self.address, lambda _before: login)

    def _environment(self, machine: str) -> dict[str, str]:
        own = {"XDG_CONFIG_HOME": str(self._home(machine)), "REGISTRAR_CA": str(self.directory / "ca.pem")}
        if machine == SERVER:
            own |= {**self.settings, "REGISTRAR_DATA_DIR": str(self.server.data)}
        environment = clean_environment(**own)
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        return environment

    def _home(self, machine: str) -> Path:
        home = self.directory / f"home-of-{machine.replace(' ', '-')}"
        home.mkdir(exist_ok=True)
        return home


@contextmanager
def running_company(people: Mapping[str, str], provider: OidcProvider, directory: Path) -> Iterator[Company]:
    """A server with the settings that docs/company.md shows, people with a group each, and nobody who may do anything."""
    for person, group in people.items():
        provider.set_account(person, [group], email=person)
    authority = Authority()
    authority.write(directory)
    (shown,) = _SETTINGS.findall(PAGE.read_text(encoding="utf-8"))
    real = {**tls_settings(directory, authority.issue()), "REGISTRAR_OIDC_ISSUER": provider.issuer}
    settings = {**dict(_SETTING.findall(shown)), **real}
    assert len(settings) == len(_SETTING.findall(shown)), "the page shows no setting that the server needs"
    with running_server(directory / "data", settings) as server:
        yield Company(server, settings, provider, directory)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", [PAGE, RELEASE], ids=lambda page: page.stem)
def test_every_command_of_the_page_answers_as_it_says(page: Path, oidc_provider: OidcProvider, tmp_path: Path) -> None:
    require_programs("jq")
    text = page.read_text(encoding="utf-8")
    blocks = read_blocks(_SETTINGS.sub("", text))
    people = dict(_PERSON.findall(text))
    assert {machine_of(block) for block in blocks} == {*people, SERVER, CI}
    shown = {machine_of(block) for block in blocks if "registrar login" in block.commands}
    with running_company(people, oidc_provider, tmp_path) as company:
        for person in people.keys() - shown:
            company.log_in(person)
        for block in blocks:
            output = company.run(block)
            company.assert_shown(block, output)


def machine_of(block: Block) -> str:
    """At whose machine a block is run: its first line, a comment, says so."""
    first = block.commands.partition("\n")[0]
    assert first.startswith("# "), block.commands
    return first.removeprefix("# ")


def lines_of(text: str) -> list[str]:
    """Lines that are not empty, with one space where there are several."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]
