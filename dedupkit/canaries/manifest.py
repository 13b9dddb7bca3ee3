"""The private manifest: all that knows the canaries; readable by its owner alone, from its first byte on."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from dedupkit.canaries.sealing import open_sealed, sealed
from dedupkit.disk import PARTIAL
from dedupkit.errors import UsageError

_log = logging.getLogger("dedupkit")

FORMAT = "dedupkit canaries 1"
_HEX_32_BYTES = "^[0-9a-f]{64}$"


class Canary(BaseModel):
    """One canary; its repr shows nothing of it.

    Attributes
    ----------
    number : int
        Its number, from 0, in the order of drawing.
    kind : str
        How it was drawn.
    planted : bool
        Whether the coin planted it; else it is a control, which stands nowhere.
    repetitions : int
        How often it stands in the set; of a control, how often it would.
    caption : str or None
        Its caption; None where the set has none.
    format : str
        Pillow's name of its encoding in lower case.
    width, height : int
        Size in pixels as shown.
    hidden_box : tuple of four int or None
        Left, upper, right and lower border of the part that a model would have to fill in; of kind "pair".
    image : str
        The encoded image in base64.
    salt : str
        32 random bytes in hexadecimal, that keep its leaf of the commitment from being guessed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    number: int = Field(ge=0)
    kind: str = Field(repr=False)
    planted: bool = Field(repr=False)
    repetitions: int = Field(ge=1, repr=False)
    caption: str | None = Field(repr=False)
    format: str = Field(repr=False)
    width: int = Field(repr=False)
    height: int = Field(repr=False)
    hidden_box: tuple[int, int, int, int] | None = Field(default=None, repr=False)
    image: str = Field(repr=False)
    salt: str = Field(pattern=_HEX_32_BYTES, repr=False)

    @field_validator("image")
    @classmethod
    def _is_base64(cls, image: str) -> str:
        base64.b64decode(image, validate=True)
        return image

    @property
    def data(self) -> bytes:
        """The encoded image."""
        return base64.b64decode(self.image)

    @property
    def sha256(self) -> bytes:
        """Digest of the encoded image."""
        return hashlib.sha256(self.data).digest()

    def canonical(self) -> bytes:
        """What is committed to: JSON of sorted names, ASCII, the image as its digest, without the salt."""
        facts = self.model_dump(mode="json", exclude={"image", "salt"}) | {"image_sha256": self.sha256.hex()}
        return json.dumps(facts, sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode()


class Manifest(BaseModel):
    """All canaries of a set, and the secret that their places are drawn from.

    Attributes
    ----------
    format : str
        Version of this format.
    secret : str
        32 bytes of the system's entropy in hexadecimal.
    assignment : "exact" or "independent"
        How coins were flipped, see `dedupkit.recipe.Canaries`.
    canaries : tuple of Canary
        Planted ones and controls, in the order of drawing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    format: Literal["dedupkit canaries 1"] = "dedupkit canaries 1"
    secret: str = Field(pattern=_HEX_32_BYTES, repr=False)
    assignment: Literal["exact", "independent"] = "exact"
    canaries: tuple[Canary, ...] = Field(repr=False)

    @property
    def planted(self) -> tuple[Canary, ...]:
        """Those that stand in the set."""
        return tuple(canary for canary in self.canaries if canary.planted)

    @property
    def controls(self) -> tuple[Canary, ...]:
        """Those that were drawn like them and stand nowhere."""
        return tuple(canary for canary in self.canaries if not canary.planted)

    def keyed(self, *parts: str) -> bytes:
        """A digest of some text that nobody without the secret can compute or test."""
        text = "\0".join(parts).encode("utf-8", "surrogatepass")
        return hmac.new(bytes.fromhex(self.secret), text, hashlib.sha256).digest()


def write_manifest(
    manifest: Manifest, path: str | os.PathLike[str], *, passphrase: str | None = None, replace: bool = False
) -> None:
    """Write a manifest that only its owner can read; it appears whole or not at all.

    Parameters
    ----------
    manifest : Manifest
        What to write.
    path : path
        Where.
    passphrase : str, optional
        Encrypt it: AES-256-GCM under a key that scrypt derives; needs ``pip install 'dedupkit[canaries]'``.
    replace : bool
        Replace a file that is there.

    Raises
    ------
    UsageError
        If there is a file already, or the place cannot be written.
    """
    place = Path(path)
    if place.exists() and not replace:
        raise UsageError(f"{place} exists already; a manifest is not overwritten, name another file")
    text = manifest.model_dump_json().encode()
    data = text if passphrase is None else sealed(text, passphrase)
    beside = place.with_name(f".{place.name}.{os.getpid()}{PARTIAL}")
    try:
        beside.unlink(missing_ok=True)  # of a process that was killed and had our number
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(place)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{place} cannot be written: {error.strerror}; name a file in another folder") from error


def read_manifest(path: str | os.PathLike[str], *, passphrase: str | None = None) -> Manifest:
    """Read a manifest; warns where others may read it too.

    Raises
    ------
    UsageError
        If it is not there, is none, or the passphrase is missing or wrong.  The text tells nothing of its content.
    """
    place = Path(path)
    try:
        data = place.read_bytes()
        open_to_others = os.name != "nt" and place.stat().st_mode & 0o077
    except OSError as error:
        raise UsageError(f"{place} cannot be read: {error.strerror}; name the private manifest") from error
    if open_to_others:
        _log.warning("%s can be read by others; take that away with chmod 600", place)
    try:
        value: Any = json.loads(data)
        return Manifest.model_validate(open_sealed(value, passphrase, place.name))
    except (ValidationError, ValueError, RecursionError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{place} is no manifest of canaries; name the one that `canaries make` wrote") from None
