"""Sealing: what is sealed opens with its key, in its place, unaltered, and in no other way."""

import base64
import logging
import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import InvalidSettings
from worker.sealing import MAGIC, Sealer, Unsealable, open_sealer
from worker.settings import EncryptionSettings

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
HERE = "identity.gallery/ann"


def key_file(folder: Path, *lines: str) -> EncryptionSettings:
    """Settings that name a file with these lines."""
    path = folder / "keys"
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return EncryptionSettings(key_file=path)


def text(key: bytes) -> str:
    """A key as it stands in the file."""
    return base64.b64encode(key).decode()


@given(st.binary(), st.text())
def test_opens_what_it_sealed(data: bytes, context: str) -> None:
    """Any bytes, any place."""
    sealer = Sealer([KEY])
    sealed = sealer.seal(data, context)
    assert sealed.startswith(MAGIC) and sealer.open(sealed, context) == data


@given(st.binary(min_size=1, max_size=64), st.data())
def test_no_bit_can_be_changed(data: bytes, choose: st.DataObject) -> None:
    """Key id, nonce, ciphertext or tag: one flipped bit and it opens no more."""
    sealer = Sealer([KEY])
    sealed = bytearray(sealer.seal(data, HERE))
    bit = choose.draw(st.integers(8 * len(MAGIC), 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Unsealable):
        sealer.open(bytes(sealed), HERE)


def test_no_cut_opens() -> None:
    """However little of it is left, as long as it is seen to be sealed."""
    sealer = Sealer([KEY])
    sealed = sealer.seal(b"template", HERE)
    for length in range(len(MAGIC), len(sealed)):
        with pytest.raises(Unsealable):
            sealer.open(sealed[:length], HERE)


def test_bound_to_its_place() -> None:
    """A record moved under another key is refused, and the message says what to look for."""
    sealer = Sealer([KEY])
    with pytest.raises(Unsealable, match="^altered, cut or copied"):
        sealer.open(sealer.seal(b"template", HERE), "identity.gallery/bob")


def test_never_twice_the_same() -> None:
    """The nonce is random: equal templates aren't seen to be equal."""
    sealer = Sealer([KEY])
    assert len({sealer.seal(b"template", HERE) for _ in range(100)}) == 100


def test_nothing_shows() -> None:
    """Not a word of the plain value is in the sealed one."""
    assert b"template" not in Sealer([KEY]).seal(b"template of ann", HERE)


def test_rotation() -> None:
    """The first key seals, all open; once the old one is gone, what it sealed is closed."""
    old, both, new = Sealer([KEY]), Sealer([OTHER, KEY]), Sealer([OTHER])
    before, after = old.seal(b"before", HERE), both.seal(b"after", HERE)
    assert both.open(before, HERE) == b"before"
    assert new.open(after, HERE) == both.open(after, HERE) == b"after"
    assert both.key_ids == (*new.key_ids, *old.key_ids)
    with pytest.raises(
        Unsealable, match=f"sealed with key {old.key_ids[0]}, not one of {new.key_ids[0]}: add that key"
    ):
        new.open(before, HERE)


def test_without_a_key() -> None:
    """Plain values pass through; sealed ones say which key is missing."""
    sealer = open_sealer(EncryptionSettings())
    assert sealer.seal(b"{}", HERE) == sealer.open(b"{}", HERE) == b"{}"
    with pytest.raises(Unsealable, match=f"key {Sealer([KEY]).key_ids[0]}, and no key is configured"):
        sealer.open(Sealer([KEY]).seal(b"{}", HERE), HERE)


def test_a_key_can_be_introduced() -> None:
    """What was written before there was a key is still read."""
    assert Sealer([KEY]).open(b"{}", HERE) == b"{}"


@given(st.recursive(st.none() | st.integers(-(2**63), 2**64 - 1) | st.binary(), lambda x: st.lists(x)))
def test_plain_values_are_never_taken_for_sealed(value: object) -> None:
    """No MessagePack begins with the magic, and no UTF-8 does."""
    assert not msgspec.msgpack.encode(value).startswith(MAGIC[:1])
    with pytest.raises(UnicodeDecodeError):
        MAGIC.decode()


def test_plain_data_that_look_sealed_are_refused() -> None:
    """They could never be read again."""
    with pytest.raises(ValueError, match="begin like sealed"):
        Sealer().seal(MAGIC + b"x", HERE)


def test_key_file(tmp_path: Path) -> None:
    """Blank lines and comments are allowed, the order counts."""
    sealer = open_sealer(key_file(tmp_path, "# of 2026", "", text(OTHER), f"  {text(KEY)}  "))
    assert sealer.key_ids == Sealer([OTHER, KEY]).key_ids
    assert Sealer([OTHER]).open(sealer.seal(b"x", HERE), HERE) == b"x"


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        ((text(KEY), "not base64!"), "line 2: not base64"),
        ((text(KEY[:16]),), "line 1: a key of 16 bytes, expected 32"),
        (("# nothing",), "holds no key"),
        (("clé",), "is not text"),
    ],
)
def test_a_wrong_key_file_names_the_cure(tmp_path: Path, lines: tuple[str, ...], wrong: str) -> None:
    """What is wrong and how to make a key, but never a key."""
    with pytest.raises(InvalidSettings, match=wrong) as raised:
        open_sealer(key_file(tmp_path, *lines))
    assert "openssl rand -base64 32" in str(raised.value)
    assert not any(line in str(raised.value) for line in lines if len(line) > 20)


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    """And what to do."""
    with pytest.raises(InvalidSettings, match="gone can't be read .*: mount the secret there, or make one"):
        open_sealer(EncryptionSettings(key_file=tmp_path / "gone"))


def test_a_key_for_everybody_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It still works: Kubernetes mounts secrets so by default."""
    settings = key_file(tmp_path, text(KEY))
    assert settings.key_file is not None
    with caplog.at_level(logging.WARNING):
        open_sealer(settings)
        assert caplog.messages == []
        settings.key_file.chmod(0o644)
        open_sealer(settings)
    assert [m for m in caplog.messages if "readable by every user" in m and text(KEY) not in m]


def test_random_keys_have_their_own_ids() -> None:
    """The id is made of the key alone."""
    key = os.urandom(32)
    assert Sealer([key]).key_ids == Sealer([key, key]).key_ids != Sealer([KEY]).key_ids
