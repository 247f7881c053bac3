"""Sealed bytes open with their key and under their name, and not otherwise."""

import base64

import pytest

from domain.errors import InvariantError
from infra.store.sealing import Cipher

KEY = base64.urlsafe_b64encode(b"k" * 32).decode()


def test_sealed_bytes_open_again() -> None:
    cipher = Cipher(KEY)
    assert cipher.open(cipher.seal(b"signed", "0x1"), "0x1") == b"signed"


def test_sealing_twice_never_looks_the_same() -> None:
    cipher = Cipher(KEY)
    assert cipher.seal(b"signed", "0x1") != cipher.seal(b"signed", "0x1")


@pytest.mark.parametrize("position", [0, 11, 12, -1])
def test_changed_bytes_do_not_open(position: int) -> None:
    cipher = Cipher(KEY)
    sealed = bytearray(cipher.seal(b"signed", "0x1"))
    sealed[position] ^= 1
    with pytest.raises(InvariantError):
        cipher.open(bytes(sealed), "0x1")


def test_bytes_do_not_open_under_another_name() -> None:
    cipher = Cipher(KEY)
    with pytest.raises(InvariantError):
        cipher.open(cipher.seal(b"signed", "0x1"), "0x2")


@pytest.mark.parametrize("sealed", [b"", b"short"])
def test_what_was_never_sealed_does_not_open(sealed: bytes) -> None:
    with pytest.raises(InvariantError):
        Cipher(KEY).open(sealed, "0x1")


@pytest.mark.parametrize("key", ["", "short", "!" * 44, base64.b64encode(b"k" * 31).decode()])
def test_a_key_of_another_shape_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="storage key"):
        Cipher(key)
