"""CleanVision's findings in, without CleanVision: sets of copies, and what it says is wrong with single images.

Its ``Imagelab.issues`` has a row a file and for each kind of issue ``is_KIND_issue`` and ``KIND_score``;
``Imagelab.info`` has the sets of exact and near duplicates.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedupkit.errors import UsageError
from dedupkit.interop.file_pairs import FileKeys, FoundInFiles, pairs_table, sets_as_pairs
from dedupkit.interop.overrides import Override
from dedupkit.sample import Tier

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SETS = {"exact_duplicates": Tier.EXACT, "near_duplicates": Tier.PERCEPTUAL}


def duplicates_of_cleanvision(
    info: Mapping[str, Any],
    *,
    root: str | os.PathLike[str] | None = None,
    keys: Iterable[str] | None = None,
) -> FoundInFiles:
    """Read CleanVision's sets of exact and near duplicates.

    Parameters
    ----------
    info : mapping
        ``Imagelab.info``.
    root : path, optional
        The folder of images that CleanVision was given: keys are paths in it, as of an image folder.
    keys : iterable of str, optional
        The source's keys, where it is no image folder.

    Returns
    -------
    FoundInFiles
        Each member of a set is paired with its first: tier ``exact``, or ``perceptual`` for equal perceptual hashes.
        `samples` counts the files in sets, which are all it names.

    Raises
    ------
    UsageError
        There are no sets in it, or none of the files is a sample here.

    Examples
    --------
    >>> info = {"exact_duplicates": {"sets": [["/photos/a.jpg", "/photos/b.jpg"]]}}
    >>> duplicates_of_cleanvision(info, root="/photos").groups
    [['a.jpg', 'b.jpg']]
    """
    sets = {name: info[name]["sets"] for name in _SETS if name in info}
    if not sets:
        raise UsageError("info has neither exact_duplicates nor near_duplicates; give Imagelab.info after find_issues")
    paths = [str(path) for groups in sets.values() for group in groups for path in group]
    known, unmatched = FileKeys.of(root, keys).all(list(dict.fromkeys(paths)), "CleanVision")
    files = tuple(dict.fromkeys(known.values()))
    place = {key: number for number, key in enumerate(files)}
    rows = [
        row
        for name, groups in sets.items()
        for row in sets_as_pairs(
            [[place[known[path]] for path in map(str, group) if path in known] for group in groups], _SETS[name]
        )
    ]
    bits = [None if tier == Tier.EXACT else 0 for _, _, tier in rows]
    pairs = pairs_table([row[:2] for row in rows], [row[2] for row in rows], files, hamming_bits=bits)
    return FoundInFiles(
        samples=len(files),
        pairs=pairs,
        faults={},
        max_hamming_bits=0,
        min_cosine=1.0,
        look_alikes=pairs.slice(0, 0),
        neighbour_recall=None,
        capped_neighbours=0,
        tool="CleanVision",
        files=files,
        unmatched=unmatched,
    )


def overrides_of_cleanvision(
    issues: Any,
    *,
    kinds: Iterable[str],
    root: str | os.PathLike[str] | None = None,
    keys: Iterable[str] | None = None,
) -> list[Override]:
    """Drop what CleanVision found something wrong with.

    Parameters
    ----------
    issues : pandas.DataFrame, or path
        ``Imagelab.issues``, or the ``issues.csv`` that ``Imagelab.save`` writes.
    kinds : iterable of str
        Which issues count: ``dark``, ``light``, ``blurry``, ``low_information``, ``odd_aspect_ratio``, ``odd_size``,
        ``grayscale``.
    root : path, optional
        The folder of images that CleanVision was given: keys are paths in it, as of an image folder.
    keys : iterable of str, optional
        The source's keys, where it is no image folder.

    Returns
    -------
    list of Override
        One a file, with the kinds and their scores.

    Raises
    ------
    UsageError
        A kind was not looked for, or is one of duplicates, of which the issues do not say whose.
    """
    frame = _frame(issues)
    wanted = list(kinds)
    for kind in wanted:
        if kind in _SETS:
            raise UsageError(
                f"issues do not say whose {kind} a file is; give Imagelab.info to duplicates_of_cleanvision"
            )
        if f"is_{kind}_issue" not in frame.columns:
            there = ", ".join(str(name)[3:-6] for name in frame.columns if str(name).startswith("is_"))
            raise UsageError(f"kinds names {kind!r}, which CleanVision did not look for; it has {there or 'none'}")
    found = {str(path): _said(row, wanted) for path, row in zip(frame.index, frame.to_dict("records"), strict=True)}
    faulty = [path for path, said in found.items() if said]
    known, _ = FileKeys.of(root, keys).all(faulty, "CleanVision")
    return [Override(key, "drop", f"{found[path]}, says CleanVision") for path, key in known.items()]


def _frame(issues: Any) -> Any:
    if not isinstance(issues, (str, os.PathLike)):
        return issues
    import pandas as pd

    try:
        return pd.read_csv(Path(issues), index_col=0)
    except (OSError, ValueError) as error:
        raise UsageError(f"{issues} cannot be read: {error}; give the issues.csv that Imagelab.save wrote") from error


def _said(row: Mapping[Any, Any], kinds: list[str]) -> str:
    there = [kind for kind in kinds if row[f"is_{kind}_issue"] in (True, "True")]
    return ", ".join(f"{kind.replace('_', ' ')} ({float(row.get(f'{kind}_score', 0)):.2f})" for kind in there)
