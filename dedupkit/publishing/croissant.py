"""Croissant metadata of a set in Parquet: JSON-LD that says what the files are and how to read records out of them."""

from __future__ import annotations

import json
import re
from importlib import util
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dedupkit.errors import UsageError
from dedupkit.publishing.card import title_of
from dedupkit.publishing.licenses import license_url
from dedupkit.sinks.batches import IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dedupkit.publishing.forms import Form
    from dedupkit.publishing.told import Told
    from dedupkit.recipe import Recipe

NAME = "croissant.json"
REMEDY = "pip install 'dedupkit[croissant]'"
_FILES, _RECORDS = "parquet-files", "default"


def available() -> bool:
    """Whether mlcroissant is installed; it is not imported for this."""
    return util.find_spec("mlcroissant") is not None


def check(recipe: Recipe) -> None:
    """Refuse a recipe that asks for what cannot be written.

    Raises
    ------
    UsageError
        Croissant is asked for, and mlcroissant is missing or no Parquet is written.
    """
    if recipe.card.croissant is not True:
        return
    if not {"parquet", "list"}.intersection(recipe.output.formats):
        raise UsageError(
            "[card] croissant describes Parquet, which [output] formats does not name; add parquet to formats, or "
            "leave croissant out"
        )
    if not available():
        raise UsageError(f"[card] croissant needs mlcroissant; {REMEDY}, or leave it at auto")


def croissant_text(told: Told, form: Form) -> str:
    """The content of ``croissant.json``, the same for the same report and files.

    Files are named by one pattern, so that its size and the time to read it do not grow with their number.
    Columns that Croissant has no type for, such as nested ones, are left out.
    """
    import mlcroissant as mlc

    card = told.card
    people = [mlc.Person(name=name) for name in card.creators]
    link = license_url(card.license or "", card.license_link)
    metadata = mlc.Metadata(
        name=title_of(card),
        description=card.description or f"{form.samples:,} images with captions, cleaned with dedupkit.",
        license=[link or card.license] if card.license else None,
        url=card.homepage,
        creators=people,
        cite_as=card.citation,
        date_published=card.published,
        version=card.version,
        in_language=list(card.languages) or None,
        keywords=["image", "deduplicated", "dedupkit"],
        distribution=[
            mlc.FileSet(
                id=_FILES,
                name=_FILES,
                description="The parts of the set.",
                encoding_formats=["application/x-parquet"],
                includes=["data-*.parquet"],
            )
        ],
        record_sets=[
            mlc.RecordSet(
                id=_RECORDS,
                name=_RECORDS,
                description="A sample a record.",
                fields=list(_fields(mlc, form.schema())),
            )
        ],
    )
    return json.dumps(metadata.to_json(), indent=1, ensure_ascii=False, sort_keys=False) + "\n"


def _fields(mlc: Any, schema: pa.Schema) -> Iterator[Any]:
    """A field for each column of a type that Croissant has."""
    taken: set[str] = set()
    for column in schema:
        is_list = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
        data_type = _data_type(mlc.DataType, column.type.value_type if is_list else column.type)
        name = re.sub(r"[^\w.-]", "_", column.name)
        if data_type is None or name in taken:
            continue
        taken.add(name)
        is_image = column.type == IMAGE
        yield mlc.Field(
            id=f"{_RECORDS}/{name}",
            name=f"{_RECORDS}/{name}",
            description=_MEANINGS.get(column.name, f"The source's {name}."),
            data_types=[data_type],
            repeated=is_list or None,
            source=mlc.Source(
                file_set=_FILES,
                extract=mlc.Extract(column=column.name),
                transforms=[mlc.Transform(json_path="bytes")] if is_image else [],
            ),
        )


_MEANINGS = {
    "key": "Name of the sample.",
    "image": "The picture.",
    "caption": "The caption.",
    "captions": "The caption, and those of the sample's dropped copies.",
    "width": "Pixels.",
    "height": "Pixels.",
    "group_size": "How often the picture stood in the source.",
    "weight": "How often to draw the sample.",
}


def _data_type(types: Any, arrow: pa.DataType) -> Any:
    """Croissant's type of an Arrow type; None where there is none."""
    if arrow == IMAGE:
        return types.IMAGE_OBJECT
    for is_such, found in (
        (pa.types.is_string, types.TEXT),
        (pa.types.is_large_string, types.TEXT),
        (pa.types.is_boolean, types.BOOL),
        (pa.types.is_integer, types.INTEGER),
        (pa.types.is_floating, types.FLOAT),
    ):
        if is_such(arrow):
            return found
    return None
