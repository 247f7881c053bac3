"""Encryption at rest of what could be sent in our name."""

import base64
import binascii
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.errors import InvariantError

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12  # what GCM is made for; at 2^32 orders per key one draws a new key


class Cipher:
    """AES-256-GCM; each sealed value is bound to the name it was sealed under.

    Args:
        key: 32 bytes in urlsafe base64.

    Raises:
        ValueError: the key is not that.
    """

    def __init__(self, key: str) -> None:
        try:
            raw = base64.urlsafe_b64decode(key)
        except (binascii.Error, ValueError):
            raise ValueError("the storage key is not urlsafe base64") from None
        if len(raw) != KEY_BYTES:
            raise ValueError(f"the storage key has {len(raw)} bytes, not {KEY_BYTES}")
        self._aead = AESGCM(raw)

    def seal(self, payload: bytes, name: str) -> bytes:
        """Return `payload` encrypted; only the same name opens it again."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, payload, name.encode())

    def open(self, sealed: bytes, name: str) -> bytes:
        """Return what was sealed under `name`.

        Raises:
            InvariantError: another key, another name, or changed bytes.
        """
        nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return self._aead.decrypt(nonce, rest, name.encode())
        except (InvalidTag, ValueError):
            raise InvariantError(f"{name}: the stored bytes do not open with this key") from None
