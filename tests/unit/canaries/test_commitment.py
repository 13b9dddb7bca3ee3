from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from dedupkit.canaries.commitment import check_proof, commitment_of, prove, root_of_path, tree_path, tree_root
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from dedupkit.canaries.manifest import Manifest

# The leaves and roots of Certificate Transparency's own tests (google/certificate-transparency, merkle_tree_test.cc)
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("count", range(1, 9))
def test_roots_are_those_of_rfc_6962(count: int) -> None:
    assert tree_root(LEAVES[:count]).hex() == ROOTS[count - 1]


def test_the_root_of_no_leaves_is_the_digest_of_nothing() -> None:
    assert tree_root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # RFC 6962, 2.1


@pytest.mark.parametrize("count", range(1, 9))
def test_every_path_leads_to_the_root_and_no_other_leaf_or_place_does(count: int) -> None:
    leaves = LEAVES[:count]
    for place, leaf in enumerate(leaves):
        path = tree_path(leaves, place)
        assert root_of_path(leaf, place, count, path) == tree_root(leaves)
        assert root_of_path(leaf + b"x", place, count, path) != tree_root(leaves)
        assert root_of_path(leaf, place, count, [*path, bytes(32)]) != tree_root(leaves)
        assert count == 1 or root_of_path(leaf, (place + 1) % count, count, path) != tree_root(leaves)


def test_a_proof_of_one_discloses_no_other(manifest: Manifest) -> None:
    text = json.dumps(prove(manifest, [3]))
    others = [canary for canary in manifest.canaries if canary.number != 3]
    assert all(str(canary.caption) not in text and canary.salt not in text for canary in others)
    assert all(canary.sha256.hex() not in text for canary in others)
    assert manifest.secret not in text
    assert [canary.number for canary in check_proof(json.loads(text), commitment_of(manifest))] == [3]


def test_a_proof_is_the_same_after_it_was_written_and_read(manifest: Manifest) -> None:
    boxed = manifest.canaries[0].model_copy(update={"hidden_box": (8, 8, 24, 24)})
    proof = prove(manifest.model_copy(update={"canaries": (boxed, *manifest.canaries[1:])}))
    assert json.loads(json.dumps(proof)) == proof
    assert proof["canaries"][0]["canary"]["hidden_box"] == [8, 8, 24, 24]


def test_one_canary_alone_can_be_proved_too(manifest: Manifest) -> None:
    one = manifest.model_copy(update={"canaries": manifest.canaries[:1]})
    assert check_proof(prove(one), commitment_of(one)) == one.canaries


def test_a_proof_of_all_shows_planted_ones_and_controls(manifest: Manifest) -> None:
    shown = check_proof(json.loads(json.dumps(prove(manifest))), commitment_of(manifest).upper() + "\n")
    assert shown == manifest.canaries


@pytest.mark.parametrize(
    ("name", "value"),
    [("caption", "another"), ("planted", False), ("repetitions", 7), ("salt", "00" * 32), ("image", "AAAA")],
)
def test_a_changed_canary_is_found_out(manifest: Manifest, name: str, value: Any) -> None:
    proof = json.loads(json.dumps(prove(manifest, [1, 2])))
    proof["canaries"][1]["canary"][name] = value
    with pytest.raises(UsageError, match="canary 2 is not what was committed to"):
        check_proof(proof, commitment_of(manifest))


def test_a_proof_under_another_commitment_is_refused(manifest: Manifest) -> None:
    other = manifest.model_copy(update={"canaries": manifest.canaries[:-1]})
    with pytest.raises(UsageError, match="belongs to another commitment"):
        check_proof(prove(manifest), commitment_of(other))


@pytest.mark.parametrize("proof", [{}, [], {"format": "x", "leaves": 1, "root": "zz", "canaries": []}, None])
def test_what_is_no_proof_is_said_to_be_none(proof: Any, manifest: Manifest) -> None:
    with pytest.raises(UsageError, match="is no proof"):
        check_proof(proof, commitment_of(manifest))


@pytest.mark.parametrize(
    "change",
    [
        {"leaves": -1},
        {"leaves": 1 << 70},
        {"leaves": 0},
        {"leaves": "many"},
        {"format": "dedupkit canaries proof 2"},
        {"root": "5"},
        {"canaries": 7},
        {"canaries": [{}]},
    ],
)
def test_a_proof_with_something_else_in_its_place_is_none(manifest: Manifest, change: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="is no proof"):
        check_proof(prove(manifest) | change, commitment_of(manifest))


@pytest.mark.parametrize(("name", "value"), [("salt", "z" * 64), ("image", "A"), ("image", ""), ("number", -1)])
def test_a_canary_that_can_be_none_makes_no_proof(manifest: Manifest, name: str, value: Any) -> None:
    proof = prove(manifest, [1])
    proof["canaries"][0]["canary"][name] = value
    with pytest.raises(UsageError, match="is no proof"):
        check_proof(proof, commitment_of(manifest))


def test_a_canary_counts_once_however_often_a_proof_shows_it(manifest: Manifest) -> None:
    assert [each["place"] for each in prove(manifest, [3, 3, 1])["canaries"]] == [3, 1]
    proof = prove(manifest, [3])
    proof["canaries"] *= 2
    with pytest.raises(UsageError, match="is no proof"):
        check_proof(proof, commitment_of(manifest))


def test_the_commitment_is_a_digest_over_count_and_root_as_written_out(manifest: Manifest) -> None:
    leaves = [
        bytes.fromhex(canary.salt)
        + json.dumps(
            {
                "caption": canary.caption, "format": "jpeg", "height": 72, "hidden_box": None,
                "image_sha256": hashlib.sha256(base64.b64decode(canary.image)).hexdigest(), "kind": "texture",
                "number": canary.number, "planted": canary.planted, "repetitions": canary.repetitions, "width": 96,
            },
            separators=(",", ":"),
        ).encode()
        for canary in manifest.canaries
    ]  # fmt: skip
    level = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves]
    while len(level) > 1:  # of eight leaves the tree is whole
        level = [hashlib.sha256(b"\x01" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=True)]
    assert commitment_of(manifest) == hashlib.sha256(b"\x02" + bytes(7) + b"\x08" + level[0]).hexdigest()


def test_the_salt_hides_what_is_committed_to(manifest: Manifest) -> None:
    salted = [canary.model_copy(update={"salt": f"{canary.number:064x}"}) for canary in manifest.canaries]
    assert commitment_of(manifest) != commitment_of(manifest.model_copy(update={"canaries": tuple(salted)}))
    assert commitment_of(manifest) == commitment_of(manifest.model_copy(update={"secret": "00" * 32}))


def test_there_is_no_proof_of_a_canary_that_is_not_there(manifest: Manifest) -> None:
    with pytest.raises(UsageError, match="no canary 99"):
        prove(manifest, [99])
