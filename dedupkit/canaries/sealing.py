"""Encryption of the private manifest with a passphrase, by the `cryptography` package."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

from dedupkit.errors import UsageError

FORMAT = "dedupkit canaries 1, sealed"
# OWASP's password storage cheat sheet: N = 2**17, r = 8, p = 1, which is 128 MiB and some tenths of a second
_SCRYPT = {"n": 1 << 17, "r": 8, "p": 1}


def sealed(text: bytes, passphrase: str) -> bytes:
    """A JSON envelope around encrypted bytes: AES-256-GCM, the key by scrypt from the passphrase and a fresh salt."""
    salt, nonce = os.urandom(16), os.urandom(12)
    cipher = _cipher(passphrase, salt).encrypt(nonce, text, FORMAT.encode())
    parts = {"salt": salt, "nonce": nonce, "cipher": cipher}
    return json.dumps(
        {"format": FORMAT} | {name: base64.b64encode(part).decode() for name, part in parts.items()}
    ).encode()


def open_sealed(value: Any, passphrase: str | None, name: str) -> Any:
    """The content of an envelope; anything else as it is.

    Raises
    ------
    UsageError
        If the passphrase is missing or wrong, or the file was changed.
    """
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        return value
    if passphrase is None:
        raise UsageError(f"{name} is encrypted; give its passphrase with --passphrase-file or DEDUPKIT_PASSPHRASE")
    salt, nonce, cipher = (base64.b64decode(str(value.get(part, ""))) for part in ("salt", "nonce", "cipher"))
    opener = _cipher(passphrase, salt)
    from cryptography.exceptions import InvalidTag

    try:
        return json.loads(opener.decrypt(nonce, cipher, FORMAT.encode()))
    except InvalidTag:
        raise UsageError(f"{name} does not open with this passphrase; give another, or a copy of the file") from None


def _cipher(passphrase: str, salt: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
    except ImportError as error:
        raise UsageError("an encrypted manifest needs cryptography; pip install 'dedupkit[canaries]'") from error
    if not passphrase:
        raise UsageError("the passphrase is empty; give one of several words")
    return AESGCM(Scrypt(salt=salt, length=32, **_SCRYPT).derive(passphrase.encode()))
