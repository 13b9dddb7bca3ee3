"""fastdup's result files in, without fastdup: its pairs, its clusters, its outliers and its broken files.

What the files hold is told in fastdup's own ``RUN.md`` ("Input / output formats"): ``similarity.csv`` and
``outliers.csv`` with the columns from, to and distance, which is a similarity (1 is identical);
``connected_components.csv`` with ``__id``, a number in the list of files, and ``component_id``.  The list of files is
``atrain_features.dat.csv`` (``features.dat.csv`` in older versions); where the pairs name files by number, as version
2.54 writes them, its column ``index`` says which they are: numbers of broken files are left out of it.
``component_info.csv`` counts pairs of each component, and nothing else, so it is not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv

from dedupkit.errors import UsageError
from dedupkit.interop.file_pairs import FileKeys, FoundInFiles, pairs_table
from dedupkit.sample import Reason, Tier

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

MIN_SIMILARITY = 0.96  # fastdup's own ccthreshold, from which it clusters
_LISTS = ("atrain_features.dat.csv", "features.dat.csv")
_BAD = ("atrain_features.bad.csv", "features.bad.csv", "features.dat.bad")
_FILE_COLUMNS = ("filename", "img_filename", "name", "file")


@dataclass(frozen=True, repr=False)
class FoundByFastdup(FoundInFiles):
    """What fastdup found.

    Attributes
    ----------
    components : pyarrow.Table
        ``key`` and ``component`` of each file, as ``connected_components.csv`` has them; empty without that file.
    outliers : pyarrow.Table
        ``key``, ``nearest`` and ``similarity``: files whose nearest neighbour is far, the furthest first.
    """

    components: pa.Table
    outliers: pa.Table


def duplicates_of_fastdup(
    work_dir: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    keys: Iterable[str] | None = None,
    min_similarity: float = MIN_SIMILARITY,
) -> FoundByFastdup:
    """Read what fastdup left in its working folder.

    Parameters
    ----------
    work_dir : path
        fastdup's ``work_dir``, with ``similarity.csv``.
    root : path, optional
        The folder of images that fastdup was given: keys are paths in it, as of an image folder.
    keys : iterable of str, optional
        The source's keys, where it is no image folder: a file is the sample whose key its path ends with, with or
        without ending.
    min_similarity : float
        Of pairs, in (0, 1]; 0.96 if left out, from which fastdup clusters.

    Returns
    -------
    FoundByFastdup
        Tier ``descriptor``, ``cosine`` being fastdup's similarity.  Nothing is proven; ``at(min_cosine=…)`` is
        stricter, ``overrides()`` what a cleaning run would have to drop.

    Raises
    ------
    UsageError
        A file is missing or has other columns, none of the files is a sample here, or the limit is out of range.
    """
    if not 0 < min_similarity <= 1:
        raise UsageError(f"min_similarity must be in (0, 1], got {min_similarity}; fastdup clusters from 0.96")
    folder, matching = Path(work_dir), FileKeys.of(root, keys)
    listed = _listed(folder)
    rows = [row for row in _edges(folder, "similarity.csv", listed) if row[2] >= min_similarity]
    bad = _bad_files(folder)
    far = _edges(folder, "outliers.csv", listed) if (folder / "outliers.csv").exists() else []
    named = dict.fromkeys([*listed.values(), *(path for row in (*rows, *far) for path in row[:2]), *bad])
    known, unmatched = matching.all(list(named), "fastdup")
    files = tuple(dict.fromkeys(known.values()))
    pairs = _pairs(rows, known, files)
    return FoundByFastdup(
        samples=len(files),
        pairs=pairs,
        faults={known[path]: Reason.CORRUPT_IMAGE.value for path in bad if path in known},
        max_hamming_bits=0,
        min_cosine=min_similarity,
        look_alikes=pairs.slice(0, 0),
        neighbour_recall=None,
        capped_neighbours=0,
        tool="fastdup",
        files=files,
        unmatched=unmatched,
        components=_components(folder, listed, known),
        outliers=_outliers(far, known),
    )


def _read(path: Path, wanted: tuple[str, ...]) -> pa.Table:
    try:
        table = pa.csv.read_csv(path)
    except FileNotFoundError as error:
        raise UsageError(f"{path} is not there; give the work_dir of a fastdup run") from error
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path} cannot be read: {error}; run fastdup again") from error
    if missing := [name for name in wanted if name not in table.column_names]:
        raise UsageError(f"{path} has no column {missing[0]!r}, but {table.column_names}; is it fastdup's?")
    return table


def _listed(folder: Path) -> dict[int, str]:
    """The files by the numbers that other files name them by; empty where there is no list."""
    path = next((folder / name for name in _LISTS if (folder / name).exists()), None)
    if path is None:
        return {}
    table = _read(path, ())
    numbers = table["index"].to_pylist() if "index" in table.column_names else range(table.num_rows)
    return dict(zip(numbers, _file_column(table), strict=True))


def _file_column(table: pa.Table) -> list[str]:
    name = next((each for each in _FILE_COLUMNS if each in table.column_names), table.column_names[-1])
    return [str(value) for value in table[name].to_pylist()]


def _bad_files(folder: Path) -> list[str]:
    path = next((folder / name for name in _BAD if (folder / name).exists()), None)
    return [] if path is None or not path.stat().st_size else _file_column(_read(path, ()))


def _edges(folder: Path, name: str, listed: dict[int, str]) -> list[tuple[str, str, float]]:
    """From, to and similarity, each pair once, as the file orders them."""
    table = _read(folder / name, ("from", "to", "distance"))
    ends = [table[end].to_pylist() for end in ("from", "to")]
    if pa.types.is_integer(table["from"].type) and table.num_rows:
        if not all(number in listed for numbers in ends for number in numbers):
            raise UsageError(f"{folder / name} names files by number, and {_LISTS[0]} does not list them; copy it too")
        ends = [[listed[number] for number in numbers] for numbers in ends]
    found: dict[tuple[str, str], tuple[str, str, float]] = {}
    for one, other, similarity in zip(*ends, table["distance"].to_pylist(), strict=True):
        found.setdefault((min(one, other), max(one, other)), (one, other, float(similarity)))
    return [row for row in found.values() if row[0] != row[1]]


def _pairs(rows: Sequence[tuple[str, str, float]], known: dict[str, str], files: Sequence[str]) -> pa.Table:
    place = {key: number for number, key in enumerate(files)}
    both = [row for row in rows if row[0] in known and row[1] in known]
    ends = [sorted((place[known[one]], place[known[other]])) for one, other, _ in both]
    cosines = [min(similarity, 1.0) for _, _, similarity in both]
    tiers = [Tier.DESCRIPTOR.value] * len(both)
    return pairs_table([(a, b) for a, b in ends], tiers, files, cosine=cosines)


def _components(folder: Path, listed: dict[int, str], known: dict[str, str]) -> pa.Table:
    path = folder / "connected_components.csv"
    rows: list[dict[str, Any]] = []
    if path.exists():
        table = _read(path, ("__id", "component_id"))
        for number, component in zip(table["__id"].to_pylist(), table["component_id"].to_pylist(), strict=True):
            if (path_of := listed.get(number)) in known:
                rows.append({"key": known[str(path_of)], "component": component})
    return pa.Table.from_pylist(rows, pa.schema({"key": pa.string(), "component": pa.int64()}))


def _outliers(rows: Sequence[tuple[str, str, float]], known: dict[str, str]) -> pa.Table:
    nearest: dict[str, dict[str, Any]] = {}
    for one, other, similarity in sorted(rows, key=lambda row: -row[2]):
        if one in known:
            found = {"key": known[one], "nearest": known.get(other), "similarity": similarity}
            nearest.setdefault(known[one], found)
    schema = pa.schema({"key": pa.string(), "nearest": pa.string(), "similarity": pa.float64()})
    return pa.Table.from_pylist(sorted(nearest.values(), key=lambda row: row["similarity"]), schema)
