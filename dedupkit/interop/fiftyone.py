"""Results as a dataset that FiftyOne imports without code of ours.

The format is FiftyOne's ``LegacyFiftyOneDataset``: ``metadata.json`` with the types of the fields, and ``samples.json``
with one mapping a sample.  FiftyOne itself is not needed to write it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedupkit.errors import UsageError
from dedupkit.fingerprints.decode import header
from dedupkit.interop.copies import Told, images_of, open_again, told_of
from dedupkit.options import resolve_recipe
from dedupkit.sample import Fault
from dedupkit.sources.folder import FolderSource

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from dedupkit.cleaning import Result
    from dedupkit.found import Found
    from dedupkit.recipe import Recipe
    from dedupkit.sources.base import Source

_CORE = "fiftyone.core.fields"
_TEXT, _FLOAT, _INT = f"{_CORE}.StringField", f"{_CORE}.FloatField", f"{_CORE}.IntField"
FIELDS = {
    "key": _TEXT,
    "action": _TEXT,
    "reason": _TEXT,
    "duplicate_group": _TEXT,
    "group_size": _INT,
    "kept_key": _TEXT,
    "tier": _TEXT,
    "similarity": _FLOAT,
    "score": _FLOAT,
    "hamming_bits": _INT,
}
_ENDINGS = {"jpeg": "jpg"}


def to_fiftyone(
    result: Result | Found,
    folder: str | os.PathLike[str],
    *,
    source: Any,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    name: str = "dedupkit",
) -> Path:
    """Write a result as a dataset that FiftyOne imports.

    ``fiftyone.Dataset.from_dir(dataset_dir=folder, dataset_type=fiftyone.types.LegacyFiftyOneDataset)`` reads it.

    Parameters
    ----------
    result : Result or Found
        All samples of a cleaning run, or of a search those that stand in a duplicate group.
    folder : path
        Where the dataset goes; what lies there under the same names is replaced.
    source : object
        What was cleaned or searched.  Pictures of a local image folder are named where they lie; those of any other
        source are written into ``data/``, byte for byte, hidden metadata included.
    recipe : Recipe or path of a TOML file, optional
        The one of the run: its source options and limits are used.
    name : str
        What the dataset calls itself.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    UsageError
        Of a source that cannot be read again.

    Notes
    -----
    Fields: ``key``, ``action``, ``reason``, ``duplicate_group``, ``group_size``, ``kept_key``, ``tier``, ``similarity``
    (1 for equal bytes, else the cosine), ``score`` and ``hamming_bits``; tags: action and reason.  A sample without an
    image in the source is left out.  All samples are held in memory, as FiftyOne's reader holds them too.
    """
    target = Path(folder)
    opened = open_again(source, recipe)
    told = {each.key: each for each in told_of(result)}
    target.mkdir(parents=True, exist_ok=True)
    paths = dict(_paths(opened, told, target, resolve_recipe(recipe)))
    samples = [_sample(told[key], path) for key, path in paths.items()]
    fields = {"filepath": _TEXT, "tags": f"{_CORE}.ListField({_TEXT})", **FIELDS}
    _write(target / "metadata.json", {"name": name, "media_type": "image", "sample_fields": fields, "info": {}})
    _write(target / "samples.json", {"samples": samples})
    return target


def _paths(source: Source, told: Mapping[str, Told], target: Path, recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Where the picture of each sample lies: in the source's folder, or below the target."""
    if isinstance(source, FolderSource) and source.filesystem is None:
        root = Path(source.root).resolve()
        yield from ((key, str(root / key)) for key in told if not _leads_out(key) and (root / key).is_file())
        return
    data = target / "data"
    data.mkdir(exist_ok=True)
    for number, (key, image) in enumerate(images_of(source, told)):
        facts = header(image, recipe.limits)
        kind = "bin" if isinstance(facts, Fault) else facts.format
        name = f"data/{number:08d}.{_ENDINGS.get(kind, kind)}"
        (target / name).write_bytes(image)
        yield key, name


def _leads_out(key: str) -> bool:
    return Path(key).is_absolute() or ".." in Path(key).parts


def _sample(told: Told, path: str) -> dict[str, Any]:
    values = {name: getattr(told, "group" if name == "duplicate_group" else name) for name in FIELDS}
    return {"filepath": path, "tags": [each for each in (told.action, told.reason) if each], **values}


def _write(path: Path, content: object) -> None:
    try:
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}; choose another folder") from error
