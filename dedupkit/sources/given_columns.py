"""Which columns of a table say what would otherwise be computed from images: descriptors, hashes, digests, sizes."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyarrow import types as arrow

from dedupkit.errors import UsageError
from dedupkit.sources.columns import check_named_columns, image_columns, is_bytes, is_list, is_text

if TYPE_CHECKING:
    import pyarrow as pa

    from dedupkit.recipe import SourceOptions

URL_NAMES = ("url", "image_url", "img_url", "image_link", "link")
_EMBEDDING_NAMES = ("embedding", "image_embedding", "img_emb", "clip_embedding", "embeddings", "image_embeddings")
_EMBEDDING_WORDS = ("emb", "vector", "feature", "descriptor")
_TEXT_WORDS = ("text", "txt", "caption", "prompt")  # what captions are like says nothing about pictures
_PDQ_BYTES = 32
_WIDTHS, _HEIGHTS = ("width", "original_width"), ("height", "original_height")

_log = logging.getLogger("dedupkit")


@dataclass(frozen=True, slots=True)
class GivenColumns:
    """Columns of a table by what they hold; None where there is none.

    Attributes
    ----------
    url : str or None
        Where an image comes from.
    embedding : str or None
        Lists of floating-point numbers.
    phash, pdq : str or None
        Perceptual hashes: integers, bytes or hexadecimal text.  One column that may hold either kind is both.
    sha256, md5 : str or None
        Digests of the encoded image: bytes or hexadecimal text.
    width, height : str or None
        Pixels.
    """

    url: str | None = None
    embedding: str | None = None
    phash: str | None = None
    pdq: str | None = None
    sha256: str | None = None
    md5: str | None = None
    width: str | None = None
    height: str | None = None

    def names(self) -> list[str]:
        """The columns there are, each once."""
        return list(dict.fromkeys(name for field in self.__slots__ if (name := getattr(self, field)) is not None))

    @property
    def hash_kind(self) -> str | None:
        """The kind of perceptual hash; None where there is none, or only the values tell."""
        if (self.phash is None) == (self.pdq is None):
            return None
        return "phash" if self.pdq is None else "pdq"


def find_given(schema: pa.Schema, options: SourceOptions, source: str, *, has_matrix: bool) -> GivenColumns | None:
    """The columns that make a table one whose images need not be decoded; None for any other table.

    It is one where `options` name a column of embeddings or hashes; or where no column holds images, and there is
    one of embeddings, a matrix beside the table, or a named column of URLs.  What was guessed is logged.

    Parameters
    ----------
    schema : pyarrow.Schema
        Of the table.
    options : SourceOptions
        Names that the caller gives.
    source : str
        What the table is called in messages.
    has_matrix : bool
        Whether embeddings stand in a matrix beside it.

    Raises
    ------
    UsageError
        If a named column is not there or is of another type, or several may hold embeddings.
    """
    check_named_columns(schema, options, source)
    named = options.embedding_column or options.hash_column
    has_images = options.image_column is not None or bool(image_columns(schema))
    if has_images and not named:
        return None
    guess = None if has_matrix or named else _guess_embedding(schema, source)
    embedding = options.embedding_column or guess
    if not (embedding or has_matrix or options.hash_column or options.url_column):
        return None
    columns = _columns(schema, options, embedding)
    _check_types(schema, columns, source)
    embeddings = "the .npy beside it" if has_matrix and embedding is None else f"column {embedding}"
    told = (source, embeddings, columns.phash or columns.pdq, columns.url)
    _log.info("%s: no image is decoded; embeddings from %s, hashes from %s, URLs from %s", *told)
    return columns


def _columns(schema: pa.Schema, options: SourceOptions, embedding: str | None) -> GivenColumns:
    phash, pdq = _hash_columns(schema, options.hash_column)
    return GivenColumns(
        url=options.url_column or url_column(schema),
        embedding=embedding,
        phash=phash,
        pdq=pdq,
        sha256=_named(schema, ("sha256",)),
        md5=_named(schema, ("md5",)),
        width=_named(schema, _WIDTHS, numbers=True),
        height=_named(schema, _HEIGHTS, numbers=True),
    )


def url_column(schema: pa.Schema) -> str | None:
    """The column of URLs, by its name."""
    return _named(schema, URL_NAMES)


def _named(schema: pa.Schema, names: tuple[str, ...], *, numbers: bool = False) -> str | None:
    """The first column of some names, in any case, that holds text or bytes, or numbers."""
    called = {field.name.lower(): field for field in reversed(list(schema))}
    fits = arrow.is_integer if numbers else _is_text_or_bytes
    return next((called[name].name for name in names if name in called and fits(called[name].type)), None)


def _guess_embedding(schema: pa.Schema, source: str) -> str | None:
    lists = [field.name for field in schema if _holds_vectors(field.type)]
    for name in _EMBEDDING_NAMES:
        if name in lists:
            return name
    likely = [name for name in lists if _has_word(name, _EMBEDDING_WORDS) and not _has_word(name, _TEXT_WORDS)]
    if len(likely) > 1:
        names = ", ".join(likely)
        raise UsageError(f"{source} has several columns that may hold embeddings: {names}; name embedding_column")
    return likely[0] if likely else None


def _has_word(name: str, words: tuple[str, ...]) -> bool:
    return any(word in name.lower() for word in words)


def _hash_columns(schema: pa.Schema, named: str | None) -> tuple[str | None, str | None]:
    """Columns of pHashes and of PDQ hashes; a named one goes by its name, then by its type."""
    if named is None:
        hashes = [field.name for field in schema if _is_hash(field.type) and "quality" not in field.name.lower()]
        phash, pdq = (next((name for name in hashes if word in name.lower()), None) for word in ("phash", "pdq"))
        return phash, pdq
    kind, called = _type(schema, named), named.lower()
    if "phash" in called or arrow.is_integer(kind):
        return named, None
    is_wide = arrow.is_fixed_size_binary(kind) and kind.byte_width == _PDQ_BYTES
    return (None, named) if "pdq" in called or is_wide else (named, named)


def _check_types(schema: pa.Schema, columns: GivenColumns, source: str) -> None:
    wanted = {
        "embedding_column": (columns.embedding, _holds_vectors, "one of lists of floating-point numbers"),
        "hash_column": (columns.phash or columns.pdq, _is_hash, "one of integers, bytes or hexadecimal text"),
        "url_column": (columns.url, _is_text_or_bytes, "one of text"),
    }
    for option, (name, fits, what) in wanted.items():
        if name is not None and not fits(_type(schema, name)):
            raise UsageError(f"column {name!r} of {source} is {_type(schema, name)}; {option} must name {what}")


def _type(schema: pa.Schema, name: str) -> pa.DataType:
    return schema.types[schema.names.index(name)]


def _holds_vectors(kind: pa.DataType) -> bool:
    return is_list(kind) and bool(arrow.is_floating(kind.value_type))


def _is_hash(kind: pa.DataType) -> bool:
    return bool(arrow.is_int64(kind) or arrow.is_uint64(kind)) or _is_text_or_bytes(kind)


def _is_text_or_bytes(kind: pa.DataType) -> bool:
    return is_text(kind) or is_bytes(kind) or bool(arrow.is_fixed_size_binary(kind))
