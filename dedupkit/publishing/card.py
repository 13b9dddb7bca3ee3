"""A dataset card: ``README.md`` with the YAML header that the Hugging Face Hub reads, beside the parts of a set."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from dedupkit.publishing.licenses import OTHER, license_url

if TYPE_CHECKING:
    from dedupkit.publishing.forms import Form
    from dedupkit.publishing.told import Told
    from dedupkit.recipe import Card

NAME = "README.md"
MARK = "<!-- written by dedupkit; without this line it is left alone -->"
# the Hub's own names of ranges, each ten times the one before it; the last of these ends at 10**12
_ENDS = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#!|~])")


def card_text(told: Told, form: Form, croissant: str) -> str:
    """The card of a set in one of its forms.

    Parameters
    ----------
    told : Told
        The run that made it.
    form : Form
        The files that the card stands beside.
    croissant : str
        "made"; "missing", if only the package is; or "none".

    Returns
    -------
    str
        Markdown, the same for the same report and files.
    """
    body = _template().render(
        told=told,
        card=told.card,
        form=form,
        title=title_of(told.card),
        license_url=license_url(told.card.license or "", told.card.license_link),
        croissant=croissant,
        mark=MARK,
    )
    return f"---\n{_header(told, form)}\n---\n{body}"


@cache
def _template() -> Any:
    """The card's template, which takes as long to read as the rest of a small card does to write."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dedupkit.publishing"),
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"escaped": escaped, "fenced": fenced, "number": "{:,}".format}
    return environment.get_template("README.md.j2")


def title_of(card: Card) -> str:
    """What the set is called."""
    return card.title or "A cleaned set of captioned images"


def escaped(text: str) -> str:
    """Text as Markdown shows it and nothing else: one line, no markup, no HTML.

    Examples
    --------
    >>> print(escaped("a_b <img src=x>"))
    a\\_b &lt;img src=x&gt;
    """
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", line)


def fenced(text: str, language: str = "") -> str:
    """Text as a block of code that nothing in it can end."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text.strip()}\n{fence}"


def size_category(samples: int) -> str:
    """The Hub's name of the range that a number of samples lies in.

    Examples
    --------
    >>> [size_category(count) for count in (0, 999, 1000, 250_000, 10**12)]
    ['n<1K', 'n<1K', '1K<n<10K', '100K<n<1M', 'n>1T']
    """
    if samples < 1000:
        return "n<1K"
    place = len(str(samples)) - 3  # thousands are the first range that has two ends
    return f"{_ENDS[place - 1]}<n<{_ENDS[place]}" if place < len(_ENDS) else "n>1T"


def _header(told: Told, form: Form) -> str:
    """The YAML between the card's lines of dashes."""
    from huggingface_hub.repocard_data import DatasetCardData

    card = told.card
    said: dict[str, Any] = {
        "license": card.license,
        "license_name": "custom" if card.license == OTHER else None,
        "license_link": card.license_link,
        "language": list(card.languages) or None,
        "pretty_name": title_of(card),
        "size_categories": [size_category(form.samples)],
        "task_categories": ["text-to-image"],
        "tags": ["image", "deduplicated", "dedupkit", *_tags(form)],
        "configs": _configs(form),
    }
    data = DatasetCardData(**{name: value for name, value in said.items() if value is not None})
    if form.is_parquet:
        _describe_columns(data, form)
    return str(data.to_yaml(line_break="\n")).strip()


def _tags(form: Form) -> list[str]:
    return {"webdataset": ["webdataset"], "mds": ["mosaicml-streaming"]}.get(form.format, [])


def _configs(form: Form) -> list[dict[str, Any]] | None:
    """Which files the Hub and `datasets.load_dataset` take; None for forms that neither of them opens by a pattern."""
    pattern = {"parquet": "data-*.parquet", "list": "data-*.parquet", "webdataset": "*.tar"}.get(form.format)
    if pattern is None:
        return None
    return [{"config_name": "default", "data_files": [{"split": "train", "path": pattern}]}]


def _describe_columns(data: Any, form: Form) -> None:
    """Put the features and the size of the split into the header, as `datasets` writes them."""
    from datasets import DatasetInfo, Features, SplitDict, SplitInfo
    from datasets.info import DatasetInfosDict

    split = SplitInfo("train", num_bytes=form.byte_size, num_examples=form.samples)
    splits = SplitDict({"train": split})
    features = Features.from_arrow_schema(form.schema())
    info = DatasetInfo(features=features, splits=splits, download_size=form.byte_size, dataset_size=form.byte_size)
    DatasetInfosDict(default=info).to_dataset_card_data(data)
