"""Signed heads: what the server writes is what the client, written apart from it, verifies, and what others write."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from registrar.audit.ed25519 import is_signed
from registrar.audit.export import read_head
from registrar.audit.notes import VerifierKey, parse_checkpoint, read_keys, text_of
from registrar.errors import DataLoss, InvalidArgument
from registrar_server.adapters.private_file import write_private
from registrar_server.application.checkpoints import UNSIGNED, Checkpoints
from registrar_server.domain import notes
from registrar_server.signing_keys import SigningKey, SigningKeyError, new_signing_key, read_signing_key

SEEDS = st.binary(min_size=32, max_size=32)

# RFC 8032, 7.1: public key, message, signature.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


def key_of(seed: bytes) -> SigningKey:
    """The key that a seed makes."""
    return SigningKey(Ed25519PrivateKey.from_private_bytes(seed))


KEY = key_of(bytes(range(32)))
CHECKPOINTS = Checkpoints("registry.acme.example", KEY)
VERIFIER = VerifierKey.parse(CHECKPOINTS.verifier_key("acme"))
ROOT = hashlib.sha256(b"root").digest()


@pytest.mark.parametrize("vector", VECTORS, ids=["empty", "one byte", "two bytes"])
def test_the_signatures_of_rfc_8032_hold(vector: tuple[str, str, str]) -> None:
    key, message, signature = map(bytes.fromhex, vector)
    assert is_signed(key, message, signature)
    assert not is_signed(key, message + b"!", signature)
    for place in (0, 31, 32, 63):
        altered = bytearray(signature)
        altered[place] ^= 1
        assert not is_signed(key, message, bytes(altered))


@given(seed=SEEDS, message=st.binary(max_size=200))
def test_what_one_library_signs_the_client_verifies(seed: bytes, message: bytes) -> None:
    key = key_of(seed)
    assert is_signed(key.public_key, message, key.sign(message))
    assert not is_signed(key.public_key, message + b"\0", key.sign(message))


@given(key=st.binary(max_size=40), signature=st.binary(max_size=70))
def test_what_is_no_key_and_no_signature_signs_nothing(key: bytes, signature: bytes) -> None:
    assert not is_signed(key, b"message", signature)


def test_a_signature_has_one_form_only() -> None:
    """Adding the group's order to the scalar gives a signature that a careless verifier takes, too."""
    signature = KEY.sign(b"message")
    order = 2**252 + 27742317777372353535851937790883648493
    scalar = int.from_bytes(signature[32:], "little") + order
    assert not is_signed(KEY.public_key, b"message", signature[:32] + scalar.to_bytes(32, "little"))


def test_a_note_that_another_program_signed_is_read() -> None:
    """The example in the documentation of Go's package sumdb/note, where the form comes from."""
    key = VerifierKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    assert text_of(f"{text}\n— PeterNeumann {signature}\n", [key]) == text


@given(size=st.integers(0, 2**62), root=SEEDS)
def test_a_checkpoint_says_tenant_size_and_root(size: int, root: bytes) -> None:
    note = CHECKPOINTS.of("acme", size, root)
    assert note == CHECKPOINTS.of("acme", size, root)
    head = parse_checkpoint(note, [VERIFIER])
    assert head is not None
    assert (head.tenant, head.tree_size, head.root_hash) == ("acme", size, root.hex())
    assert notes.text_of(note.encode()).decode() == f"registry.acme.example/acme\n{size}\n{b64encode(root).decode()}\n"


def test_another_tenant_s_checkpoint_is_of_another_key() -> None:
    with pytest.raises(DataLoss) as caught:
        parse_checkpoint(CHECKPOINTS.of("globex", 7, ROOT), [VERIFIER])
    assert caught.value.reason == "NOTE_NOT_SIGNED"


@pytest.mark.parametrize("old", ["registry", "7", "acme"])
def test_a_checkpoint_that_was_altered_is_refused(old: str) -> None:
    note = CHECKPOINTS.of("acme", 7, ROOT)
    with pytest.raises(DataLoss):
        parse_checkpoint(note.replace(old, old[:-1] + "9", 1), [VERIFIER])


def test_an_old_key_goes_on_verifying_what_it_signed(tmp_path: Path) -> None:
    renewed = Checkpoints("registry.acme.example", key_of(b"\1" * 32))
    file = tmp_path / "keys"
    file.write_text(f"# until March\n{VERIFIER}\n\n{renewed.verifier_key('acme')}\n")
    keys = read_keys(file)
    assert len({key.id for key in keys}) == 2
    for checkpoints in (CHECKPOINTS, renewed):
        (tmp_path / "head").write_text(checkpoints.of("acme", 3, ROOT))
        assert read_head(tmp_path / "head", keys).tree_size == 3
    # Signed with both, a note says so of either.
    both = CHECKPOINTS.of("acme", 3, ROOT) + renewed.of("acme", 3, ROOT).splitlines()[-1] + "\n"
    assert all(parse_checkpoint(both, [key]) for key in keys)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "registrar/acme",
        str(VERIFIER).replace("+", " ", 1),
        str(VERIFIER)[:-4],
        str(VERIFIER).replace("acme", "acmf", 1),
        "name+00000000+AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ],
    ids=["empty", "name", "space", "short", "renamed", "other kind"],
)
def test_what_is_no_key_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        VerifierKey.parse(text)
    assert caught.value.reason == "VERIFIER_KEY_UNREADABLE"
    (tmp_path / "key").write_text(text)
    for key in (tmp_path / "key", str(tmp_path / "absent")):
        with pytest.raises(InvalidArgument):
            read_keys(key)


@given(st.text(max_size=400))
def test_what_is_no_checkpoint_is_none(text: str) -> None:
    assert parse_checkpoint(text) is None


def test_without_a_key_nothing_is_signed() -> None:
    assert (UNSIGNED.of("acme", 1, ROOT), UNSIGNED.verifier_key("acme")) == ("", "")


class TestKeyFile:
    def test_one_that_the_server_makes_can_be_used(self, tmp_path: Path) -> None:
        path = tmp_path / "key.pem"
        write_private(path, new_signing_key())
        assert path.stat().st_mode & 0o777 == 0o600
        key = read_signing_key(str(path))
        assert is_signed(key.public_key, b"message", key.sign(b"message"))

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
    def test_one_that_others_may_use_is_refused(self, tmp_path: Path, mode: int) -> None:
        path = tmp_path / "key.pem"
        path.write_text(new_signing_key())
        path.chmod(mode)
        with pytest.raises(SigningKeyError, match="chmod 600"):
            read_signing_key(str(path))

    def test_what_is_no_key_is_refused_without_telling_what_it_is(self, tmp_path: Path) -> None:
        rsa = generate_private_key(65537, 2048)
        encrypted = Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        )
        contents = {
            "is not an Ed25519 key": rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            "is encrypted": encrypted,
            "holds no private key": b"hunter2",
        }
        for problem, content in contents.items():
            path = tmp_path / "key.pem"
            write_private(path, content.decode())
            with pytest.raises(SigningKeyError, match=problem) as caught:
                read_signing_key(str(path))
            assert "hunter2" not in str(caught.value)
        with pytest.raises(SigningKeyError, match="cannot be read"):
            read_signing_key(str(tmp_path / "absent"))
