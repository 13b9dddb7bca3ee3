"""The public commitment: a Merkle tree over salted leaves, and proofs that one canary or all were in it.

The tree is that of RFC 6962 (Certificate Transparency): ``SHA-256(00 || leaf)``, ``SHA-256(01 || left || right)``.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from dedupkit.canaries.manifest import Canary
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dedupkit.canaries.manifest import Manifest

FORMAT = "dedupkit canaries proof 1"


def commitment_of(manifest: Manifest) -> str:
    """What may be published before training: 64 hexadecimal digits that fix every canary and tell nothing of them.

    They are SHA-256 over the number of leaves and the root of the tree.  Every leaf begins with 32 random bytes, so
    that nobody can try out canaries.
    """
    leaves = [_leaf(canary) for canary in manifest.canaries]
    return _committed(len(leaves), tree_root(leaves))


def prove(manifest: Manifest, numbers: Iterable[int] | None = None) -> dict[str, Any]:
    """What shows somebody who has the commitment that canaries were fixed when it was published.

    Parameters
    ----------
    manifest : Manifest
        The private manifest.
    numbers : iterable of int, optional
        Which canaries; all, controls too, if left out.

    Returns
    -------
    dict
        To be written as JSON.  It discloses the canaries it names, image and caption, and how many there are in all.

    Raises
    ------
    UsageError
        If there is no canary of a number.
    """
    leaves = [_leaf(canary) for canary in manifest.canaries]
    places = {canary.number: place for place, canary in enumerate(manifest.canaries)}
    wanted = sorted(places) if numbers is None else list(dict.fromkeys(numbers))
    unknown = [number for number in wanted if number not in places]
    if unknown:
        raise UsageError(f"there is no canary {unknown[0]}; `canaries list` shows their numbers")
    shown = [
        {
            "canary": manifest.canaries[places[number]].model_dump(mode="json"),
            "place": places[number],
            "path": [each.hex() for each in tree_path(leaves, places[number])],
        }
        for number in wanted
    ]
    return {"format": FORMAT, "leaves": len(leaves), "root": tree_root(leaves).hex(), "canaries": shown}


def check_proof(proof: Mapping[str, Any], published: str) -> tuple[Canary, ...]:
    """The canaries that a proof shows to stand under a commitment; needs nothing private.

    Parameters
    ----------
    proof : mapping
        What `prove` gave.
    published : str
        The commitment as it was published.

    Raises
    ------
    UsageError
        If the proof is none, names a place twice, belongs to another commitment, or a canary in it was changed.
    """
    try:
        leaves, root = int(proof["leaves"]), bytes.fromhex(proof["root"])
        shown = [
            (Canary.model_validate(each["canary"]), int(each["place"]), list(map(bytes.fromhex, each["path"])))
            for each in proof["canaries"]
        ]
        places = {place for _, place, _ in shown}
        if proof["format"] != FORMAT or not 0 < leaves < 1 << 64 or len(places) < len(shown):
            raise ValueError
        if not all(canary.image for canary, _, _ in shown):
            raise ValueError
    except (KeyError, TypeError, ValueError, OverflowError, ValidationError):
        raise UsageError("this is no proof of canaries; give the file that `canaries prove` wrote") from None
    if _committed(leaves, root) != published.strip().lower():
        raise UsageError("the proof belongs to another commitment; compare it with the one that was published")
    for canary, place, path in shown:
        if root_of_path(_leaf(canary), place, leaves, path) != root:
            raise UsageError(f"canary {canary.number} is not what was committed to; the proof was changed")
    return tuple(canary for canary, _, _ in shown)


def tree_root(leaves: Sequence[bytes]) -> bytes:
    """Root of the Merkle tree over some leaves (RFC 6962, 2.1)."""
    if len(leaves) <= 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest() if leaves else hashlib.sha256().digest()
    split = _split(len(leaves))
    return _node(tree_root(leaves[:split]), tree_root(leaves[split:]))


def tree_path(leaves: Sequence[bytes], place: int) -> list[bytes]:
    """The hashes beside the way from a leaf up to the root (RFC 6962, 2.1.1)."""
    if len(leaves) <= 1:
        return []
    split = _split(len(leaves))
    if place < split:
        return [*tree_path(leaves[:split], place), tree_root(leaves[split:])]
    return [*tree_path(leaves[split:], place - split), tree_root(leaves[:split])]


def root_of_path(leaf: bytes, place: int, leaves: int, path: Sequence[bytes]) -> bytes | None:
    """The root that a leaf and the hashes beside its way lead to; None where there cannot be such a way."""
    if not 0 <= place < leaves:
        return None
    if leaves == 1:
        return None if path else hashlib.sha256(b"\0" + leaf).digest()
    if not path:
        return None
    split, beside = _split(leaves), path[-1]
    if place < split:
        left = root_of_path(leaf, place, split, path[:-1])
        return None if left is None else _node(left, beside)
    right = root_of_path(leaf, place - split, leaves - split, path[:-1])
    return None if right is None else _node(beside, right)


def _leaf(canary: Canary) -> bytes:
    return bytes.fromhex(canary.salt) + canary.canonical()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def _split(leaves: int) -> int:
    """The largest power of two below a number."""
    return 1 << ((leaves - 1).bit_length() - 1)


def _committed(leaves: int, root: bytes) -> str:
    return hashlib.sha256(b"\2" + leaves.to_bytes(8, "big") + root).hexdigest()
