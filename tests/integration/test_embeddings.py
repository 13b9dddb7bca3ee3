"""Lists of URLs and embeddings through the command line: the same list comes out, without copies and blocked rows."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.conftest import draw_picture
from tests.integration.test_cli import dedupkit

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

ROWS, SHARDS, DIMENSIONS, MIN_COSINE = 300, 3, 48, 0.96
NEAR, FAR = 0.2, 0.6  # noise that leaves a cosine of 0.98, and of 0.86


@dataclass
class Planted:
    """A list as clip-retrieval writes it."""

    folder: Path
    urls: list[str]
    vectors: NDArray[np.float32]

    def brute_force(self, min_cosine: float = MIN_COSINE) -> set[tuple[int, int]]:
        """All pairs of rows that are copies: of one URL, or with embeddings as near as that."""
        rows = self.vectors.astype(np.float16).astype(np.float64)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        urls = np.array(self.urls)
        same = (rows @ rows.T >= min_cosine) | (urls[:, None] == urls)
        return {(int(a), int(b)) for a, b in np.argwhere(np.triu(same, 1))}


def scaled(rows: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    rng, folder = np.random.default_rng(5), tmp_path_factory.mktemp("laion")
    vectors = scaled(rng.standard_normal((ROWS, DIMENSIONS)))
    for copy, noise in [(number, NEAR) for number in range(250, 280)] + [(number, FAR) for number in range(280, 295)]:
        vectors[copy] = scaled(vectors[[copy - 250]] + noise * scaled(rng.standard_normal((1, DIMENSIONS))))[0]
    urls = [f"https://site{number % 7}.example/{number}.jpg" for number in range(ROWS)]
    for copy, original in ((298, 120), (299, 0)):
        urls[copy], vectors[copy] = urls[original], vectors[original]
    (folder / "img_emb").mkdir()
    (folder / "metadata").mkdir()
    for shard, rows in enumerate(np.array_split(np.arange(ROWS), SHARDS)):
        np.save(folder / "img_emb" / f"img_emb_{shard}.npy", 3 * vectors[rows].astype(np.float16))
        columns = {
            "url": [urls[row] for row in rows],
            "caption": [f"caption {row}" for row in rows],
            "row": pa.array(rows, pa.int32()),
            "similarity": pa.array(rng.random(len(rows)), pa.float32()),
        }
        pq.write_table(pa.table(columns), folder / "metadata" / f"metadata_{shard}.parquet")
    return Planted(folder, urls, vectors)


def kept_rows(out: Path) -> set[int]:
    return {row for path in sorted((out / "list").glob("*.parquet")) for row in pq.read_table(path)["row"].to_pylist()}


def decisions(out: Path) -> list[dict[str, Any]]:
    return pq.read_table(out / "decisions.parquet").to_pylist()  # type: ignore[no-any-return]


def test_the_pairs_are_those_of_brute_force(planted: Planted, tmp_path: Path) -> None:
    done = dedupkit("find", planted.folder, "--json", tmp_path / "found.json")
    assert done.returncode == 0, done.stderr
    assert "no image is decoded; embeddings from the .npy beside it" in done.stderr
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert (found["samples"], found["faults"]) == (ROWS, {})
    groups = [{int(key.rpartition("-")[2]) + 100 * int(key[9]) for key in group} for group in found["groups"]]
    pairs = planted.brute_force()
    assert len(pairs) >= 32
    assert all(any({a, b} <= group for group in groups) for a, b in pairs)
    assert sum(map(len, groups)) == len({row for pair in pairs for row in pair})


def test_the_same_list_comes_out_without_copies(planted: Planted, tmp_path: Path) -> None:
    done = dedupkit("clean", planted.folder, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    kept, pairs = kept_rows(tmp_path / "out"), planted.brute_force()
    assert not any({a, b} <= kept for a, b in pairs)
    assert kept >= set(range(ROWS)) - {row for pair in pairs for row in pair}
    for row in decisions(tmp_path / "out"):
        if row["action"] == "drop":
            assert row["reason"] in ("exact_duplicate", "descriptor_duplicate")
            place, kept_place = (
                int(row[name].rpartition("-")[2]) + 100 * int(row[name][9]) for name in ("key", "kept_key")
            )
            assert (min(place, kept_place), max(place, kept_place)) in pairs
            assert kept_place in kept


def test_rows_that_stay_are_unchanged_file_by_file(planted: Planted, tmp_path: Path) -> None:
    dedupkit("clean", planted.folder, tmp_path / "out")
    kept = kept_rows(tmp_path / "out")
    for shard in range(SHARDS):
        before = pq.read_table(planted.folder / "metadata" / f"metadata_{shard}.parquet")
        after = pq.read_table(tmp_path / "out" / "list" / f"data-{shard:05d}.parquet")
        assert after.equals(before.filter(pc.is_in(before["row"], pa.array(sorted(kept), pa.int32()))))


def test_a_stricter_cosine_drops_fewer(planted: Planted, tmp_path: Path) -> None:
    dedupkit("clean", planted.folder, tmp_path / "loose", "--min-cosine", "0.8")
    dedupkit("clean", planted.folder, tmp_path / "strict", "--min-cosine", "0.99")
    loose, usual = planted.brute_force(0.8), planted.brute_force()
    assert len(loose) >= len(usual) + 15
    assert not any({a, b} <= kept_rows(tmp_path / "loose") for a, b in loose)
    assert len(kept_rows(tmp_path / "strict")) == ROWS - len({b for _, b in planted.brute_force(0.99)})


def test_blocked_rows_are_gone_and_stand_for_nobody(planted: Planted, tmp_path: Path) -> None:
    (tmp_path / "urls.txt").write_text(f"{planted.urls[10]}\n")  # row 260 is a copy of it, and stays
    (tmp_path / "domains.txt").write_text("site3.example\n")
    out = tmp_path / "out"
    lists = ("--block", f"urls={tmp_path}/urls.txt", "--block", f"domains={tmp_path}/domains.txt")
    done = dedupkit("clean", planted.folder, out, *lists)
    assert done.returncode == 0, done.stderr
    blocked = {row for row, url in enumerate(planted.urls) if "site3" in url} | {10}
    found = decisions(out)
    assert {row for row, each in enumerate(found) if each["reason"] == "blocked"} == blocked
    assert all(each["action"] == "drop" and each["kept_key"] is None for each in found if each["reason"] == "blocked")
    assert not kept_rows(out) & blocked
    assert 260 in kept_rows(out)
    assert json.loads((out / "report.json").read_text())["reasons"]["blocked"] == len(blocked)


def test_hashes_are_compared_where_there_are_no_embeddings(tmp_path: Path) -> None:
    codes = np.random.default_rng(1).integers(0, 1 << 63, 40)
    codes[30] = codes[2] ^ 0b11
    pq.write_table(
        pa.table({"URL": [f"u{n}" for n in range(40)], "TEXT": ["t"] * 40, "phash": codes}), tmp_path / "a.parquet"
    )
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[source]\nhash_column = "phash"\n')
    done = dedupkit("clean", tmp_path / "a.parquet", tmp_path / "out", "--recipe", recipe)
    assert done.returncode == 0, done.stderr
    dropped = [
        (row["key"], row["reason"], row["kept_key"]) for row in decisions(tmp_path / "out") if row["action"] == "drop"
    ]
    assert dropped == [("a-00000030", "perceptual_duplicate", "a-00000002")]
    assert pq.read_schema(tmp_path / "out" / "list" / "data-00000.parquet").names == ["URL", "TEXT", "phash"]


def test_an_embedding_column_of_images_spares_their_decoding(tmp_path: Path) -> None:
    vectors = np.eye(4, dtype=np.float32)
    vectors[3] = vectors[1]
    images = []
    for seed in range(4):
        buffer = io.BytesIO()
        draw_picture(seed, 64, 48).save(buffer, "PNG")
        images.append(buffer.getvalue())
    columns = {"image": pa.array(images), "caption": list("abcd"), "embedding": vectors.tolist()}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    done = dedupkit(
        "clean", tmp_path / "a.parquet", tmp_path / "out", "--embedding-column", "embedding", "--keep", "first"
    )
    assert done.returncode == 0, done.stderr
    assert [row["reason"] for row in decisions(tmp_path / "out")] == [
        "unique", "representative", "unique", "descriptor_duplicate",
    ]  # fmt: skip
    import datasets

    dataset = datasets.load_from_disk(str(tmp_path / "out" / "dataset")).cast_column(
        "image", datasets.Image(decode=False)
    )
    assert [row["image"]["bytes"] for row in dataset] == images[:3]
    assert [len(row["embedding"]) for row in dataset] == [4, 4, 4]


def test_a_damaged_shard_is_quarantined_and_the_rest_goes_on(planted: Planted, tmp_path: Path) -> None:
    for folder in ("img_emb", "metadata"):
        (tmp_path / "laion" / folder).mkdir(parents=True)
        for path in (planted.folder / folder).iterdir():
            (tmp_path / "laion" / folder / path.name).write_bytes(path.read_bytes())
    np.save(tmp_path / "laion" / "img_emb" / "img_emb_1.npy", planted.vectors[:90])
    done = dedupkit("clean", tmp_path / "laion", tmp_path / "out", "--json")
    summary = json.loads(done.stdout)
    assert summary["samples"]["in"] == 201
    assert summary["reasons"]["damaged_shard"] == 1
    assert pq.read_table(tmp_path / "out" / "list" / "data-00001.parquet").num_rows == 0


def test_the_output_is_the_same_for_any_number_of_workers_and_when_run_again(planted: Planted, tmp_path: Path) -> None:
    dedupkit("clean", planted.folder, tmp_path / "one", "--workers", "1")
    dedupkit("clean", planted.folder, tmp_path / "two", "--workers", "2")
    names = ["decisions.parquet", "recipe.toml", *(f"list/data-{shard:05d}.parquet" for shard in range(SHARDS))]
    first = {name: (tmp_path / "one" / name).read_bytes() for name in names}
    assert first == {name: (tmp_path / "two" / name).read_bytes() for name in names}
    again = dedupkit("clean", planted.folder, tmp_path / "one", "--recipe", tmp_path / "one" / "recipe.toml")
    assert "list: 3 of 3 parts used again" in again.stderr
    assert first == {name: (tmp_path / "one" / name).read_bytes() for name in names}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--format", "arrow"), 'a list without images is written as "list"'),
        (("--embedding-column", "vector"), "no column 'vector'"),
        (("--block", "urls"), "block must be KIND=FILE"),
        (("--block", "colours=x.txt"), "unknown option blocklist.colours"),
        (("--block", "urls=missing.txt"), "blocklist missing.txt cannot be read"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    options: tuple[str, ...], message: str, planted: Planted, tmp_path: Path
) -> None:
    done = dedupkit("clean", planted.folder, tmp_path / "out", *options)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
