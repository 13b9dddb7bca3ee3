"""Mutated shards beside untouched ones: what stood before the damage is there, and the rest is said to be lost."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import tarfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fuzz.mutators import mutated, parquet
from fuzz.pictures import any_picture, forms, witness
from fuzz.running import FuzzError, Run, cleaned

if TYPE_CHECKING:
    from collections.abc import Sequence

FAMILIES = {
    "tars": ("tar", "tar", "tar", "tar.gz", "tar.zst", "tar.bz2"),
    "tables": ("parquet", "parquet", "parquet", "arrow", "feather"),
    "lists": ("list.parquet",),
    "matrices": ("matrix.npy",),
}
"""Kinds of shards that stand in one source."""
_DIMENSIONS = 32
_GROUP_ROWS = 2


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard that is put into a source.

    Attributes
    ----------
    name : str
        Of its file, without ending; the keys of its samples begin with it.
    kind : str
        One of `FAMILIES`.
    files : dict of str to bytes
        Its files by their endings: a list has a matrix beside it.
    keys : tuple of str
        Its samples before it was mutated.
    safe : frozenset of str
        Those that stand before the damage, so that every reader can have them.
    steps : tuple of str
        How it was made; empty for what nobody touched.
    """

    name: str
    kind: str
    files: dict[str, bytes]
    keys: tuple[str, ...]
    safe: frozenset[str]
    steps: tuple[str, ...] = ()


def made(seed: int, number: int, family: str) -> Shard:
    """The mutant of a number: the same for the same seed."""
    rng = Random(f"shard {seed} {number} {family}")
    kind = rng.choice(FAMILIES[family])
    return _MAKERS[family](f"s{number:06d}", kind, rng, broken=True)


def untouched(family: str) -> Shard:
    """What no run may decide otherwise because of mutants beside it; it is listed first."""
    return _MAKERS[family]("a-whole", FAMILIES[family][0], Random("whole"), broken=False)


def _keys(name: str, rng: Random) -> list[str]:
    return [f"{name}-{number}" for number in range(rng.randrange(3, 8))]


def _image(key: str, rng: Random, *, broken: bool) -> tuple[str, bytes]:
    if not broken:
        return "jpg", witness(int(key.rpartition("-")[2]))
    form, data = any_picture(rng, rng.choice(forms()[:2]))
    return form.ending, data


def _tar(name: str, kind: str, rng: Random, *, broken: bool) -> Shard:
    keys, buffer = _keys(name, rng), io.BytesIO()
    ends: dict[str, int] = {}
    style = rng.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    with tarfile.open(fileobj=buffer, mode="w", format=style) as tar:
        for key in keys:
            ending, image = _image(key, rng, broken=broken)
            for last, data in ((ending, image), ("txt", b"a caption of " + key.encode()), ("json", b'{"width": 160}')):
                member = tarfile.TarInfo(f"{key}.{last}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
            ends[key] = tar.offset
    whole = buffer.getvalue()
    if not broken:
        return Shard(name, kind, {"tar": whole}, tuple(keys), frozenset(keys))
    inside = kind == "tar" or rng.random() < 0.5
    mutant = mutated("tar", whole, rng) if inside else mutated("bytes", _packed(whole, kind), rng)
    before = [key for key in keys if inside and ends[key] <= _agreeing(whole, mutant.data)]
    safe = frozenset(before[:-1] if len(before) == 1 else before)  # whether the first is whole, the second tells
    data = _packed(mutant.data, kind) if inside else mutant.data
    return Shard(name, kind, {kind: data}, tuple(keys), safe, mutant.steps)


def _packed(data: bytes, kind: str) -> bytes:
    if kind == "tar.gz":
        return gzip.compress(data, 1, mtime=0)
    if kind == "tar.bz2":
        return bz2.compress(data, 1)
    if kind == "tar.zst":
        packed: bytes = pa.compress(data, codec="zstd", asbytes=True)
        return packed
    return data


def _agreeing(one: bytes, other: bytes) -> int:
    """How many bytes are the same from the beginning on."""
    short = min(len(one), len(other))
    differing = np.flatnonzero(np.frombuffer(one, np.uint8, short) != np.frombuffer(other, np.uint8, short))
    return int(differing[0]) if len(differing) else short


def _table(name: str, kind: str, rng: Random, *, broken: bool) -> Shard:
    keys = _keys(name, rng)
    images = [_image(key, rng, broken=broken)[1] for key in keys]
    columns: dict[str, Any] = {"key": keys, "image": pa.array(images, rng.choice((pa.binary(), pa.large_binary())))}
    columns |= {
        "caption": [f"caption {key}" for key in keys],
        "tags": [["a", key] for key in keys],
        "size": [1.5] * len(keys),
    }
    table = pa.table(columns)
    if broken and rng.random() < 0.3:
        table = table.replace_schema_metadata({b"huggingface": _features(rng)})
    if not broken:
        return Shard(name, kind, {kind: _encoded(table, "parquet", rng)}, tuple(keys), frozenset(keys))
    whole = _encoded(table, kind, rng)
    mutant = mutated("parquet" if kind == "parquet" else "bytes", whole, rng)
    safe = _before_damage(whole, mutant.data, keys) if kind == "parquet" else frozenset()
    return Shard(name, kind, {kind: mutant.data}, tuple(keys), safe, mutant.steps)


def _features(rng: Random) -> bytes:
    """What `datasets` notes about columns, right or not."""
    features: dict[str, Any] = {"image": {"_type": "Image"}, "size": {"dtype": "float64", "_type": "Value"}}
    noted = json.dumps(
        {"info": {"features": features | {"key": {"names": ["a", "b"], "_type": "ClassLabel"}}}}
    ).encode()
    return mutated("json", noted, rng).data if rng.random() < 0.8 else noted


def _encoded(table: pa.Table, kind: str, rng: Random) -> bytes:
    target = io.BytesIO()
    if kind == "parquet":
        pq.write_table(
            table, target, row_group_size=_GROUP_ROWS, compression=rng.choice(("none", "snappy", "zstd", "gzip")),
            data_page_version=rng.choice(("1.0", "2.0")), write_page_checksum=rng.random() < 0.3,
        )  # fmt: skip
        return target.getvalue()
    open_writer = rng.choice((pa.ipc.new_file, pa.ipc.new_stream))
    options = pa.ipc.IpcWriteOptions(compression=rng.choice((None, "lz4", "zstd")))
    with open_writer(target, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=_GROUP_ROWS)
    return target.getvalue()


def _before_damage(whole: bytes, broken: bytes, keys: Sequence[str]) -> frozenset[str]:
    """Rows of the groups that end before the first changed byte, where the footer is as it was."""
    tail = len(parquet.parse(whole)[1]) + 8
    if len(whole) != len(broken) or whole[-tail:] != broken[-tail:]:
        return frozenset()
    metadata = pq.read_metadata(io.BytesIO(whole))
    groups = range(1, metadata.num_row_groups)
    starts = [
        min(_start(metadata.row_group(group).column(each)) for each in range(metadata.num_columns)) for group in groups
    ]
    same = _agreeing(whole, broken)
    count = _GROUP_ROWS * sum(start <= same for start in starts)
    return frozenset(keys[:count] if same < len(whole) else keys)


def _start(chunk: Any) -> int:
    return int(min(filter(None, (chunk.data_page_offset, chunk.dictionary_page_offset or 0))))


def _list(name: str, kind: str, rng: Random, *, broken: bool) -> Shard:
    keys = _keys(name, rng)
    generator = np.random.default_rng(rng.randrange(1 << 32))
    vectors = generator.normal(size=(len(keys), _DIMENSIONS)).astype(np.float32)
    rows: dict[str, Any] = {"key": keys, "url": [f"https://example.org/{key}" for key in keys], "caption": keys}
    matrix = io.BytesIO()
    if kind == "matrix.npy":
        np.save(matrix, vectors)
    else:
        rows["embedding"] = pa.array(list(vectors), pa.list_(pa.float32()))
    table = _encoded(pa.table(rows), "parquet", rng)
    beside = {"npy": matrix.getvalue()} if kind == "matrix.npy" else {}
    if not broken:
        return Shard(name, kind, {"parquet": table} | beside, tuple(keys), frozenset(keys))
    if kind == "matrix.npy" and rng.random() < 0.7:
        mutant = mutated("bytes", matrix.getvalue(), rng)
        return Shard(name, kind, {"parquet": table, "npy": mutant.data}, tuple(keys), frozenset(), mutant.steps)
    mutant = mutated("parquet", table, rng)
    files = {"parquet": mutant.data} | beside
    safe = _before_damage(table, mutant.data, keys if kind != "matrix.npy" else ())
    return Shard(name, kind, files, tuple(keys), safe, mutant.steps)


_MAKERS = {"tars": _tar, "tables": _table, "lists": _list, "matrices": _list}


def tried(shards: Sequence[Shard], family: str, *, beside: bool = True) -> Run:
    """Clean mutated shards, beside an untouched one or alone.

    Raises
    ------
    FuzzError
        The run fails, a sample before the damage is lost, a shard vanishes, or the untouched one is decided otherwise.
    """
    whole = [untouched(family)] if beside else []
    run = _run([*whole, *shards], family)
    if run.code != 0:
        _check_refusal(run, beside=beside)
        return run
    reasons = {row["key"]: row["reason"] for row in run.rows}
    for key in whole[0].keys if whole else ():
        if reasons.get(key) != alone(family)[key]:
            raise FuzzError(f"{key}, which nobody touched, is {reasons.get(key)}; alone it is {alone(family)[key]}")
    for shard in shards:
        if lost := [key for key in shard.safe if reasons.get(key, "lost") in ("lost", "damaged_shard")]:
            raise FuzzError(f"{shard.name} has lost what stands before its damage: {lost}")
        _check_silence(shard, [row for row in run.rows if row["shard"].startswith(shard.name)])
    return run


def _check_refusal(run: Run, *, beside: bool) -> None:
    """A source of which nothing can be read is refused with one line."""
    said = [line for line in run.stderr.splitlines() if line.startswith("dedupkit: ")]
    if beside or not said or ";" not in said[-1]:
        raise FuzzError(f"ended with code {run.code}: {run.stderr[-2000:]}")


def _check_silence(shard: Shard, rows: Sequence[dict[str, Any]]) -> None:
    """What a reader that is not ours still finds in a shard stands in the decisions, or it is said to be damaged."""
    if any(row["reason"] == "damaged_shard" for row in rows):
        return
    data = next(iter(shard.files.values()))
    if shard.kind == "tar":
        if lost := listed(data) & set(shard.keys) - {row["key"].rpartition("/")[2] for row in rows}:
            raise FuzzError(f"{shard.name} has lost samples without a word: {sorted(lost)}")
    elif "parquet" in shard.files and (stated := _stated_rows(data)) != len(rows):
        raise FuzzError(f"{shard.name} states {stated} rows, {len(rows)} were found, without a word")
    if not rows and shard.kind not in ("tar", "parquet") and "parquet" not in shard.files:
        raise FuzzError(f"{shard.name} has vanished: no sample of it, and no fault")


def listed(data: bytes) -> set[str]:
    """Keys of the files that Python's own reader lists, zeros in between passed over."""
    found = set()
    try:
        with tarfile.open(fileobj=io.BytesIO(data), ignore_zeros=True) as tar:
            for member in tar:
                if member.isreg():
                    found.add(member.name.partition(".")[0])
    except (tarfile.TarError, OSError, ValueError, OverflowError):
        pass
    return found


def _stated_rows(data: bytes) -> int:
    try:
        return int(pq.read_metadata(io.BytesIO(data)).num_rows)
    except (pa.ArrowException, OSError):
        return -1


@lru_cache(maxsize=4)
def alone(family: str) -> dict[str, str]:
    """What is decided about the untouched shard when nothing stands beside it."""
    return {row["key"]: row["reason"] for row in _run([untouched(family)], family).rows}


def _run(shards: Sequence[Shard], family: str) -> Run:
    with TemporaryDirectory(prefix="dedupkit-fuzz-") as scratch:
        source = Path(scratch, "source")
        source.mkdir()
        for shard in shards:
            for ending, data in shard.files.items():
                (source / f"{shard.name}.{ending}").write_bytes(data)
        only = source / f"{shards[0].name}.{next(iter(shards[0].files))}"
        form = "list" if family in ("lists", "matrices") else "parquet"
        return cleaned(only if len(shards) == 1 else source, Path(scratch, "out"), form=form)
