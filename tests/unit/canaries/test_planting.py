from __future__ import annotations

import os
import pickle
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from dedupkit.canaries import Planting, planting_of, write_manifest
from dedupkit.canaries.planting import manifest_beside, manifest_place
from dedupkit.errors import RunError, UsageError
from dedupkit.recipe import Canaries, Recipe
from dedupkit.sample import PAIRS, position
from dedupkit.sources import open_source
from tests.unit.canaries.conftest import samples

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dedupkit.canaries.manifest import Manifest


@dataclass
class FakeTables:
    """Fingerprints of two shards."""

    digests: list[list[bytes]]
    actions: dict[int, str] = field(default_factory=dict)

    def fingerprints(self, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        rows = [{"position": position(number, row), "sha256": value} for row, value in enumerate(self.digests[number])]
        schema = pa.schema({"position": pa.uint64(), "sha256": pa.binary(32)})
        return pa.Table.from_pylist(rows, schema=schema).select(columns)

    def decisions(self, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        """All are kept but those with another action."""
        places = [position(number, row) for row in range(len(self.digests[number]))]
        actions = [self.actions.get(place, "keep") for place in places]
        return pa.table({"position": pa.array(places, pa.uint64()), "action": actions}).select(columns)


@pytest.fixture
def planting(manifest: Manifest, tmp_path: Path) -> Planting:
    write_manifest(manifest, tmp_path / "m.json")
    return Planting.open(tmp_path / "m.json")


def tables_of(manifest: Manifest, extra: Sequence[bytes] = ()) -> Any:
    """Every canary as often as planted, in the second shard, with other samples before and in the first."""
    copies = [canary.sha256 for canary in manifest.planted for _ in range(canary.repetitions)]
    return FakeTables([[b"a" * 32, b"b" * 32], [b"c" * 32, *copies, *extra]])


def pairs_of(*pairs: tuple[int, int]) -> pa.Table:
    rows = [{"a": a, "b": b, "tier": "exact"} for a, b in pairs]
    return pa.Table.from_pylist(rows, schema=PAIRS.with_metadata({b"search": b"kept"}))


def test_every_copy_of_a_planted_canary_is_found_by_its_digest(planting: Planting, manifest: Manifest) -> None:
    control = manifest.controls[0].sha256
    found = planting.positions(tables_of(manifest, [control]), 2)
    assert found.tolist() == [position(1, row) for row in range(1, 13)]  # 1 + 2 + 3 twice; not the control
    assert found.dtype == np.uint64


def test_pairs_that_touch_a_canary_are_left_out_and_no_other(planting: Planting, manifest: Manifest) -> None:
    own, first, second = position(1, 0), position(1, 1), position(1, 5)
    pairs = pairs_of((position(0, 0), position(0, 1)), (position(0, 1), first), (first, second), (position(0, 0), own))
    left = next(planting.without_pairs([pairs], tables_of(manifest), 2))
    assert left["b"].to_pylist() == [position(0, 1), own]
    assert left.schema.metadata == {b"search": b"kept"}


def test_a_recipe_can_leave_canaries_to_dedup(planting: Planting, manifest: Manifest, tmp_path: Path) -> None:
    treated = Planting.open(tmp_path / "m.json", exempt=())
    pairs = pairs_of((position(1, 1), position(1, 2)))
    assert list(treated.without_pairs([pairs], tables_of(manifest), 2)) == [pairs]
    assert treated.identity != planting.identity
    digest = manifest.planted[0].sha256
    assert (planting.exempts(digest, "augmentation"), treated.exempts(digest, "augmentation")) == (True, False)
    assert not planting.exempts(manifest.controls[0].sha256, "augmentation")


def test_counts_are_held_against_the_manifest(planting: Planting, manifest: Manifest) -> None:
    planting.check(tables_of(manifest), 2)
    with pytest.raises(RunError, match=r"^2 canaries stand in the set more often than planted") as caught:
        planting.check(tables_of(manifest, [manifest.planted[0].sha256, manifest.planted[1].sha256]), 2)
    assert manifest.planted[0].sha256.hex() not in str(caught.value)
    with pytest.raises(RunError, match="6 canaries are missing"):
        planting.check(FakeTables([[b"a" * 32], []]), 2)  # type: ignore[arg-type]


def test_it_travels_without_the_canaries_and_shows_no_passphrase(planting: Planting, manifest: Manifest) -> None:
    sealed = Planting(planting.path, planting.stamp, _passphrase="open sesame")
    assert "sesame" not in repr(sealed)
    travelling = pickle.dumps(planting)
    assert len(travelling) < 1000
    assert manifest.secret.encode() not in travelling
    assert pickle.loads(travelling).manifest == manifest


def test_its_identity_changes_with_the_manifest_and_needs_the_secret(
    planting: Planting, manifest: Manifest, tmp_path: Path
) -> None:
    other = manifest.model_copy(update={"secret": "5b" * 32})
    write_manifest(other, tmp_path / "other.json")
    same_canaries = Planting.open(tmp_path / "other.json")
    assert same_canaries.commitment == planting.commitment
    assert same_canaries.identity != planting.identity


def recipe(**options: Any) -> Recipe:
    return Recipe(canaries=Canaries(**options))


def test_a_recipe_that_says_nothing_plants_nothing(tmp_path: Path) -> None:
    assert planting_of(recipe(), open_source(samples(3)), tmp_path / "out") is None
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_is_made_beside_out_and_used_again(tmp_path: Path) -> None:
    wanted, source = recipe(planted=2, controls=1), open_source(samples(6))
    first = planting_of(wanted, source, tmp_path / "out")
    again = planting_of(wanted, source, tmp_path / "out")
    assert first is not None
    assert first == again
    assert [path.name for path in tmp_path.iterdir()] == ["out.canaries.private.json"]
    assert manifest_beside(tmp_path / "out").name == "out.canaries.private.json"


def test_a_manifest_of_other_counts_is_refused(tmp_path: Path) -> None:
    planting_of(recipe(planted=2), open_source(samples(6)), tmp_path / "out")
    with pytest.raises(UsageError, match="holds 2 planted canaries and 0 controls, the recipe asks for 5 and 0"):
        planting_of(recipe(planted=5), open_source(samples(6)), tmp_path / "out")


def test_a_manifest_in_the_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="would lie in the output folder"):
        planting_of(recipe(planted=2, manifest=str(tmp_path / "out/m.json")), open_source(samples(2)), tmp_path / "out")


def test_a_manifest_alone_protects_and_plants_nothing(manifest: Manifest, tmp_path: Path) -> None:
    write_manifest(manifest, tmp_path / "m.json")
    source = open_source(samples(3))
    planting = planting_of(recipe(manifest=str(tmp_path / "m.json")), source, tmp_path / "out")
    assert planting is not None
    assert planting.around(source) is source


def test_a_manifest_that_was_replaced_is_read_again(manifest: Manifest, tmp_path: Path) -> None:
    write_manifest(manifest, tmp_path / "m.json")
    before = Planting.open(tmp_path / "m.json")
    assert before.manifest == manifest
    other = manifest.model_copy(update={"canaries": manifest.canaries[:3]})
    write_manifest(other, tmp_path / "m.json", replace=True)
    os.utime(tmp_path / "m.json", (time.time() + 5,) * 2)
    assert before.holds(manifest.planted[5].sha256)
    after = Planting.open(tmp_path / "m.json")
    assert after.manifest == other
    assert [after.holds(canary.sha256) for canary in manifest.planted] == [True] * 3 + [False] * 3
    assert len(after.positions(tables_of(manifest), 2)) == 6  # 1 + 2 + 3


def test_an_encrypted_manifest_serves_for_all_that_an_open_one_does(
    planting: Planting, manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dedupkit.canaries.sealing._SCRYPT", {"n": 1 << 10, "r": 8, "p": 1})
    write_manifest(manifest, tmp_path / "sealed.json", passphrase="several plain words")
    tables, opened = tables_of(manifest), Planting.open(tmp_path / "sealed.json", "several plain words")
    expected = planting.positions(tables, 2).tolist()
    assert opened.positions(tables, 2).tolist() == opened.check(tables, 2).tolist() == expected
    assert (opened.commitment, opened.identity) == (planting.commitment, planting.identity)
    assert opened.exempts(manifest.planted[0].sha256, "dedup")


@pytest.mark.parametrize(
    ("actions", "exempt", "lost"),
    [
        ({}, ("dedup",), 0),
        ({1: "drop", 2: "quarantine"}, ("dedup",), 2),
        ({1: "drop", 2: "quarantine"}, (), 1),  # dedup may take them
        ({0: "drop", 13: "quarantine"}, ("dedup",), 0),  # others
    ],
)
def test_decisions_are_held_against_the_manifest(
    actions: dict[int, str], exempt: tuple[str, ...], lost: int, planting: Planting, manifest: Manifest, tmp_path: Path
) -> None:
    tables = tables_of(manifest, [b"d" * 32])
    tables.actions = {position(1, row): action for row, action in actions.items()}
    held = Planting.open(tmp_path / "m.json", exempt=exempt)
    positions = held.check(tables, 2)
    if not lost:
        held.check_decisions(tables, 2, positions)
        return
    with pytest.raises(RunError, match=f"^{lost} copies of canaries would not stay in the set; make the canaries"):
        held.check_decisions(tables, 2, positions)


def test_a_source_that_holds_some_of_them_already_is_no_error_unless_they_are_planted(
    manifest: Manifest, planting: Planting, tmp_path: Path
) -> None:
    some = FakeTables([[], [manifest.planted[0].sha256]])
    protecting = Planting.open(tmp_path / "m.json", plants=False)
    assert protecting.check(some, 2).tolist() == [position(1, 0)]  # type: ignore[arg-type]
    with pytest.raises(RunError, match=r"^5 canaries are missing; the source changed"):
        planting.check(some, 2)  # type: ignore[arg-type]


def test_both_ends_of_a_pair_may_be_the_canary(planting: Planting, manifest: Manifest) -> None:
    plain, canary, later = position(1, 0), position(1, 3), position(1, 13)
    pairs = pairs_of((plain, canary), (canary, later), (plain, later))
    (left,) = planting.without_pairs([pairs], tables_of(manifest, [b"d" * 32]), 2)
    assert left.select(["a", "b"]).to_pylist() == [{"a": plain, "b": later}]


def test_planted_canaries_are_held_and_controls_are_not(planting: Planting, manifest: Manifest) -> None:
    assert all(planting.holds(canary.sha256) for canary in manifest.planted)
    assert not any(planting.holds(canary.sha256) for canary in manifest.controls)
    assert planting.exempts(manifest.planted[0].sha256, "dedup")
    assert not planting.exempts(manifest.planted[0].sha256, "hygiene")


def test_a_passphrase_of_the_environment_closes_and_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedupkit.canaries.sealing._SCRYPT", {"n": 1 << 10, "r": 8, "p": 1})
    monkeypatch.setenv("DEDUPKIT_PASSPHRASE", "several plain words")
    found = planting_of(recipe(planted=1), open_source(samples(3)), tmp_path / "out")
    assert found is not None
    assert b"sealed" in manifest_beside(tmp_path / "out").read_bytes()
    assert len(found.manifest.planted) == 1
    monkeypatch.delenv("DEDUPKIT_PASSPHRASE")
    with pytest.raises(UsageError, match="is encrypted"):
        planting_of(recipe(planted=1), open_source(samples(3)), tmp_path / "out")
    again = planting_of(recipe(planted=1), open_source(samples(3)), tmp_path / "out", passphrase="several plain words")
    assert again is not None
    assert again.commitment == found.commitment


@pytest.mark.parametrize(("planted", "controls", "right"), [(5, 3, True), (6, 2, True), (8, 0, True), (6, 3, False)])
def test_of_independent_coins_the_sum_alone_has_to_be_that_of_the_recipe(
    manifest: Manifest, tmp_path: Path, planted: int, controls: int, right: bool
) -> None:
    write_manifest(manifest.model_copy(update={"assignment": "independent"}), tmp_path / "m.json")
    wanted = recipe(planted=planted, controls=controls, manifest=str(tmp_path / "m.json"))
    if right:
        found = planting_of(wanted, open_source(samples(3)), tmp_path / "out")
        assert found is not None
        assert found.plants
        assert found.exempt == ("dedup", "augmentation")
    else:
        with pytest.raises(UsageError, match="holds 6 planted canaries and 2 controls, the recipe asks for 6 and 3"):
            planting_of(wanted, open_source(samples(3)), tmp_path / "out")


def test_a_manifest_never_lies_on_a_store(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="would lie on a store; name a local file") as caught:
        manifest_place(recipe(planted=1, manifest="s3://user:secret@bucket/m.json"), tmp_path / "out")
    assert "secret" not in str(caught.value)
    with pytest.raises(UsageError, match="never lies on a store; name a local file"):
        manifest_place(recipe(planted=1), "s3://bucket/out")
    named = recipe(planted=1, manifest=str(tmp_path / "m.json"))
    assert manifest_place(named, "s3://bucket/out") == tmp_path / "m.json"
    assert manifest_place(named, tmp_path / "out") == tmp_path / "m.json"
    assert manifest_place(recipe(planted=1), tmp_path / "out") == tmp_path / "out.canaries.private.json"


@pytest.mark.parametrize("way", ["out/m.json", "out/deep/m.json", "elsewhere/../out/m.json", "link/m.json"])
def test_a_manifest_in_the_output_is_found_whatever_way_leads_there(way: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to("out")
    with pytest.raises(UsageError, match="would lie in the output folder"):
        manifest_place(recipe(planted=1, manifest=str(tmp_path / way)), tmp_path / "out")
