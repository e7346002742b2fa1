"""Sealing of templates and snapshots at rest: AES-256-GCM under keys from a file.

A sealed value is magic, key id (4 bytes), nonce (12 bytes), ciphertext with tag (16 bytes). Magic and key id are
authenticated, and so is a *context*, the place that the value belongs to: it opens nowhere else.
"""

import base64
import binascii
import hashlib
import logging
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from worker.errors import FacelineError, InvalidSettings
from worker.settings import EncryptionSettings

logger = logging.getLogger(__name__)

MAGIC = b"\xc1fl1"
"""No plain value begins so: MessagePack reserves the byte C1, and UTF-8, hence JSON, never has it."""

KEY_BYTES = 32
_ID_BYTES = 4
_NONCE_BYTES = 12
_HEAD_BYTES = len(MAGIC) + _ID_BYTES
_CURE = "make one with 'openssl rand -base64 32'"


class Unsealable(FacelineError):
    """A sealed value that can't be opened here: its key is missing, it was tampered with, or moved elsewhere."""


class KeyMissing(Unsealable):
    """Sealed with a key that isn't configured here."""


class Sealer:
    """Seals with the first key and opens with any; without keys, plain values pass through. Safe for threads."""

    def __init__(self, keys: Sequence[bytes] = ()) -> None:
        self._ciphers: dict[bytes, AESGCM] = {}
        for key in reversed(keys):  # so that of two keys with one id, which chance doesn't make, the first one seals
            self._ciphers[_key_id(key)] = AESGCM(key)
        self._sealing_id = _key_id(keys[0]) if keys else None

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The keys' ids in hexadecimal, the sealing one first; tell keys apart without showing them."""
        ids = sorted(self._ciphers, key=lambda each: each != self._sealing_id)
        return tuple(each.hex() for each in ids)

    def seal(self, data: bytes, context: str) -> bytes:
        """``data`` sealed for ``context``, such as topic and key of the record; unchanged where there is no key.

        Raises ``ValueError`` for plain data that would be taken for sealed ones.
        """
        if self._sealing_id is None:
            if data.startswith(MAGIC):
                raise ValueError("these plain data begin like sealed ones: only JSON and MessagePack can be passed on")
            return data
        head, nonce = MAGIC + self._sealing_id, os.urandom(_NONCE_BYTES)
        return head + nonce + self._ciphers[self._sealing_id].encrypt(nonce, data, head + context.encode())

    def open(self, data: bytes, context: str) -> bytes:
        """What was sealed for ``context``. Plain data are accepted as they are, so that a key can be introduced later.

        Raises ``Unsealable`` (``KeyMissing``); the caller adds the place, since a context may hold a person's id.
        """
        if not data.startswith(MAGIC):
            return data
        key_id = data[len(MAGIC) : _HEAD_BYTES]
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise KeyMissing(
                f"sealed with key {key_id.hex()}, "
                + (f"not one of {', '.join(self.key_ids)}: " if self._ciphers else "and no key is configured: ")
                + "add that key to the file that encryption.key_file names"
            )
        head, nonce = data[:_HEAD_BYTES], data[_HEAD_BYTES : _HEAD_BYTES + _NONCE_BYTES]
        try:
            return cipher.decrypt(nonce, data[_HEAD_BYTES + _NONCE_BYTES :], head + context.encode())
        except (InvalidTag, ValueError):
            raise Unsealable(
                "altered, cut or copied from elsewhere after it was sealed: write it anew, "
                "and find out who may write there"
            ) from None


def open_sealer(settings: EncryptionSettings) -> Sealer:
    """The sealer of the configured key file, or one without keys. Raises ``InvalidSettings``."""
    path = settings.key_file
    return Sealer() if path is None else Sealer(_read_keys(path))


def _read_keys(path: Path) -> list[bytes]:
    try:
        lines = path.read_text("ascii").splitlines()
        readable_by_all = bool(path.stat().st_mode & stat.S_IROTH)
    except OSError as error:
        raise InvalidSettings(
            f"encryption.key_file {path} can't be read ({error.strerror}): mount the secret there, or {_CURE}"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidSettings(
            f"encryption.key_file {path} is not text: expected base64, one key a line: {_CURE}"
        ) from error
    keys = [
        _key(line.strip(), f"encryption.key_file {path}, line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.strip().startswith("#")
    ]
    if not keys:
        raise InvalidSettings(f"encryption.key_file {path} holds no key: {_CURE}")
    if readable_by_all:
        logger.warning("encryption.key_file %s is readable by every user: 'chmod o-r' it", path)
    return keys


def _key(line: str, where: str) -> bytes:
    """The key in a line; the line itself is a secret and is never shown."""
    try:
        key = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidSettings(f"{where}: not base64: {_CURE}") from None
    if len(key) != KEY_BYTES:
        raise InvalidSettings(f"{where}: a key of {len(key)} bytes, expected {KEY_BYTES}: {_CURE}")
    return key


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()[:_ID_BYTES]
