"""The configuration of signed heads and of the audit's exports."""

from __future__ import annotations

from pathlib import Path

import pytest

from registrar_server.config import load_config
from registrar_server.signing_keys import new_signing_key
from tests.unit.test_config import problems


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    path.touch(mode=0o600)
    path.write_text(new_signing_key())
    return path


def test_what_is_configured_is_shown_and_no_key(key: Path) -> None:
    config = load_config(
        {
            "REGISTRAR_AUDIT_SIGNING_KEY_FILE": str(key),
            "REGISTRAR_AUDIT_ORIGIN": "registry.acme.example/eu",
            "REGISTRAR_AUDIT_BUCKET": "acme-audit",
            "REGISTRAR_AUDIT_RETENTION_DAYS": "2555",
        }
    )
    shown = config.shown()
    assert shown["audit_signing_key_file"] == str(key)
    assert (shown["audit_bucket"], shown["audit_retention_days"]) == ("acme-audit", "2555")
    assert key.read_text().splitlines()[1] not in repr(config) + str(shown)


def test_a_key_is_made_where_everything_is_on_one_machine_only(key: Path) -> None:
    assert load_config({}).is_signing_key_made
    assert not load_config({"REGISTRAR_AUDIT_SIGNING_KEY_FILE": str(key)}).is_signing_key_made
    assert not load_config({"REGISTRAR_DATABASE_URL": "postgresql://db.example/registrar"}).is_signing_key_made


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REGISTRAR_AUDIT_ORIGIN", "two words"),
        ("REGISTRAR_AUDIT_ORIGIN", "a+b"),
        ("REGISTRAR_AUDIT_BUCKET", "Not_A_Bucket"),
        ("REGISTRAR_AUDIT_EXPORT_INTERVAL", "-1"),
        ("REGISTRAR_AUDIT_EXPORT_INTERVAL", "86401"),
        ("REGISTRAR_AUDIT_RETENTION_DAYS", "forever"),
        ("REGISTRAR_AUDIT_SIGNING_KEY_FILE", "/nowhere/key.pem"),
    ],
)
def test_what_cannot_be_is_named(name: str, value: str) -> None:
    (problem,) = problems({name: value})
    assert problem.startswith(name)


def test_a_key_that_others_may_read_is_refused(key: Path) -> None:
    key.chmod(0o640)
    (problem,) = problems({"REGISTRAR_AUDIT_SIGNING_KEY_FILE": str(key)})
    assert "chmod 600" in problem


def test_what_is_never_exported_is_not_kept_either() -> None:
    settings = {"REGISTRAR_AUDIT_EXPORT_INTERVAL": "0", "REGISTRAR_AUDIT_RETENTION_DAYS": "30"}
    (problem,) = problems(settings)
    assert problem.startswith("REGISTRAR_AUDIT_RETENTION_DAYS")
