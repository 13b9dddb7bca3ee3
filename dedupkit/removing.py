"""Takedown: pictures are removed, with all their versions, from a set that was cleaned before."""

from __future__ import annotations

import os
import re
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dedupkit.engines.opening import check_reach, open_engine
from dedupkit.erasing import erase
from dedupkit.errors import UsageError
from dedupkit.examples import ExampleSource, block_examples, fingerprint_examples
from dedupkit.fingerprints.stage import fingerprint_shard
from dedupkit.journey import Journey
from dedupkit.outfolder import PUBLISHED, alone_in, of_others
from dedupkit.parts import Part, make_part, read_table, silent, table_name, write_table
from dedupkit.recipe import Blocklist, Limits, Recipe
from dedupkit.sample import DECISIONS, EVIDENCE, FINGERPRINTS, ROW_BITS, Action, Reason, Tier
from dedupkit.sinks import FORMATS, make_sink
from dedupkit.sinks.emitted import EmittedSource
from dedupkit.sinks.names import file_name
from dedupkit.sources.given_columns import URL_NAMES
from dedupkit.storage import Folder, Stage
from dedupkit.takedown import PLAN, taken_down
from dedupkit.temporary import TemporaryFolder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dedupkit.engines import Engine
    from dedupkit.parts import Observer


@dataclass(frozen=True, slots=True)
class Removed:
    """What a takedown removed.

    Attributes
    ----------
    out : str
        The output folder.
    decisions : pyarrow.Table
        The new decisions about what went, in the schema of `dedupkit.sample.DECISIONS`; also of samples that had been
        dropped as copies before.
    keys : tuple of str
        Keys of the samples that stood in the set until now.
    """

    out: str
    decisions: pa.Table
    keys: tuple[str, ...]


def remove(
    out: str | os.PathLike[str],
    like: Sequence[str | os.PathLike[str]] = (),
    *,
    urls: Sequence[str] = (),
    keys: Sequence[str] = (),
    sha256: Sequence[str] = (),
    engine: Engine | str | None = None,
    progress: Observer | None = None,
) -> Removed:
    """Remove pictures and all their copies from a set that `dedupkit.clean` wrote, and nothing else.

    Parameters
    ----------
    out : path or URL
        The output folder of a run of `clean` that ended well; the source it came from is not needed.
    like : sequence of path
        The pictures: images, and folders and tars of images, in whatever version there is.
    urls, keys, sha256 : sequence of str
        Samples by a URL among their fields, by key, and by the digest of their bytes in the source, in hexadecimal;
        of these too all versions go, of those that stand in the set.
    engine : Engine, "local" or "ray", optional
        Where tasks run; this machine if left out.  See docs/ray.md.
    progress : callable, optional
        Told of progress with a `dedupkit.parts.Progress`.

    Returns
    -------
    Removed

    Raises
    ------
    UsageError
        `out` holds no cleaned set of images, a picture cannot be decoded, or a digest is none.

    Notes
    -----
    All fingerprints in `out` are read once, 700 bytes a sample, and of the set itself the images that geometry has to
    look at; ``urls`` reads all of it.  A set that was cleaned with the preset fast has no descriptors: its images are
    decoded and described once.  Only files that hold something of what goes are written anew, each atomically; a
    removal that was killed is finished by the next.  ``takedown.parquet`` in `out` keeps the fingerprints, not the
    pictures, of what went, so that a later `clean` into the same folder lets none of it in again.

    Examples
    --------
    >>> import tempfile, dedupkit
    >>> from dedupkit.demo import example_images
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first = min(example_images().rglob("*.jpg"))
    ...     cleaned = dedupkit.clean(example_images(), folder)
    ...     len(dedupkit.remove(folder, like=[first]).keys)
    1
    """
    if not (like or urls or keys or sha256):
        raise UsageError("nothing is named to be removed; give pictures, keys, URLs or digests")
    folder = _checked(out)
    digests = {_digest(each) for each in sha256}
    pictures = tuple(os.fspath(each) for each in like)
    ExampleSource.of(pictures, Limits().max_bytes)  # fails for what is not there
    with open_engine(engine) as workforce, alone_in(folder):
        if folder.below(".dedupkit").exists(PLAN):
            erase(folder)  # of a removal that was killed
        search = _Search(folder, workforce, progress or silent)
        hits = search.named(set(urls), set(keys), digests)
        with TemporaryFolder() as scratch:
            written = search.write_images(hits, Path(scratch))
            if written:
                pictures = (*pictures, scratch)
            if pictures:
                hits = {at: _named_by_key(hit, written) for at, hit in search.shown(pictures).items()} | hits
        plan = search.plan(hits)
        stood = tuple(search.keys_that_stood(plan))
        if plan.num_rows:
            taken_down(folder, search.prints_of(plan))
            folder.below(".dedupkit").remove(PLAN)
            with folder.below(".dedupkit").writing(PLAN) as handle:
                pq.write_table(plan, handle)
            erase(folder)
    return Removed(str(out), plan, stood)


def _checked(out: str | os.PathLike[str]) -> Folder:
    folder = Folder.at(out)
    if not folder.exists(".dedupkit/dedupkit.json"):
        raise UsageError(f"{out} is no output of dedupkit clean; name the folder it wrote")
    missing = [name for name in PUBLISHED if not name.startswith("dataset/") and not folder.exists(name)]
    if missing:
        raise UsageError(f"{out} has no {missing[0]}: its run did not end; run dedupkit clean again first")
    if not any(folder.exists(make_sink(format).folder) for format in FORMATS):
        raise UsageError(f"{out} holds a list, no images; block in the recipe what must not stay and clean it again")
    if others := of_others(folder):
        raise UsageError(
            f"{out}/{others[0]} was written by a plugin and cannot be written anew without what goes; "
            "clean again without that format first"
        )
    return folder


def _digest(text: str) -> bytes:
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise UsageError(f"sha256 must be 64 hexadecimal digits, got {text!r}")
    return digest


def _named_by_key(hit: dict[str, Any], written: dict[str, str]) -> dict[str, Any]:
    """A hit that speaks of the key where the picture it shows is one of the set's own."""
    found = _OWN_PICTURE.search(hit["detail"])
    key = written.get(found[1]) if found else None
    if found is None or key is None:
        return hit
    said = f"{key}, which was taken down"
    return hit | {"detail": hit["detail"][: found.start()] + said + hit["detail"][found.end() :]}


_OWN_PICTURE = re.compile(r"example (\d{6}-.+?)(?=\)?: )")  # as `write_images` names them
Hits = dict[int, dict[str, Any]]
"""Tier, evidence and detail by position."""


class _Search:
    """The samples of a cleaned set that show what is to go."""

    def __init__(self, folder: Folder, engine: Engine, observe: Observer) -> None:
        self._folder, self._work, self._engine, self._observe = folder, folder.below(".dedupkit"), engine, observe
        with folder.reading("decisions.parquet") as handle:
            self._decisions = pq.read_table(handle)
        self._position = self._decisions["position"].to_numpy()
        self._recipe = _recipe_of(folder)
        self._source = self._emitted()

    def _emitted(self) -> EmittedSource:
        """The set in the form that is quickest to read."""
        format = next(each for each in FORMATS if self._folder.exists(make_sink(each).folder))
        sink = make_sink(format)
        shard = self._position >> np.uint64(ROW_BITS)
        numbers = range(len(_stage(self._work, "fingerprints").parts.names()))
        keys = [self._decisions["key"].filter(pa.array(shard == number)).to_pylist() for number in numbers]
        names = tuple(sink.part_name(number) for number in numbers)
        return EmittedSource(format, self._folder.below(sink.folder), names, tuple(keys))

    def shown(self, pictures: tuple[str, ...]) -> Hits:
        """What shows one of some pictures, and the copies of it."""
        with self._room() as work:
            recipe = self._recipe.model_copy(update={"blocklist": Blocklist(images=pictures)})
            journey = Journey(self._source, recipe, work, self._engine, self._observe, emits=False)
            check_reach(self._engine, work, self._source, journey.shards)
            reports = [self._fingerprint(journey, number) for number in range(len(journey.shards))]
            if journey.examples is not None:
                fingerprint_examples(journey, journey.examples, recipe)
                block_examples(journey, journey.examples, reports)
            found: Hits = {}
            for number in range(len(journey.shards)):
                for table in journey.tables.blocked(number):
                    for row in table.to_pylist():
                        found[number << ROW_BITS | row["row"]] = {
                            name: row[name] for name in ("tier", "evidence", "detail")
                        }
            return found

    @contextmanager
    def _room(self) -> Iterator[Folder]:
        """Where the tables between the stages of this search lie; of a set on a store, on this machine."""
        if self._folder.remote:
            with TemporaryFolder() as scratch:
                yield Folder(scratch, durable=False)
            return
        try:
            yield self._work.below("removing")
        finally:
            self._work.remove("removing")

    def _fingerprint(self, journey: Journey, number: int) -> dict[str, Any]:
        """The fingerprints that `clean` made; descriptors of the emitted images where it made none."""
        table = read_table(_stage(self._work, "fingerprints"), table_name(number)).replace_schema_metadata(None)
        table = table.set_column(1, FINGERPRINTS.field("key"), pa.array(self._source.keys[number], pa.string()))
        if table["descriptor"].null_count == table.num_rows:
            shard = self._source.shards()[number]
            again = fingerprint_shard(
                (number, shard), source=self._source, recipe=self._recipe, with_fields=False,
                threads=self._engine.threads_a_task(1),
            )  # fmt: skip
            place = FINGERPRINTS.get_field_index("descriptor")
            table = table.set_column(place, FINGERPRINTS.field(place), again["descriptor"])
        part = Part(table_name(number), {}, None)
        return make_part(journey.tables.stage("fingerprints"), lambda _, handle: write_table(table, handle), part)

    def named(self, urls: set[str], keys: set[str], digests: set[bytes]) -> Hits:
        """What was named by key, digest or URL."""
        found: Hits = {}
        listed = pc.is_in(self._decisions["key"], value_set=pa.array(sorted(keys), pa.string()))
        for row in self._decisions.filter(listed).select(["position", "key"]).to_pylist():
            found[row["position"]] = {"detail": f"taken down by its key {row['key']}"}
        for number in range(len(self._source.names)) if digests else ():
            table = read_table(_stage(self._work, "fingerprints"), table_name(number), ("position", "sha256"))
            for at, digest in zip(table["position"].to_pylist(), table["sha256"].to_pylist(), strict=True):
                if digest in digests:
                    found[at] = {"detail": f"taken down by its sha256 {digest.hex()}"}
        for shard in self._source.shards() if urls else ():
            for row, sample in enumerate(self._source.read(shard)):
                if (url := _url_among(sample.fields, self._recipe.source.url_column, urls)) is not None:
                    found[shard.location << ROW_BITS | row] = {"detail": f"taken down by its URL {url}"}
        return {at: {"tier": None, "evidence": None} | each for at, each in found.items()}

    def write_images(self, hits: Hits, folder: Path) -> dict[str, str]:
        """Write the emitted images of what was named, so that their versions are found too; keys by file name."""
        written: dict[str, str] = {}
        for shard in self._source.shards():
            if not any(at >> ROW_BITS == shard.location for at in hits):
                continue
            for row, sample in enumerate(self._source.read(shard)):
                if sample.image is not None and shard.location << ROW_BITS | row in hits:
                    name = f"{len(written):06d}-{file_name(sample.key, 'jpeg')}"  # decoders go by content
                    (folder / name).write_bytes(sample.image)
                    written[name] = sample.key
        return written

    def plan(self, hits: Hits) -> pa.Table:
        """New decisions about what goes: the hits, their representatives, and the copies those stand for."""
        rows = self._rows_near(hits)
        going = {at: hit for at, hit in hits.items() if _can_go(rows[at])}
        by_key = {row["key"]: at for at, row in rows.items()}
        for at in list(going):
            kept = by_key.get(rows[at]["kept_key"]) if _is_copy(rows[at]) else None
            if kept is not None and kept not in going:
                going[kept] = _as_copy(rows[at], rows[at]["key"])
        shown = {rows[at]["key"] for at in going}
        groups = {rows[at]["group"]: rows[at]["key"] for at in going}
        stars = Counter(row["group"] for row in rows.values() if row["reason"] == Reason.REPRESENTATIVE)
        for at, row in rows.items():
            if at in going or not _can_go(row):
                continue
            if _is_copy(row) and row["kept_key"] in shown:
                going[at] = _as_copy(row, row["kept_key"])
            elif row["reason"] == Reason.SPARE_COPY and stars[row["group"]] == 1 and row["group"] in groups:
                going[at] = _as_copy(row, groups[row["group"]])
        return pa.Table.from_pylist([_told(rows[at], going[at]) for at in sorted(going)], schema=DECISIONS)

    def _rows_near(self, hits: Hits) -> dict[int, dict[str, Any]]:
        """The decisions about some samples and about all members of their groups, by position."""
        positions = pa.array(sorted(hits), pa.uint64())
        hit = pc.is_in(self._decisions["position"], value_set=positions)
        groups = self._decisions["group"].filter(hit).combine_chunks().drop_null()
        near = self._decisions.filter(pc.or_(hit, pc.is_in(self._decisions["group"], value_set=groups)))
        return {row["position"]: row for row in near.to_pylist()}

    def keys_that_stood(self, plan: pa.Table) -> Iterator[str]:
        """Keys of what goes and was kept until now."""
        going = pc.is_in(self._decisions["position"], value_set=plan["position"].combine_chunks())
        kept = pc.equal(self._decisions["action"], Action.KEEP.value)
        yield from self._decisions["key"].filter(pc.and_(going, kept)).to_pylist()

    def prints_of(self, plan: pa.Table) -> pa.Table:
        """Fingerprints of what goes, without captions."""
        found = [FINGERPRINTS.empty_table()]
        shard = plan["position"].to_numpy() >> np.uint64(ROW_BITS)
        for number in np.unique(shard).tolist():
            table = read_table(_stage(self._work, "fingerprints"), table_name(number)).replace_schema_metadata(None)
            found.append(table.filter(pc.is_in(table["position"], value_set=plan["position"].combine_chunks())))
        return pa.concat_tables(found)


def _recipe_of(folder: Folder) -> Recipe:
    """What the set was made by, as far as pictures are compared by it; geometry is always asked."""
    import tomllib

    with folder.reading("recipe.toml") as handle:
        values = tomllib.load(handle)
    values = {name: part for name, part in values.items() if name not in ("versions", "keep", "blocklist", "output")}
    values["preset"] = "thorough"
    if values["fingerprints"].get("descriptor") in ("none", "given"):
        values["fingerprints"]["descriptor"] = "auto"
    values["matching"]["verify"] = "geometry"
    return Recipe.of(values, name="recipe.toml")


def _url_among(fields: Mapping[str, Any], column: str | None, urls: set[str]) -> str | None:
    names: Iterable[str] = [column] if column else [each for each in fields if each.lower() in URL_NAMES]
    return next((fields[name] for name in names if fields.get(name) in urls), None)


def _can_go(row: Mapping[str, Any]) -> bool:
    return bool(row["action"] != Action.QUARANTINE and row["reason"] != Reason.BLOCKED)


def _is_copy(row: Mapping[str, Any]) -> bool:
    """Whether a sample was dropped as a copy; what was dropped as a look-alike is another picture."""
    return bool(row["kept_key"] is not None and row["tier"] != Tier.LOOK_ALIKE)


def _as_copy(row: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {"tier": row["tier"], "evidence": row["evidence"], "detail": f"a copy of {key}, which was taken down"}


def _told(row: Mapping[str, Any], hit: Mapping[str, Any]) -> dict[str, Any]:
    evidence = hit["evidence"] and {field.name: hit["evidence"].get(field.name) for field in EVIDENCE}
    fresh = {"action": Action.DROP.value, "reason": Reason.BLOCKED.value, "kept_key": None, "copy": None}
    return {**row, **fresh, "copies_kept": None, "tier": hit["tier"], "evidence": evidence, "detail": hit["detail"]}


def _stage(work: Folder, name: str) -> Stage:
    return Stage(work.below(name), work.below("receipts").below(name))
