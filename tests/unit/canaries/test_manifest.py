from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import sys
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dedupkit.canaries import sealing
from dedupkit.canaries.manifest import Manifest, read_manifest, write_manifest
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def test_it_is_read_as_it_was_written(manifest: Manifest, tmp_path: Path) -> None:
    write_manifest(manifest, tmp_path / "m.json")
    assert read_manifest(tmp_path / "m.json") == manifest


def test_only_the_owner_may_read_it_from_the_first_byte_on(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []
    open_file = os.fdopen

    def watched(handle: int, mode: str) -> object:
        modes.append(stat.S_IMODE(os.fstat(handle).st_mode))
        return open_file(handle, mode)

    monkeypatch.setattr(os, "fdopen", watched)
    before = os.umask(0)
    try:
        write_manifest(manifest, tmp_path / "m.json")
    finally:
        os.umask(before)
    assert modes == [0o600]
    assert stat.S_IMODE((tmp_path / "m.json").stat().st_mode) == 0o600


def test_a_write_that_fails_leaves_neither_half_a_file_nor_a_secret_beside_it(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left on device"):
        write_manifest(manifest, tmp_path / "m.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("place", "value"), [("secret", "zz" * 32), ("salt", "g" * 64), ("image", "no base64!")])
def test_what_could_not_be_used_later_is_refused_when_it_is_read(
    place: str, value: str, manifest: Manifest, tmp_path: Path
) -> None:
    told = json.loads(manifest.model_dump_json())
    (told if place == "secret" else told["canaries"][0])[place] = value
    (tmp_path / "m.json").write_text(json.dumps(told))
    with pytest.raises(UsageError, match="is no manifest of canaries") as caught:
        read_manifest(tmp_path / "m.json")
    assert value not in str(caught.value)


def test_a_file_that_is_there_is_not_overwritten_unasked(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        write_manifest(manifest, tmp_path / "m.json")
    assert (tmp_path / "m.json").read_text() == "mine"
    write_manifest(manifest, tmp_path / "m.json", replace=True)
    assert read_manifest(tmp_path / "m.json") == manifest


def test_reprs_show_nothing_secret(manifest: Manifest) -> None:
    shown = repr(manifest) + repr(manifest.canaries[0])
    for secret in (manifest.secret, manifest.canaries[0].caption, manifest.canaries[0].salt, "texture"):
        assert str(secret) not in shown


@pytest.mark.parametrize(
    "change", [{"secret": "short"}, {"secret": "z" * 64}, {"canaries": [{"caption": "velvet kettle"}]}, {"extra": 1}]
)
def test_what_is_wrong_with_a_manifest_is_not_quoted(
    manifest: Manifest, tmp_path: Path, change: dict[str, object]
) -> None:
    place = tmp_path / "m.json"
    place.write_text(json.dumps(manifest.model_dump(mode="json") | change))
    place.chmod(0o600)
    with pytest.raises(UsageError) as caught:
        read_manifest(place)
    assert str(caught.value) == f"{place} is no manifest of canaries; name the one that `canaries make` wrote"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("text", ["[" * 200_000, "", "null", "\udcff", '{"format": "dedupkit canaries 1, sealed"}'])
def test_text_that_is_no_manifest_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    place = tmp_path / "m.json"
    place.write_bytes(text.encode("utf-8", "surrogateescape"))
    place.chmod(0o600)
    with pytest.raises(UsageError):
        read_manifest(place)


def test_an_image_that_is_no_base64_makes_no_manifest(manifest: Manifest, tmp_path: Path) -> None:
    content = manifest.model_dump(mode="json")
    content["canaries"][0]["image"] = "A"
    (tmp_path / "m.json").write_text(json.dumps(content))
    (tmp_path / "m.json").chmod(0o600)
    with pytest.raises(UsageError, match="is no manifest"):
        read_manifest(tmp_path / "m.json")


def test_a_manifest_that_others_may_read_is_warned_of(
    manifest: Manifest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_manifest(manifest, tmp_path / "m.json")
    read_manifest(tmp_path / "m.json")
    assert caplog.text == ""
    (tmp_path / "m.json").chmod(0o640)
    read_manifest(tmp_path / "m.json")
    assert f"{tmp_path / 'm.json'} can be read by others; take that away with chmod 600" in caplog.text


def test_a_passphrase_opens_what_it_closed_and_no_other_does(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "_SCRYPT", {"n": 1 << 10, "r": 8, "p": 1})
    place = tmp_path / "m.json"
    write_manifest(manifest, place, passphrase="four plain old words")
    text = place.read_text()
    assert "velvet" not in text
    assert manifest.secret not in text
    assert read_manifest(place, passphrase="four plain old words") == manifest
    with pytest.raises(UsageError, match=r"^m\.json does not open with this passphrase"):
        read_manifest(place, passphrase="four plain old wards")
    with pytest.raises(UsageError, match=r"^m\.json is encrypted; give its passphrase"):
        read_manifest(place)


def test_an_envelope_opens_by_what_its_format_says_with_another_scrypt() -> None:
    envelope = json.loads(sealing.sealed(b'{"a": 1}', "four plain old words"))
    salt, nonce, cipher = (base64.b64decode(envelope[name]) for name in ("salt", "nonce", "cipher"))
    assert (len(salt), len(nonce)) == (16, 12)
    key = hashlib.scrypt(b"four plain old words", salt=salt, n=1 << 17, r=8, p=1, dklen=32, maxmem=1 << 28)
    assert AESGCM(key).decrypt(nonce, cipher, b"dedupkit canaries 1, sealed") == b'{"a": 1}'


def test_an_encrypted_manifest_that_was_changed_does_not_open(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "_SCRYPT", {"n": 1 << 10, "r": 8, "p": 1})
    place = tmp_path / "m.json"
    write_manifest(manifest, place, passphrase="words")
    envelope = json.loads(place.read_text())
    envelope["cipher"] = ("B" if envelope["cipher"][0] == "A" else "A") + envelope["cipher"][1:]
    place.write_text(json.dumps(envelope))
    with pytest.raises(UsageError, match="does not open"):
        read_manifest(place, passphrase="words")


def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(UsageError, match=r"pip install 'dedupkit\[canaries\]'"):
        write_manifest(manifest, tmp_path / "m.json", passphrase="words")
    assert list(tmp_path.iterdir()) == []


def test_keyed_digests_depend_on_the_secret(manifest: Manifest) -> None:
    other = manifest.model_copy(update={"secret": "5b" * 32})
    assert manifest.keyed("places", "00000") != other.keyed("places", "00000")
    assert manifest.keyed("places", "00000") != manifest.keyed("places", "00001")
    assert manifest.keyed("places", "0", "1") != manifest.keyed("places", "01")
    assert manifest.keyed("places", "caf\udce9") != manifest.keyed("places", "caf")  # a file name that is no UTF-8
