"""Captions over a whole set: those of dropped copies merged, those that stand over different pictures counted."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedupkit.errors import UsageError
from dedupkit.sample import Action, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from dedupkit.recipe import Captions

STAGE = "captions/1"
REPEATED = pa.schema(
    {
        "caption": pa.string(),  # as it stands first
        "normal_form": pa.string(),
        "pictures": pa.int64(),  # different ones that it stands over
        "samples": pa.int64(),
    }
)
_BETWEEN_WORDS = r"[\p{P}\p{Z}\p{C}\s]+"  # RE2: punctuation, separators, controls
_CHUNK = 1 << 20  # rows of a chunk of lists; two billion bytes of text would not fit in one


def normal_forms(captions: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
    """Captions less what does not make them different: case, white space, punctuation, compatible characters.

    Parameters
    ----------
    captions : pyarrow.Array or ChunkedArray of string

    Returns
    -------
    pyarrow.ChunkedArray of large_string
        Null where nothing is left, and where there is no caption.

    Examples
    --------
    >>> normal_forms(pa.array(["A frog.", "a  FROG", "...", None])).to_pylist()
    ['a frog', 'a frog', None, None]
    """
    whole = pa.chunked_array(captions) if isinstance(captions, pa.Array) else captions
    text = pc.utf8_lower(pa.chunked_array([_composed(chunk) for chunk in whole.chunks], pa.large_string()))
    text = pc.utf8_trim_whitespace(pc.replace_substring_regex(text, pattern=_BETWEEN_WORDS, replacement=" "))
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.large_string()), text)


def _composed(captions: pa.Array) -> pa.Array:
    """Captions in the form NFKC; by Python, as Arrow before 26 leaves them decomposed."""
    return pa.array([each and normalize("NFKC", each) for each in captions.to_pylist()], pa.large_string())


def caption_digest(normal_form: str) -> int:
    """64 bits of a caption's normal form."""
    return int.from_bytes(hashlib.blake2b(normal_form.encode(), digest_size=8).digest(), "little")


def repeated_captions(
    captions: pa.ChunkedArray, groups: pa.ChunkedArray | None = None, *, min_repeats: int = 2
) -> pa.Table:
    """Captions that stand over different pictures.

    A model sees such a caption as often as all its pictures together, though each of them may stand there once.

    Parameters
    ----------
    captions : pyarrow.ChunkedArray of string
        One a sample.
    groups : pyarrow.ChunkedArray of integer, optional
        Number of each sample's duplicate group, null outside one: the samples of a group are one picture.  Without,
        every sample is a picture of its own.
    min_repeats : int
        Least number of different pictures.

    Returns
    -------
    pyarrow.Table
        In the schema `REPEATED`; most pictures first, then the caption that stands first.

    Raises
    ------
    UsageError
        If there is not one group a caption.

    Notes
    -----
    Captions of one `normal_forms` are the same.  Takes about 150 bytes a sample besides twice the text itself, and two
    to three microseconds a sample.

    Examples
    --------
    >>> captions = pa.chunked_array([["A frog.", "a frog", "A frog!", "A hen."]])
    >>> repeated_captions(captions, pa.chunked_array([[7, 7, None, None]]))["pictures"].to_pylist()
    [2]
    """
    if groups is not None and len(groups) != len(captions):
        raise UsageError(
            f"groups must be as many as captions, got {len(groups)} for {len(captions)}; take both from the same rows"
        )
    forms, code = _coded(normal_forms(captions))
    with_caption = np.flatnonzero(code >= 0)
    code, picture = code[with_caption], _pictures(groups, len(captions))[with_caption]
    once = np.unique(code * np.int64(2 * len(captions)) + picture) // max(2 * len(captions), 1)
    pictures, samples = (np.bincount(each, minlength=len(forms)) for each in (once, code))
    chosen = np.flatnonzero(pictures >= min_repeats)
    chosen = chosen[np.argsort(-pictures[chosen], kind="stable")]  # codes are in the order of first appearance
    first = np.full(len(forms), -1, dtype=np.int64)
    first[code[::-1]] = with_caption[::-1]
    columns = [captions.take(pa.array(first[chosen])), forms.take(pa.array(chosen)), pictures[chosen], samples[chosen]]
    return pa.table([_as(values, field.type) for values, field in zip(columns, REPEATED, strict=True)], schema=REPEATED)


def merged_captions(decisions: pa.Table, captions: pa.ChunkedArray, max_captions: int) -> pa.Table:
    """Captions of the samples that stay: their own, then those of the copies that were dropped for them.

    Parameters
    ----------
    decisions : pyarrow.Table
        In the schema of `dedupkit.sample.DECISIONS`; at least key, action, reason and kept_key.
    captions : pyarrow.ChunkedArray of string
        One a decision.
    max_captions : int
        Most captions of a sample.

    Returns
    -------
    pyarrow.Table
        One row a decision: ``captions``, a list of strings, null of what does not stay; and ``left_out``, how many more
        different ones there are.  Copies follow in their order in the source; of captions of one `normal_forms` the
        first counts.  Look-alikes are no copies, and give nothing.

    Raises
    ------
    UsageError
        If there is not one caption a decision, or `max_captions` is not 1 or more.

    Notes
    -----
    Takes about 150 bytes a sample besides three times the text itself, and some three microseconds a sample.

    Examples
    --------
    >>> decisions = pa.table({
    ...     "key": ["a", "b", "c"], "action": ["drop", "keep", "keep"],
    ...     "reason": ["exact_duplicate", "representative", "unique"], "kept_key": ["b", None, None],
    ... })
    >>> captions = pa.chunked_array([["My frog", "A frog.", None]])
    >>> merged_captions(decisions, captions, 20)["captions"].to_pylist()
    [None, ['A frog.', 'My frog'], []]
    """
    if max_captions < 1:
        raise UsageError(f"max_captions must be 1 or more, got {max_captions}")
    if len(captions) != decisions.num_rows:
        raise UsageError(
            f"captions must be as many as decisions, got {len(captions)} for {decisions.num_rows}; take both of the "
            "same shards"
        )
    row, owner = _given(decisions)
    _, code = _coded(normal_forms(captions))
    row, owner = row[code[row] >= 0], owner[code[row] >= 0]
    order = np.lexsort((row, row != owner, owner))  # own caption first, then in the order of the source
    row, owner = _first_of_each(row[order], owner[order], code[row[order]])
    counts = np.bincount(owner, minlength=len(captions))
    place = np.arange(len(owner)) - (np.cumsum(counts) - counts)[owner]
    row = row[place < max_captions]
    taken = np.minimum(counts, max_captions)
    stays = pc.equal(decisions["action"], Action.KEEP.value).to_numpy()
    lists = pa.chunked_array(list(_lists(captions, row, taken, stays)), pa.list_(pa.string()))
    return pa.table({"captions": lists, "left_out": pa.array((counts - taken).astype(np.uint32))})


def rewritten(
    captions: pa.ChunkedArray, repeated: pa.Table, options: Captions, facts: Mapping[str, pa.Array | pa.ChunkedArray]
) -> pa.ChunkedArray:
    """Captions in which those that stand over many pictures are rewritten or left out, as the options say.

    Parameters
    ----------
    captions : pyarrow.ChunkedArray of string, or of list of string
        One, or one list, a sample.
    repeated : pyarrow.Table
        What `repeated_captions` gives, of the whole set.
    options : Captions
        Of which `repeated` and `template` count.
    facts : mapping of str to pyarrow.Array or ChunkedArray
        ``key``, ``width`` and ``height``, which the template may name, one a sample.

    Returns
    -------
    pyarrow.ChunkedArray
        Of the type of `captions`.  A caption that is left out is null; out of a list it goes.

    Examples
    --------
    >>> from dedupkit.recipe import Captions
    >>> captions = pa.chunked_array([["A frog.", "a frog", "A hen."]])
    >>> facts = {"key": pa.array(["x", "y", "z"]), "width": pa.array([64] * 3), "height": pa.array([48] * 3)}
    >>> options = Captions(repeated="template", template="{caption} {width} x {height}")
    >>> rewritten(captions, repeated_captions(captions), options, facts).to_pylist()
    ['A frog. 64 x 48', 'a frog 64 x 48', 'A hen.']
    """
    if options.repeated == "report" or not repeated.num_rows:
        return captions
    if not pa.types.is_list(captions.type):
        return _rewritten(captions, repeated, options, facts)
    lists = pa.concat_arrays([pa.array([], captions.type), *captions.chunks])
    parent = pc.list_parent_indices(lists)
    of_parent = {name: each.take(parent) for name, each in facts.items()}
    texts = _rewritten(pa.chunked_array([pc.list_flatten(lists)]), repeated, options, of_parent)
    stays = texts.is_valid().to_numpy()
    sizes = np.bincount(parent.to_numpy()[stays], minlength=len(lists))
    return pa.chunked_array([_list_array(sizes, texts.drop_null(), lists.is_null().to_numpy(zero_copy_only=False))])


def _rewritten(
    captions: pa.ChunkedArray, repeated: pa.Table, options: Captions, facts: Mapping[str, Any]
) -> pa.ChunkedArray:
    known = repeated["normal_form"].combine_chunks().cast(pa.large_string())
    again = pc.is_in(normal_forms(captions), value_set=known)  # null is in none
    if options.repeated == "drop_caption":
        return pc.if_else(again, pa.scalar(None, pa.string()), captions)
    rows = pc.filter(pa.table({"caption": captions, **facts}), again).to_pylist()
    fresh = pa.array([options.template.format(**row) for row in rows], pa.string())
    return pa.chunked_array([pc.replace_with_mask(captions.combine_chunks(), again.combine_chunks(), fresh)])


def _coded(forms: pa.ChunkedArray) -> tuple[pa.Array, NDArray[np.int64]]:
    """Different normal forms in the order of their first appearance, and the number of each row's; -1 for null."""
    coded = forms.combine_chunks().dictionary_encode()
    coded = pa.chunked_array(coded) if isinstance(coded, pa.Array) else coded
    if not coded.num_chunks:
        return pa.array([], pa.large_string()), np.empty(0, dtype=np.int64)
    coded = coded.unify_dictionaries()
    numbers = [pc.fill_null(chunk.indices, -1).to_numpy() for chunk in coded.chunks]
    return coded.chunk(0).dictionary, np.concatenate(numbers).astype(np.int64)


def _pictures(groups: pa.ChunkedArray | None, samples: int) -> NDArray[np.int64]:
    """A number below 2 n for the picture of each sample."""
    alone = np.arange(samples, 2 * samples)
    if groups is None:
        return alone
    coded = pc.index_in(groups, value_set=groups.unique().drop_null())
    return np.where(groups.is_valid(), pc.fill_null(coded, -1).to_numpy(), alone).astype(np.int64)


def _given(decisions: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows whose captions are used, and the row of the sample that stays with each; itself, of one that stays."""
    stays = np.flatnonzero(pc.equal(decisions["action"], Action.KEEP.value).to_numpy())
    is_copy = pc.and_(
        pc.and_(pc.equal(decisions["action"], Action.DROP.value), decisions["kept_key"].is_valid()),
        pc.not_equal(decisions["reason"], Reason.LOOK_ALIKE.value),
    )
    dropped = np.flatnonzero(is_copy.to_numpy())
    names = pc.take(decisions["kept_key"], pa.array(dropped))
    wanted = names.unique()  # a few keys, instead of a table of all
    named = pc.fill_null(pc.index_in(decisions["key"].take(pa.array(stays)), value_set=wanted), -1).to_numpy()
    row_of = np.full(len(wanted) + 1, -1, dtype=np.int64)
    row_of[named] = stays
    owner = row_of[:-1][pc.index_in(names, value_set=wanted).to_numpy()]
    found = owner >= 0
    return np.concatenate([stays, dropped[found]]), np.concatenate([stays, owner[found]])


def _first_of_each(
    row: NDArray[np.int64], owner: NDArray[np.int64], code: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first row of each caption of each owner, in the order given."""
    most = int(code.max(initial=0)) + 1
    _, first = np.unique(owner * most + code, return_index=True)
    first.sort()
    return row[first], owner[first]


def _lists(
    captions: pa.ChunkedArray, row: NDArray[np.int64], taken: NDArray[np.int64], stays: NDArray[np.bool_]
) -> Sequence[pa.ListArray]:
    """Lists of captions, a chunk after the other."""
    ends = np.cumsum(taken)
    found = []
    for start in range(0, len(taken), _CHUNK):
        stop = min(start + _CHUNK, len(taken))
        texts = captions.take(pa.array(row[ends[start] - taken[start] : ends[stop - 1]]))
        found.append(_list_array(taken[start:stop], texts, ~stays[start:stop]))
    return found


def _list_array(sizes: NDArray[np.int64], texts: pa.ChunkedArray, missing: NDArray[np.bool_]) -> pa.ListArray:
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    values = pa.concat_arrays([pa.array([], pa.string()), *texts.chunks])
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=pa.array(missing))


def _as(values: Sequence[int] | NDArray[np.int64] | pa.Array | pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if isinstance(values, pa.ChunkedArray):
        return values.cast(kind)
    return pa.chunked_array([pa.array(values).cast(kind)])
