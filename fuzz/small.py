"""Small files that people pass on: recipes, marks, manifests, lists, indexes.  They load, or one error says why not."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

from fuzz.mutators import mutated
from fuzz.pictures import witness

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of file.

    Attributes
    ----------
    kind : str
        Whose steps mutate it.
    name : str
        What the file is called.
    whole : callable
        Makes one that nothing is wrong with.
    load : callable
        Reads it, and uses what it holds; raises `DedupkitError` or nothing.
    """

    kind: str
    name: str
    whole: Callable[[], bytes]
    load: Callable[[Path], object]


def _recipe() -> bytes:
    from dedupkit.recipe import Recipe

    return Recipe(preset="fast").dumps().encode()


def _load_recipe(path: Path) -> object:
    from dedupkit.recipe import Recipe

    return Recipe.load(path).dumps()


def _marks() -> bytes:
    rows = [{"key": f"k{number}", "action": "keep", "note": "as it is"} for number in range(4)]
    return json.dumps({"dedupkit_overrides": 1, "overrides": [*rows, {"key": "k9", "action": "drop"}]}).encode()


def _load_marks(path: Path) -> object:
    from dedupkit.review.overrides import Overrides

    return Overrides.of(path).identity


@lru_cache(maxsize=1)
def _manifest() -> bytes:
    from base64 import b64encode

    facts = {
        "kind": "pair",
        "planted": True,
        "repetitions": 4,
        "caption": "a b",
        "format": "png",
        "width": 8,
        "height": 8,
    }
    canaries = [
        facts | {"number": number, "image": b64encode(witness(number)[:60]).decode(), "salt": f"{number}" * 64}
        for number in range(2)
    ]
    whole = {"format": "dedupkit canaries 1", "secret": "ab" * 32, "assignment": "exact", "canaries": canaries}
    return json.dumps(whole).encode()


def _load_manifest(path: Path) -> object:
    from dedupkit.canaries.manifest import read_manifest

    manifest = read_manifest(path, passphrase="several words of it")
    return manifest.keyed("a"), [(canary.data, canary.sha256, canary.canonical()) for canary in manifest.canaries]


@lru_cache(maxsize=1)
def _sealed() -> bytes:
    from dedupkit.canaries.sealing import sealed

    return sealed(_manifest(), "several words of it")


def _digests() -> bytes:
    return b"".join(b"%064x\n" % (number * 7919) for number in range(6))


def _load_digests(path: Path) -> object:
    from dedupkit.blocklist import Blocker
    from dedupkit.recipe import Blocklist

    return Blocker.of(Blocklist(sha256=(str(path),))).fault(key="a", sha256=bytes(32))


def _digest_table() -> bytes:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    target = io.BytesIO()
    pq.write_table(pa.table({"sha256": [bytes([number]) * 32 for number in range(5)]}), target)
    return target.getvalue()


def _placeholders(path: Path) -> object:
    from dedupkit.hygiene.placeholders import Placeholders
    from dedupkit.recipe import Recipe
    from dedupkit.sample import FINGERPRINTS

    hygiene = Recipe.of({"hygiene": {"placeholder_files": [str(path)]}}).hygiene
    return Placeholders.of(hygiene).find(FINGERPRINTS.empty_table())


def _metadata() -> bytes:
    rows = [
        {"file_name": f"{number}.jpg", "text": f"picture {number}", "tags": ["a"], "n": number} for number in range(4)
    ]
    return "\n".join(json.dumps(row) for row in rows).encode()


def _metadata_csv() -> bytes:
    return b'file_name,text,n\n0.jpg,"picture, 0",1\n1.jpg,two,2\n2.jpg,"a\nb",3\n'


def _load_folder(path: Path) -> object:
    """Samples and types of a folder that the file describes."""
    from dedupkit.fields import FieldTypes
    from dedupkit.sources.folder import FolderSource

    for number in range(3):
        (path.parent / f"{number}.jpg").write_bytes(witness(number))
    source, types = FolderSource(root=str(path.parent)), FieldTypes()
    for shard in source.shards():
        for sample in source.read(shard):
            types.observe(sample.fields)
    return types.schema()


def _state() -> bytes:
    return json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": "train"}).encode()


def _load_saved(path: Path) -> object:
    from dedupkit.sources.opening import open_source

    (path.parent / "dataset_info.json").write_text("{}")
    (path.parent / "data-00000-of-00001.arrow").write_bytes(b"no table")
    source = open_source(str(path.parent))
    return [list(source.read(shard)) for shard in source.shards()]


def _taken_down() -> bytes:
    import io

    import pyarrow.parquet as pq

    from dedupkit.sample import FINGERPRINTS

    target = io.BytesIO()
    pq.write_table(FINGERPRINTS.empty_table(), target)
    return target.getvalue()


def _load_taken_down(path: Path) -> object:
    from dedupkit.storage import Folder
    from dedupkit.takedown import read_list

    return read_list(Folder(str(path.parent))).num_rows


@lru_cache(maxsize=1)
def _proof() -> bytes:
    from dedupkit.canaries.commitment import prove
    from dedupkit.canaries.manifest import Manifest

    return json.dumps(prove(Manifest.model_validate_json(_manifest()), [1])).encode()


def _load_proof(path: Path) -> object:
    from dedupkit.canaries.commands import _json
    from dedupkit.canaries.commitment import check_proof, commitment_of
    from dedupkit.canaries.manifest import Manifest

    return check_proof(_json(str(path)), commitment_of(Manifest.model_validate_json(_manifest())))


def _labels() -> bytes:
    data = {"key_a": "a", "key_b": "b", "thought": "same", "answer": "same"}
    results = [{"from_name": "answer", "value": {"choices": ["different"]}}]
    return json.dumps([data, {"data": data, "annotations": [{"was_cancelled": False, "result": results}]}]).encode()


def _load_labels(path: Path) -> object:
    from dedupkit.interop.label_studio import overrides_from_label_studio

    return overrides_from_label_studio(path)


def _calibration() -> bytes:
    row = {"edit": "crop", "planted": 9, "found": 8, "recall": 0.9, "low": 0.5, "high": 0.99}
    told = {"samples": 30, "recall": [row], "missed": {"share": 0.1}, "precision": {"share": None}}
    return json.dumps(told).encode()


def _load_calibration(path: Path) -> object:
    from dedupkit.report.calibrated import read_calibration

    return read_calibration(path)


@lru_cache(maxsize=1)
def _index() -> Path:
    """A small index, made once a process."""
    from dedupkit import Index
    from dedupkit.recipe import Recipe

    folder = Path(mkdtemp(prefix="dedupkit-fuzz-index-"))
    samples = [{"key": f"k{number}", "image": witness(number % 6)} for number in range(8)]
    Index.build(folder / "index", samples, recipe=Recipe.of({"preset": "thorough"}), name="set")
    return folder / "index"


def _load_index(folder: Path) -> object:
    """Open an index, and ask it all that there is to ask."""
    from dedupkit import Index

    index = Index.open(folder)
    index.info()
    for number in (0, 9):
        index.query(witness(number))
    return index.pairs(), index.groups(), index.look_alikes(), index.faults(), index.query_key("k7")


TARGETS: dict[str, Target] = {
    "recipe": Target("toml", "recipe.toml", _recipe, _load_recipe),
    "overrides": Target("json", "overrides.json", _marks, _load_marks),
    "manifest": Target("json", "manifest.json", _manifest, _load_manifest),
    "sealed": Target("json", "sealed.json", _sealed, _load_manifest),
    "blocklist": Target("text", "digests.txt", _digests, _load_digests),
    "blocklist_table": Target("parquet", "digests.parquet", _digest_table, _load_digests),
    "placeholders": Target("text", "hashes.txt", _digests, _placeholders),
    "metadata": Target("jsonl", "metadata.jsonl", _metadata, _load_folder),
    "metadata_csv": Target("text", "metadata.csv", _metadata_csv, _load_folder),
    "saved": Target("json", "state.json", _state, _load_saved),
    "takedown": Target("parquet", "takedown.parquet", _taken_down, _load_taken_down),
    "proof": Target("json", "proof.json", _proof, _load_proof),
    "labels": Target("json", "labels.json", _labels, _load_labels),
    "calibration": Target("json", "calibration.json", _calibration, _load_calibration),
}
INDEX = "index"
KINDS = (*TARGETS, INDEX)


def made(seed: int, number: int) -> tuple[str, dict[str, bytes]]:
    """Kind, and the changed files by name, of the mutant of a number: the same for the same seed."""
    rng = Random(f"small {seed} {number}")
    kind = KINDS[number % len(KINDS)]
    if kind != INDEX:
        target = TARGETS[kind]
        return kind, {target.name: mutated(target.kind, target.whole(), rng).data}
    names = sorted(path.name for path in _index().iterdir() if path.is_file() and path.suffix in (".json", ".arrow"))
    name = rng.choice(names) if rng.random() < 0.7 else "index.json"
    data = (_index() / name).read_bytes()
    return kind, _mutated_index(name, data, rng)


def _mutated_index(name: str, data: bytes, rng: Random) -> dict[str, bytes]:
    """A file of the index broken, and the index made to fit where that is what a stranger would do."""
    from dedupkit.storage import digest

    if name != "index.json":
        broken = mutated("bytes", data, rng).data
        state = json.loads((_index() / "index.json").read_bytes())
        for file in (file for files in state["files"].values() for file in files if file["name"] == name):
            file["byte_size"] = len(broken)
        state["digest"] = digest({key: value for key, value in state.items() if key != "digest"})
        return {name: broken, "index.json": json.dumps(state).encode()}
    broken = mutated("json", data, rng).data
    try:
        state = json.loads(broken)
        state["digest"] = digest({key: value for key, value in state.items() if key != "digest"})
        return {name: json.dumps(state).encode("utf-8", "surrogatepass")}
    except (ValueError, AttributeError, TypeError, RecursionError):
        return {name: broken}


def load(kind: str, files: dict[str, bytes], folder: Path) -> Any:
    """Put files into an empty folder and load what they are."""
    if kind == INDEX:
        shutil.copytree(_index(), folder / "index")
        for name, data in files.items():
            (folder / "index" / name).write_bytes(data)
        return _load_index(folder / "index")
    for name, data in files.items():
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o600)
    return TARGETS[kind].load(folder / TARGETS[kind].name)
