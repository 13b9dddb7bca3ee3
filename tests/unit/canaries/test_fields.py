from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.canaries.fields import fields_like
from dedupkit.sample import Sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from dedupkit.canaries.manifest import Canary


def donors() -> list[Sample]:
    """Neighbours as img2dataset describes them."""
    return [
        Sample(
            f"{number:05d}",
            b"x" * (100 + number),
            f"a dog of size {number}",
            {
                "name": f"{number:05d}",
                "alt": f"a dog of size {number}",
                "url": f"https://pictures.example/{number % 2}/IMG_{number + 4000}.jpg",
                "sha256": f"{number:064x}".replace("0", "c"),
                "similarity": 0.3 + number / 100,
                "width": 640,
                "original_height": 480 + number,
                "byte_size": 100 + number,
                "status": "success",
                "nothing": None,
                "safe": True,
                "license": ["a", "b"],
                "id": 10_000 + number * 17,
            },
        )
        for number in range(8)
    ]


def filled(canary: Canary, seed: int = 0) -> dict[str, Any]:
    return fields_like(donors(), "00177", canary, np.random.default_rng(seed))


def test_there_are_the_same_fields_of_the_same_types(canary: Callable[..., Canary]) -> None:
    first = donors()[0].fields
    found = filled(canary(0))
    assert list(found) == list(first)
    assert {name: type(value) for name, value in found.items()} == {name: type(value) for name, value in first.items()}


def test_what_a_field_repeats_is_the_canarys_own(canary: Callable[..., Canary]) -> None:
    mine = canary(3)
    found = filled(mine)
    assert found["name"] == "00177"
    assert found["alt"] == mine.caption
    assert (found["width"], found["original_height"]) == (96, 72)
    assert found["byte_size"] == len(mine.data)


def test_what_each_neighbour_has_of_its_own_no_canary_shares(canary: Callable[..., Canary]) -> None:
    for seed in range(50):
        found = filled(canary(0), seed)
        assert found["url"] not in {donor.fields["url"] for donor in donors()}
        assert re.fullmatch(r"https://pictures\.example/[01]/IMG_\d{4}\.jpg", found["url"])
        assert re.fullmatch("[0-9a-f]{64}", found["sha256"])
        assert found["sha256"] not in {donor.fields["sha256"] for donor in donors()}
        assert 0.3 <= found["similarity"] <= 0.37
        assert 10_000 <= found["id"] <= 10_000 + 7 * 17


def test_what_neighbours_share_a_canary_shares(canary: Callable[..., Canary]) -> None:
    found = filled(canary(0))
    assert (found["status"], found["nothing"], found["safe"], found["license"]) == ("success", None, True, ["a", "b"])


def test_a_url_of_words_gets_words_of_the_caption(canary: Callable[..., Canary]) -> None:
    near = [Sample("a", b"", "", {"url": f"https://shop.example/{name}.png"}) for name in ("old-red-chair", "tin-can")]
    found = fields_like(near, "k", canary(0, caption="a velvet kettle"), np.random.default_rng(0))
    assert found["url"] in ("https://shop.example/a-velvet-kettle.png", "https://shop.example/a-velvet.png")


def test_a_path_of_words_gets_words_of_the_caption(canary: Callable[..., Canary]) -> None:
    near = [Sample("a", b"", "", {"file": f"shop/{name}.png"}) for name in ("old-red-chair", "tin-can")]
    found = fields_like(near, "k", canary(0, caption="a velvet kettle"), np.random.default_rng(0))
    assert found["file"] in ("shop/a-velvet-kettle.png", "shop/a-velvet.png")


def test_hexadecimal_digits_stay_in_the_case_that_they_have(canary: Callable[..., Canary]) -> None:
    for text, pattern in (("0123456789ABCDEF", "[0-9A-F]{16}"), ("0123456789abcdef", "[0-9a-f]{16}")):
        near = [Sample("a", b"", "", {"md5": text[turn:] + text[:turn]}) for turn in range(4)]
        for seed in range(8):
            found = fields_like(near, "k", canary(0), np.random.default_rng(seed))["md5"]
            assert re.fullmatch(pattern, found)
            assert found not in {sample.fields["md5"] for sample in near}
