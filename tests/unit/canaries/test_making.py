from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import ExifTags, Image
from scipy import stats

from dedupkit.canaries import commitment_of, make, read_manifest
from dedupkit.canaries.making import coins
from dedupkit.errors import UsageError
from dedupkit.fingerprints.decode import Decoded, header
from dedupkit.hygiene.metadata import without_metadata
from dedupkit.recipe import Augment, Canaries, Hygiene, Limits, Recipe
from tests.conftest import draw_picture
from tests.unit.canaries.conftest import jpeg, samples

if TYPE_CHECKING:
    from pathlib import Path


def test_exact_counts_are_reached_and_every_division_has_the_same_chance() -> None:
    options, first = Canaries(planted=3, controls=3), 0
    seen: dict[tuple[bool, ...], int] = {}
    for seed in range(2000):
        flipped = list(coins(options, np.random.default_rng(seed)))
        fates = tuple(planted for _, planted in flipped)
        assert sum(fates) == 3
        assert len(fates) == 6
        seen[fates] = seen.get(fates, 0) + 1
        first += flipped[0][1]
    assert len(seen) == 20  # 6 over 3
    assert stats.chisquare(list(seen.values())).pvalue > 1e-4
    assert stats.binomtest(first, 2000, 0.5).pvalue > 1e-4


def test_independent_coins_are_fair_for_each_kind_by_itself() -> None:
    options = Canaries(planted=3000, controls=3000, assignment="independent")
    flipped = list(coins(options, np.random.default_rng(1)))
    assert [number for number, _ in flipped] == list(range(6000))
    for kind in range(3):
        heads = sum(planted for number, planted in flipped if number % 3 == kind)
        assert stats.binomtest(heads, 2000, 0.5).pvalue > 1e-4
    following = [(a[1], b[1]) for a, b in zip(flipped[::2], flipped[1::2], strict=True)]
    table = np.array([[following.count((a, b)) for a in (True, False)] for b in (True, False)])
    assert stats.chi2_contingency(table).pvalue > 1e-4


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    place = tmp_path_factory.mktemp("made") / "m.json"
    options = Canaries(planted=8, controls=7, kinds=("texture", "blob", "pair", "scene", "natural"), repetitions=(1, 3))
    return place, make(samples(40), place, options, held_out=samples(40, 5000))


def test_counts_kinds_and_repetitions_are_those_asked_for(made: Any) -> None:
    place, result = made
    manifest = read_manifest(place)
    assert manifest == result.manifest
    assert (len(manifest.planted), len(manifest.controls)) == (8, 7)
    assert {canary.kind for canary in manifest.canaries} <= {"texture", "blob", "pair", "scene", "natural"}
    assert {canary.repetitions for canary in manifest.canaries} == {1, 3}
    assert result.commitment == commitment_of(manifest)
    assert len({canary.caption for canary in manifest.canaries}) == 15
    assert len({canary.sha256 for canary in manifest.canaries}) == 15
    assert len({canary.salt for canary in manifest.canaries}) == 15
    assert all((canary.hidden_box is not None) is (canary.kind == "pair") for canary in manifest.canaries)


def test_canaries_are_encoded_as_the_set_is_and_hold_nothing_to_strip(made: Any) -> None:
    for canary in made[1].manifest.canaries:
        seen = header(canary.data, Limits())
        assert isinstance(seen, Decoded)
        assert (
            (seen.format, seen.width, seen.height) == ("jpeg", 96, 72) == (canary.format, canary.width, canary.height)
        )
        assert without_metadata(canary.data) == canary.data


def test_natural_canaries_are_held_out_images_each_used_once(made: Any) -> None:
    natural = [canary.data for canary in made[1].manifest.canaries if canary.kind == "natural"]
    own = [jpeg(5000 + number) for number in range(40)]
    assert natural
    assert len(set(natural)) == len(natural)
    assert all(data in own for data in natural)


def test_two_manifests_of_one_recipe_share_nothing(tmp_path: Path) -> None:
    options = Canaries(planted=3)
    first, second = (make(samples(8), tmp_path / name, options).manifest for name in ("a", "b"))
    assert first.secret != second.secret
    assert not {canary.sha256 for canary in first.canaries} & {canary.sha256 for canary in second.canaries}
    assert not {canary.caption for canary in first.canaries} & {canary.caption for canary in second.canaries}


def test_all_that_is_chance_in_canaries_comes_from_the_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedupkit.canaries.making.secrets.token_hex", lambda count: "5a" * count)
    first, second = (make(samples(8), tmp_path / name, Canaries(planted=2, controls=2)).manifest for name in "ab")
    assert first == second


def test_a_set_without_captions_gets_canaries_without(tmp_path: Path) -> None:
    bare = [{name: value for name, value in sample.items() if name != "caption"} for sample in samples(5)]
    manifest = make(bare, tmp_path / "m", Canaries(planted=2)).manifest
    assert [canary.caption for canary in manifest.canaries] == [None, None]


@pytest.mark.parametrize(
    ("options", "source", "message"),
    [
        (Canaries(), samples(2), "neither planted nor controls"),
        (Canaries(planted=1, kinds=("scene",)), samples(2), "need images of your own"),
        (Canaries(planted=1), [{"image": b"none", "caption": "x"}], "no plain JPEG, PNG or WebP"),
    ],
)
def test_what_cannot_be_made_is_refused_and_nothing_written(
    options: Canaries, source: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        make(source, tmp_path / "m", options)
    assert list(tmp_path.iterdir()) == []


def test_too_few_held_out_images_are_counted(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="3 held-out images are too few for kind natural; give 9"):
        make(samples(5), tmp_path / "m", Canaries(planted=3, kinds=("natural",)), held_out=samples(3, 5000))


def test_no_canary_fails_the_recipes_hygiene(tmp_path: Path) -> None:
    recipe = Recipe(hygiene=Hygiene(min_side=90))
    with pytest.raises(UsageError, match="passes the recipe's hygiene"):
        make(samples(5), tmp_path / "m", Canaries(planted=1), recipe=recipe)


def test_the_log_tells_nothing_of_any_canary(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        made = make(samples(30), tmp_path / "m", Canaries(planted=22, kinds=("blob",), max_detection_auc=0.5))
    assert made.detection["blob"].canaries == 22
    for canary in made.manifest.canaries:
        assert str(canary.caption) not in caplog.text
        assert canary.sha256.hex() not in caplog.text
    assert made.manifest.secret not in caplog.text


def test_pictures_like_those_of_the_set_are_not_told_from_it(tmp_path: Path) -> None:
    options = Canaries(planted=11, controls=11, kinds=("natural",))
    made = make(samples(30), tmp_path / "m", options, held_out=samples(66, 5000))
    found = made.detection["natural"]
    assert (found.canaries, found.others) == (22, 30)
    assert abs(found.auc - 0.5) < 3 * found.standard_error + 0.05


def test_held_out_images_that_all_fail_hygiene_are_no_canaries(tmp_path: Path) -> None:
    options, recipe = Canaries(planted=1, kinds=("natural",)), Recipe(hygiene=Hygiene(min_side=90))
    with pytest.raises(UsageError, match="no canary of kind natural passes the recipe's hygiene"):
        make(samples(5), tmp_path / "m", options, held_out=samples(3, 5000), recipe=recipe)


def test_a_held_out_image_stands_upright_without_its_mark_of_orientation(tmp_path: Path) -> None:
    def lying(seed: int) -> bytes:
        exif, buffer = Image.Exif(), io.BytesIO()
        exif[ExifTags.Base.Orientation] = 6
        draw_picture(seed, 96, 72).save(buffer, "JPEG", exif=exif)
        return buffer.getvalue()

    own = [{"key": str(number), "image": lying(5000 + number), "caption": "a hill"} for number in range(3)]
    recipe = Recipe(hygiene=Hygiene(orientation="bake"))
    made = make(samples(5), tmp_path / "m", Canaries(planted=1, kinds=("natural",)), held_out=own, recipe=recipe)
    (canary,) = made.manifest.canaries
    assert (canary.width, canary.height) == (72, 96)
    with Image.open(io.BytesIO(canary.data)) as image:
        assert image.size == (72, 96)
        assert not image.getexif()


def test_where_a_run_adds_noise_canaries_are_as_large_as_noisy_images(tmp_path: Path) -> None:
    noisy = Augment(noise_sigma=60)
    recipes = {
        "plain": Recipe(),
        "noisy": Recipe(augment=noisy),
        "treated like all others": Recipe(augment=noisy, canaries=Canaries(exempt=())),  # noise comes on top then
    }
    options = Canaries(planted=3, kinds=("blob",))
    sizes = {
        name: np.median([len(each.data) for each in make(samples(4), tmp_path / name, options, recipe=recipe)
                         .manifest.canaries])
        for name, recipe in recipes.items()
    }  # fmt: skip
    assert sizes["noisy"] > 1.5 * sizes["plain"]
    assert sizes["treated like all others"] < 1.2 * sizes["plain"]
