"""Passwords as argon2id hashes and tokens as SHA-256 digests; nothing else ever keeps one."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Final

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from pipeline.errors import InputError

MINIMUM_LENGTH: Final = 12
"""NIST SP 800-63B asks for 8 at least and counts length above rules on characters."""
MAXIMUM_LENGTH: Final = 1024
"""Hashing is slow on purpose: nobody may send megabytes."""

_HASHER: Final = PasswordHash((Argon2Hasher(),))


def hash_password(password: str) -> str:
    """The hash to keep.

    Raises:
        InputError: The password is too short or too long.
    """
    if not MINIMUM_LENGTH <= len(password) <= MAXIMUM_LENGTH:
        raise InputError(f"a password has {MINIMUM_LENGTH} to {MAXIMUM_LENGTH} characters: choose another one")
    return _HASHER.hash(password)


def password_matches(password: str, hashed: str | None) -> bool:
    """Whether `password` is the one behind `hashed`; takes as long where there is no such user (None)."""
    if len(password) > MAXIMUM_LENGTH:
        return False
    matches = _HASHER.verify(password, hashed or _hash_of_nobody())
    return matches and hashed is not None


@cache
def _hash_of_nobody() -> str:
    return _HASHER.hash("nobody has this password")


def digest_of_token(token: str) -> str:
    """As it is kept: what is random and long needs no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()
