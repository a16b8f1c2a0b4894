"""What docs/security.md shows works: the access file is applied, the settings are taken, the tables are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from registrar_server.adapters.access_file import read_access_file
from registrar_server.adapters.database.engine import SqlDatabase
from registrar_server.application.administration.declaration import Declared, declare
from registrar_server.application.ports.clock import SystemClock
from registrar_server.config import load_config
from registrar_server.domain.access import Access, NamePattern, Right, Target
from registrar_server.domain.values import Stage
from registrar_server.variables import KNOWN_VARIABLES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
ADMINISTRATION = (
    Path(__file__).resolve().parents[2] / "server" / "src" / "registrar_server" / "application" / "administration"
)
CLOCK = SystemClock()

_ROW = re.compile(r"^\| `(REGISTRAR_OIDC_\w+)` \| .* \| `?([^`|]*)`? \|$", re.MULTILINE)
_SETTING = re.compile(r"^(\w+)=(.*)$", re.MULTILINE)
_ACTION = re.compile(r"[a-z_]+\.[a-z]+")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_access_file_of_the_page_gives_what_it_says_and_once_only(database: SqlDatabase, tmp_path: Path) -> None:
    (text,) = blocks("yaml")
    path = tmp_path / "access.yaml"
    path.write_text(text, encoding="utf-8")
    declaration = read_access_file(path)
    parts = (declaration.tenants, declaration.roles, declaration.bindings)
    assert [len(part) for part in parts] == [2, 3, 7]
    assert declare(database, CLOCK, declaration) == Declared(sum(map(len, parts)), ())
    assert declare(database, CLOCK, declaration) == Declared(0, ())

    def access(*members: str) -> Access:
        with database.reading() as transaction:
            return Access(transaction.access.held_by(members, now=CLOCK.now()))

    platform, scientist = access("group:platform"), access("group:acme-scientists")
    assert platform.may_everywhere(Right.ADMINISTER)
    assert not platform.may(Right.READ, "acme", "fraud-scorer")
    assert scientist.may(Right.PROMOTE, "acme", "m", Target(stage=Stage.STAGING))
    assert not scientist.may(Right.PROMOTE, "acme", "m", Target(stage=Stage.PRODUCTION))
    assert scientist.may(Right.MOVE_ALIAS, "acme", "m", Target(alias="canary-eu"))
    assert not scientist.sees("globex")
    assert not access("user:approver@acme.example").may(Right.APPROVE, "acme", "m", Target(approver_role="legal"))
    serving = access("certificate:spiffe://acme.example/serving")
    assert serving.models(Right.READ, "acme") == (NamePattern("fraud-*"),)


@pytest.mark.parametrize("text", blocks("ini"))
def test_the_settings_of_the_page_are_taken(text: str) -> None:
    settings = dict(_SETTING.findall(text))
    config = load_config(settings)
    assert config.is_authentication_required
    assert config.oidc_issuer == settings["REGISTRAR_OIDC_ISSUER"]


def test_the_page_has_every_variable_of_openid_connect_with_its_default() -> None:
    variables = {name: one for name, one in KNOWN_VARIABLES.items() if name.startswith("REGISTRAR_OIDC_")}
    assert dict(_ROW.findall(PAGE)) == {name: one.default or one.otherwise for name, one in variables.items()}


def test_the_page_names_every_action_of_the_audit_that_is_about_access() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in ADMINISTRATION.glob("*.py"))
    recorded = set(re.findall(r'"([a-z_]+\.[a-z]+)"', code))
    table = PAGE.partition("| Action | When |")[2]
    shown = {action for cell in re.findall(r"^\| (`.*`) \|", table, re.MULTILINE) for action in _ACTION.findall(cell)}
    assert recorded == shown
