"""fastdup's files, written as its RUN.md ("Input / output formats") describes them, and as its version 2.54 left them.

That one numbers broken files too, and leaves them out of its list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dedupkit.errors import UsageError
from dedupkit.interop import duplicates_of_fastdup
from dedupkit.interop.overrides import Override

if TYPE_CHECKING:
    from pathlib import Path

FILES = ("/mnt/data/a.jpg", "/mnt/data/sub/b.jpg", "/mnt/data/c.jpg", "/mnt/data/d.jpg")


def write_work_dir(folder: Path, *, by_number: bool) -> Path:
    def named(number: int) -> str:
        return str(number + 1) if by_number else FILES[number]

    edges = [(0, 1, 0.99), (1, 0, 0.99), (1, 2, 0.97), (2, 3, 0.91)]
    lines = [f"{named(one)},{named(other)},{similarity}" for one, other, similarity in edges]
    (folder / "similarity.csv").write_text("\n".join(["from,to,distance", *lines]) + "\n")
    (folder / "outliers.csv").write_text(
        f"from,to,distance\n{named(3)},{named(2)},0.54312\n{named(3)},{named(0)},0.4\n"
    )
    listed = [f"{number},{file}" for number, file in enumerate(FILES, 1)]
    (folder / "atrain_features.dat.csv").write_text("\n".join(["index,filename", *listed]) + "\n")
    bad = "index,filename,error_code,filesize\n0,/mnt/data/broken.jpg,ERROR_CORRUPT_IMAGE,11\n"
    (folder / "atrain_features.bad.csv").write_text(bad)
    components = [f"{number},{component},2,0.98,0.97,0.99" for number, component in enumerate((7, 7, 7, 16), 1)]
    head = "__id,component_id,count,mean_distance,min_distance,max_distance"
    (folder / "connected_components.csv").write_text("\n".join([head, *components]) + "\n")
    return folder


@pytest.mark.parametrize("by_number", [False, True])
def test_pairs_clusters_outliers_and_broken_files_come_in(by_number: bool, tmp_path: Path) -> None:
    found = duplicates_of_fastdup(write_work_dir(tmp_path, by_number=by_number), root="/mnt/data")
    assert found.groups == [["a.jpg", "sub/b.jpg", "c.jpg"]]
    assert found.pairs["cosine"].to_pylist() == pytest.approx([0.99, 0.97])
    assert found.faults == {"broken.jpg": "corrupt_image"}
    assert found.samples == 5
    assert [row["component"] for row in found.components.to_pylist()] == [7, 7, 7, 16]
    assert found.outliers.to_pylist() == [{"key": "d.jpg", "nearest": "c.jpg", "similarity": 0.54312}]


def test_a_stricter_limit_needs_no_second_reading(tmp_path: Path) -> None:
    found = duplicates_of_fastdup(write_work_dir(tmp_path, by_number=True), root="/mnt/data")
    assert found.at(min_cosine=0.98).groups == [["a.jpg", "sub/b.jpg"]]


def test_a_file_is_dropped_only_for_one_that_stays_and_that_it_has_a_pair_with(tmp_path: Path) -> None:
    """a~b~c without a~c: b goes for a, and c stays, for b is gone."""
    found = duplicates_of_fastdup(write_work_dir(tmp_path, by_number=True), root="/mnt/data")
    assert found.overrides() == [Override("sub/b.jpg", "drop", "a copy of a.jpg, says fastdup")]


def test_files_in_tars_are_known_by_the_end_of_their_paths(tmp_path: Path) -> None:
    found = duplicates_of_fastdup(write_work_dir(tmp_path, by_number=True), keys=["a", "b", "c", "elsewhere"])
    assert found.groups == [["a", "b", "c"]]
    assert found.unmatched == ("/mnt/data/d.jpg", "/mnt/data/broken.jpg")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give root, the folder of images, or the source's keys"),
        ({"root": "/other"}, "root must be the folder it was given"),
        ({"root": "/mnt/data", "min_similarity": 1.5}, r"min_similarity must be in \(0, 1\], got 1.5"),
    ],
)
def test_what_cannot_be_is_refused_with_a_remedy(options: dict[str, object], message: str, tmp_path: Path) -> None:
    work_dir = write_work_dir(tmp_path, by_number=False)
    with pytest.raises(UsageError, match=message):
        duplicates_of_fastdup(work_dir, **options)  # type: ignore[arg-type]


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give the work_dir of a fastdup run"):
        duplicates_of_fastdup(tmp_path, root="/mnt/data")
    (tmp_path / "similarity.csv").write_text("one,two\n1,2\n")
    with pytest.raises(UsageError, match="has no column 'from'"):
        duplicates_of_fastdup(tmp_path, root="/mnt/data")
