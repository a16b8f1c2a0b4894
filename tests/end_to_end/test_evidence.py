"""Evidence over the wire: the same bytes for the same tree, and nothing in it that can be altered unseen."""

from __future__ import annotations

import io
import json
import re
import secrets
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import registrar
from registrar.audit.export import read_head
from registrar.audit.notes import VerifierKey, read_keys
from registrar.cli.exits import ExitCode
from registrar.evidence import EvidenceVerdict, verify
from registrar.values import Stage
from registrar_server.application.evidence.archive import END, Index, digest, member, pretty
from registrar_server.domain.notes import signed_note, verifier_key
from registrar_server.signing_keys import read_signing_key
from tests.fixtures.guarded import GuardedServer
from tests.fixtures.server import RunningServer, clean_environment


def run(address: str, *arguments: str | Path, token: str = "") -> subprocess.CompletedProcess[str]:
    """The command line, as its users start it."""
    environment = clean_environment(REGISTRAR_SERVER=address, **({"REGISTRAR_TOKEN": token} if token else {}))
    command = [str(Path(sys.executable).parent / "registrar"), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


class Release:
    """A version that was judged, approved and promoted, and the evidence about it."""

    def __init__(self, registry: registrar.Registry, server: RunningServer, folder: Path) -> None:
        self.name = f"evident-{secrets.token_hex(4)}"
        self.policy = f"gate-{secrets.token_hex(4)}"
        self.folder = folder
        self.signer = read_signing_key(str(server.data / "audit-signing-key.pem"))
        first = registry.push(files(folder / "first"), name=self.name, metrics={"f1": 0.81}, progress=False)
        registry.promote(first, to=Stage.STAGING)
        registry.promote(first, to=Stage.PRODUCTION)
        registry.set_alias(self.name, "champion", first.version)
        self.size_before = registry.audit_head().tree_size
        self.version = registry.push(files(folder / "model"), name=self.name, metrics={"f1": 0.91}, progress=False)
        self.write_policy(registry)
        sheet = registrar.Documentation(datasheet_uri="https://acme.example/sheet")
        registry.update(self.version, description="Trained on the spring data.", documentation=sheet)
        comment = registry.comment(self.version, "Looks better than the last one.")
        registry.comment(self.version, "Indeed.", reply_to=comment.id)
        registry.update_card(self.version, registrar.ModelCard(summary="Who churns in 2026."), comment="as asked")
        registry.report_check(self.version, "pickle-scan", outcome=registrar.CheckOutcome.PASSED, summary="clean")
        registry.promote(self.version, to=Stage.STAGING, comment="to be tried")
        asked = registry.request_approval(self.version, to=Stage.PRODUCTION, comment="RISK-17")
        registry.approve(self.name, asked.approval.id, role="risk", notes="within appetite")
        registry.promote(self.version, to=Stage.PRODUCTION, comment="holds")
        registry.set_alias(self.name, "champion", self.version.version, comment="takes over")
        self.kept = registry.audit_head()
        self.keys = [VerifierKey.parse(registry.audit_key())]
        self.file = folder / "evidence.tar"
        written = registry.export_evidence(self.version, self.file, tree_size=self.kept.tree_size)
        assert (written.tree_size, written.size_bytes) == (self.kept.tree_size, self.file.stat().st_size)

    def write_policy(self, registry: registrar.Registry) -> None:
        """What its promotion has to meet."""
        registry.create_policy(
            self.policy,
            scope=registrar.PolicyScope(model_patterns=[self.name], target_stages=[Stage.PRODUCTION]),
            rules=registrar.PolicyRules(
                approval=registrar.ApprovalRule([registrar.ApproverRequirement("risk")]),
                metric_gates=[registrar.MetricGate("f1", min=0.5)],
            ),
        )

    def members(self) -> dict[str, bytes]:
        """What is in the archive."""
        with tarfile.open(self.file) as archive:
            return {one.name: (archive.extractfile(one) or io.BytesIO()).read() for one in archive}

    def with_members(self, members: Mapping[str, bytes]) -> Path:
        """An archive like the first, of these."""
        with tarfile.open(self.file) as archive:
            seconds = int(archive.getmembers()[0].mtime)
        path = self.folder / f"{secrets.token_hex(4)}.tar"
        path.write_bytes(b"".join(member(name, content, seconds) for name, content in members.items()) + END)
        return path


def files(folder: Path) -> Path:
    """A bundle that is like no other."""
    folder.mkdir()
    (folder / "model.pkl").write_bytes(secrets.token_bytes(32))
    (folder / "requirements.txt").write_text("scikit-learn\n")
    return folder


def listed_anew(members: Mapping[str, bytes]) -> dict[str, bytes]:
    """The members with an index that fits them."""
    about = json.loads(members["index.json"])
    index = Index()
    for name, content in members.items():
        if name not in ("index.json", "index.note"):
            index.add(name, content)
    return {**members, "index.json": index.content({k: v for k, v in about.items() if k != "members"})}


def signed_anew(release: Release, members: Mapping[str, bytes]) -> dict[str, bytes]:
    """The members with an index that fits them, signed by somebody who has the registry's own key."""
    listed = listed_anew(members)
    text = f"registrar/default\nevidence\n{digest(listed['index.json'])}\n"
    note = signed_note(text, "registrar/default", release.signer.public_key, release.signer.sign(text.encode()))
    return {**listed, "index.note": note.encode()}


@pytest.fixture(scope="module")
def release(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """A release with something of everything."""
    with server.connect() as registry:
        return Release(registry, server, tmp_path_factory.mktemp("release"))


def test_it_holds_as_it_was_given(release: Release) -> None:
    verdict = verify(release.file, keys=release.keys)
    assert verdict.problems == ()
    assert verdict.is_valid
    assert (verdict.model, verdict.version, verdict.is_signature_checked) == (release.name, 2, True)
    assert verdict.head.tree_size == release.kept.tree_size
    names = release.members().keys()
    assert {"version.json", "manifest.txt", "card.json", "card.md", "audit/head", "index.note"} <= names
    assert f"policies/default/{release.policy}.json" in names
    assert json.loads(release.members()["notes.json"])["datasheet_uri"] == "https://acme.example/sheet"


def test_the_same_tree_is_the_same_archive_whatever_happened_since(
    release: Release, registry: registrar.Registry, tmp_path: Path
) -> None:
    version = release.version
    registry.update(version, description="Else.", tags={"later": "yes"}, documentation=registrar.Documentation())
    registry.comment(version, "Said later.")
    registry.report_check(version, "pickle-scan", outcome=registrar.CheckOutcome.FAILED, summary="found later")
    registry.update_policy(release.policy, rules=registrar.PolicyRules(required_files=["*"]))
    registry.rollback(release.name, comment="after all")
    registry.set_alias(release.name, "champion", 1)
    registry.set_alias(release.name, "other", 2)
    again = registry.export_evidence(version, tmp_path / "again.tar", tree_size=release.kept.tree_size)
    assert again.path.read_bytes() == release.file.read_bytes()
    now = registry.export_evidence(version, tmp_path / "now.tar")
    assert now.tree_size > again.tree_size
    assert verify(now.path, keys=release.keys).problems == ()
    assert verify(now.path, kept=release.kept).problems == (
        f"the head that was kept is of {release.kept.tree_size} entries: export with that as the tree's size",
    )


def test_an_alias_means_what_it_named_at_the_tree_s_end(
    release: Release, registry: registrar.Registry, tmp_path: Path
) -> None:
    for size, number in ((release.size_before, 1), (release.kept.tree_size, 2)):
        for ref in (f"{release.name}@champion", f"{release.name}:production"):
            found = registry.export_evidence(ref, tmp_path / "evidence.tar", tree_size=size)
            verdict = verify(found.path, keys=release.keys)
            assert (verdict.version, verdict.problems) == (number, ())


def test_any_member_that_was_altered_is_named(release: Release) -> None:
    members = release.members()
    for name in members:
        content = members[name]
        altered = {**members, name: bytes([content[0] ^ 1]) + content[1:]}
        verdict = verify(release.with_members(altered), keys=release.keys)
        assert not verdict.is_valid
        assert name in str(verdict.problems)


def test_who_makes_the_index_fit_needs_the_key(release: Release) -> None:
    members = release.members()
    members["comments.json"] = b"[]\n"
    verdict = verify(release.with_members(listed_anew(members)), keys=release.keys)
    assert "index.json is not the one that was signed" in verdict.problems
    del members["index.note"]
    verdict = verify(release.with_members(listed_anew(members)), keys=release.keys)
    assert verdict.problems == ("index.note is missing",)


def test_another_key_does_not_do_and_none_is_said(release: Release) -> None:
    public = bytes(range(32))
    other = VerifierKey.parse(verifier_key("registrar/default", public))
    assert problems(verify(release.file, keys=[other])).startswith("audit/head: ")
    assert verify(release.file, keys=[other, *release.keys]).is_valid
    unchecked = verify(release.file)
    assert (unchecked.is_valid, unchecked.is_signature_checked) == (True, False)
    assert "NOT CHECKED" in str(unchecked)


@pytest.mark.parametrize(
    ("name", "alter"),
    [
        ("transitions.json", lambda found: found[0].update(actor="user:mallory")),
        ("transitions.json", lambda found: found.pop()),
        ("transitions.json", lambda found: found[-1].update(time="2020-01-01T00:00:00.000000Z")),
        ("alias_moves.json", lambda found: found.clear()),
        ("approvals.json", lambda found: found[0]["decisions"][0].update(approver="user:mallory")),
        ("approvals.json", lambda found: found.clear()),
        ("approvals.json", lambda found: found[0].update(used_sequence=0)),
        ("comments.json", lambda found: found[1].update(text="Not at all.")),
        ("checks.json", lambda found: found[0].update(outcome="failed")),
        ("notes.json", lambda found: found.update(description="Nobody wrote this.")),
        ("version.json", lambda found: found["facts"]["metrics"].update(f1=0.99)),
        ("version.json", lambda found: found.update(stage="archived")),
        ("version.json", lambda found: found.update(aliases=["champion", "other"])),
        ("version.json", lambda found: found["artifact"].update(manifest_digest="sha256:" + "0" * 64)),
        ("version.json", lambda found: found.update(is_deleted=True)),
    ],
    ids=[
        "mover",
        "move-gone",
        "moment",
        "alias-moves-gone",
        "approver",
        "approvals-gone",
        "unused",
        "comment",
        "check",
        "notes",
        "metric",
        "stage",
        "alias",
        "manifest",
        "deleted",
    ],
)
def test_what_the_entries_do_not_say_is_found_even_if_it_is_signed(
    release: Release, name: str, alter: Callable[[Any], None]
) -> None:
    members = release.members()
    document = json.loads(members[name])
    alter(document)
    members[name] = pretty(document)
    found = problems(verify(release.with_members(signed_anew(release, members)), keys=release.keys))
    assert name in found


@pytest.mark.parametrize("name", ["manifest.txt", "card.json", "policies"])
def test_what_digests_stand_for_is_found_even_if_it_is_signed(release: Release, name: str) -> None:
    members = release.members()
    (name,) = [one for one in members if one.startswith(name)]
    without = {key: content for key, content in members.items() if key != name}
    for altered in ({**members, name: members[name].replace(b"0", b"1")}, without):
        found = problems(verify(release.with_members(signed_anew(release, altered)), keys=release.keys))
        assert name.partition("/")[0] in found


def test_entries_that_are_not_in_the_tree_are_found_even_if_they_are_signed(release: Release) -> None:
    members = release.members()
    entries, proofs = "audit/entries-000001.jsonl", "audit/proofs-000001.jsonl"
    lines, hashes = members[entries].splitlines(keepends=True), members[proofs].splitlines(keepends=True)
    for altered in (
        {entries: members[entries].replace(b"RISK-17", b"RISK-18")},
        {entries: b"".join(lines[:-1]), proofs: b"".join(hashes[:-1])},
        {entries: b"".join([lines[1], lines[0], *lines[2:]]), proofs: b"".join([hashes[1], hashes[0], *hashes[2:]])},
        {proofs: b"".join(hashes[:-1])},
        {proofs: b"".join([*hashes, hashes[-1]])},
        {entries: members[entries] + b"{}\n"},
    ):
        made = signed_anew(release, {**members, **altered})
        assert not verify(release.with_members(made), keys=release.keys).is_valid


@pytest.mark.parametrize(
    "alter",
    [
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: content[:700],
        lambda content: b"",
        lambda content: content[:100] + b"0000777\0" + content[108:],
        lambda content: content[:-1024] + content,
    ],
    ids=["cut", "longer", "short", "empty", "header", "twice"],
)
def test_an_archive_that_is_not_whole_is_refused(
    release: Release, tmp_path: Path, alter: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "evidence.tar"
    path.write_bytes(alter(release.file.read_bytes()))
    assert not verify(path, keys=release.keys).is_valid


def test_a_version_that_was_not_there_yet_and_a_tree_that_is_not_there_are_told(
    release: Release, registry: registrar.Registry, tmp_path: Path
) -> None:
    wanted: list[tuple[str, int, str]] = [
        (f"{release.name}/2", release.size_before, "VERSION_NOT_FOUND"),
        (f"{release.name}/7", 0, "VERSION_NOT_FOUND"),
        (f"{release.name}/2", 10**9, "AUDIT_ENTRY_NOT_FOUND"),
        (f"{release.name}-not/2", 0, "MODEL_NOT_FOUND"),
        (f"{release.name}@nobody", 0, "ALIAS_NOT_FOUND"),
    ]
    for ref, size, reason in wanted:
        with pytest.raises(registrar.NotFound) as caught:
            registry.export_evidence(ref, tmp_path / "evidence.tar", tree_size=size)
        assert caught.value.reason == reason
    with pytest.raises(registrar.InvalidArgument):
        registry.export_evidence(f"{release.name}/2", tmp_path / "evidence.tar", tree_size=-1)
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_says_by_its_exit_code_whether_it_holds(
    release: Release, server: RunningServer, tmp_path: Path
) -> None:
    file, head, key = tmp_path / "evidence.tar", tmp_path / "head", tmp_path / "key"
    assert run(server.address, "audit", "head", "--output", head).returncode == 0
    shown = run(server.address, "audit", "key")
    key.write_text(f"# of the registry\n{shown.stdout}")
    size = read_head(head, read_keys(key)).tree_size
    made = run(server.address, "evidence", "export", f"{release.name}/2", "-o", file, "--tree-size", str(size))
    assert made.returncode == 0, made.stderr
    done = run("127.0.0.1:1", "evidence", "verify", file, "--key", key, "--head", head)
    assert (done.returncode, done.stderr) == (0, "")
    assert "holds" in done.stdout
    content = bytearray(file.read_bytes())
    content[content.index(b"RISK-17")] ^= 1
    file.write_bytes(content)
    done = run("127.0.0.1:1", "evidence", "verify", file, "--key", shown.stdout.strip(), "--json")
    assert done.returncode == ExitCode.DATA_LOSS
    assert json.loads(done.stdout)["is_valid"] is False
    assert "EVIDENCE_ALTERED" in done.stderr


def test_who_may_read_the_audit_may_export(guarded: GuardedServer, tmp_path: Path) -> None:
    name = f"guarded-{secrets.token_hex(4)}"
    with guarded.connect(guarded.secret("acme", "administrator")) as registry:
        registry.push(files(tmp_path / "model"), name=name, progress=False)
    with guarded.connect(guarded.secret("acme", "auditor")) as registry:
        written = registry.export_evidence(f"{name}/1", tmp_path / "evidence.tar")
        assert verify(written.path, keys=[VerifierKey.parse(registry.audit_key())]).is_valid
    for role in ("reader", "release-engineer"):
        with guarded.connect(guarded.secret("acme", role)) as registry, pytest.raises(registrar.PermissionDenied):
            registry.export_evidence(f"{name}/1", tmp_path / "other.tar")
    assert not (tmp_path / "other.tar").exists()


def test_the_page_does_what_it_says(release: Release, server: RunningServer, tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "evidence.md").read_text(encoding="utf-8")
    commands = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    environment = clean_environment(REGISTRAR_SERVER=server.address)
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    script = "\n".join(commands).replace("churn-predictor", release.name)
    done = subprocess.run(
        ["bash", "-euxc", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" holds: ") == 2


def problems(verdict: EvidenceVerdict) -> str:
    """What is wrong with an archive."""
    assert not verdict.is_valid
    return "; ".join(verdict.problems)
