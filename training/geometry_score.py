"""Fit the score of geometry: how to weigh its evidence.

    python training/geometry_score.py FOLDER... [--copies 12]

Of every picture of the folders so many copies are made, under edits of `dedupkit.edits` and with letters and patches
all over; candidates are looked for as in a run, and each is aligned.  Prints the coefficients of a logistic
regression, and what it does at several limits.  Folders should hold pictures that are much alike: those make the false
candidates.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import faiss
import numpy as np
import pyarrow.compute as pc
from PIL import Image, ImageDraw, ImageFont
from sklearn.linear_model import LogisticRegression

from dedupkit.edits import EDITS
from dedupkit.engines.local import LocalEngine
from dedupkit.fingerprints.decode import decode
from dedupkit.journey import Journey
from dedupkit.matching import geometry
from dedupkit.matching.proof import Candidates
from dedupkit.recipe import Recipe
from dedupkit.sources import open_source
from dedupkit.storage import Folder

TRUE_PAIRS, NEAREST_FALSE, OTHER_FALSE = 8000, 8000, 6000
FALSE_WEIGHT = 50.0  # a false pair joins two groups
EVIDENCE = ("agreement", "outline", "off_tone")  # conflict says nothing more, and gets a weight of either sign


def written_over(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Lines of letters of any size and tone, some half transparent, and a patch or two."""
    layer = Image.new("RGBA", image.size)
    draw = ImageDraw.Draw(layer)
    for _ in range(rng.integers(0, 3)):
        x, y = (int(rng.integers(0, side)) for side in image.size)
        tone = (*(int(value) for value in rng.integers(0, 256, 3)), int(rng.integers(120, 256)))
        draw.rectangle((x, y, x + image.width // 5, y + image.height // 6), fill=tone)
    for _ in range(rng.integers(1, 6)):
        size = int(image.height * rng.uniform(0.04, 0.16))
        letters = "".join(rng.choice(list("abcdefghijklmnop qrstuvwxyz ABCDEFGH"), rng.integers(4, 30)))
        tone = (*(int(value) for value in rng.choice([0, 255], 3)), int(rng.integers(100, 256)))
        place = int(rng.integers(-20, image.width // 2)), int(rng.integers(0, image.height))
        edge = int(rng.integers(0, max(1, size // 8) + 1))
        draw.text(place, letters, tone, ImageFont.load_default(size), stroke_width=edge, stroke_fill=(0, 0, 0, tone[3]))
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def write_copies(folders: list[Path], out: Path, copies: int) -> None:
    """Every picture as it is, and some copies of it, as <number>__<edit>.jpg."""
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix in {".jpg", ".png"})
    for number, path in enumerate(files):
        rng = np.random.default_rng(number)
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        (out / f"{number:05d}__original{path.suffix}").write_bytes(path.read_bytes())
        for name in rng.choice(list(EDITS), copies * 2 // 3, replace=False):
            edit = EDITS[name]
            (out / f"{number:05d}__{name}.{edit.extension}").write_bytes(edit.apply(image, rng))
        for turn in range(copies - copies * 2 // 3):
            written_over(image, rng).save(out / f"{number:05d}__written{turn}.jpg", quality=85)


def evidence(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Features and truth of candidate pairs that hashes do not settle."""
    recipe = Recipe()
    with tempfile.TemporaryDirectory() as scratch:
        source = open_source(str(folder))
        journey = Journey(
            source, recipe, Folder(scratch, durable=False), LocalEngine(), lambda _: None, with_fields=False
        )
        table = journey.candidates(journey.fingerprint())
        numbers = range(len(journey.shards))
        keys = [key for n in numbers for key in journey.tables.fingerprints(n, ("key",))["key"].to_pylist()]
        places = np.concatenate([journey.tables.fingerprints(n, ("position",))["position"].to_numpy() for n in numbers])
    candidates = Candidates.of(table.filter(pc.not_equal(table["tier"], "exact")))
    names = np.array(keys)[np.searchsorted(places, candidates.positions)]
    group = np.array([Path(name).name[:5] for name in names])
    same = group[candidates.a] == group[candidates.b]
    rng = np.random.default_rng(0)
    doubtful = ~candidates.sure(recipe.matching)
    true, false = rng.permutation(np.flatnonzero(same & doubtful)), candidates.order()
    false = false[~same[false]]
    rows = np.concatenate([true[:TRUE_PAIRS], false[:NEAREST_FALSE], rng.permutation(false)[:OTHER_FALSE]])
    faiss.omp_set_num_threads(1)
    cv2.setNumThreads(1)
    views = {}
    for node in np.unique(np.concatenate([candidates.a[rows], candidates.b[rows]])).tolist():
        decoded = decode((folder / names[node]).read_bytes(), recipe.limits, min_side=144)
        views[node] = geometry.view_of(np.ascontiguousarray(decoded.gray), recipe.fingerprints.max_frame_range)
    found = [geometry.align(views[a], views[b]) for a, b in zip(candidates.a[rows], candidates.b[rows], strict=True)]
    ends = zip(candidates.a[rows], candidates.b[rows], strict=True)
    report(found, same[rows], [(Path(names[a]).stem[7:], Path(names[b]).stem[7:]) for a, b in ends])
    features = [(np.log1p(each.inliers), *(getattr(each, name) for name in EVIDENCE)) for each in found]
    return np.array(features), same[rows]


def report(found: list[geometry.Alignment], same: np.ndarray, kinds: list[tuple[str, str]]) -> None:
    """Median evidence of the true pairs of each edit with its original."""
    for kind in sorted({name for pair in kinds for name in pair}):
        rows = [f for f, yes, pair in zip(found, same, kinds, strict=True) if yes and set(pair) == {kind, "original"}]
        if rows:
            medians = (
                round(float(np.median([getattr(row, name) for row in rows])), 2) for name in ("inliers", *EVIDENCE)
            )
            print(f"{kind:14} {len(rows):5}", *medians)


def fit(features: np.ndarray, same: np.ndarray) -> None:
    aligned = features[:, 0] > 0
    model = LogisticRegression(C=10, max_iter=5000, class_weight={True: 1.0, False: FALSE_WEIGHT})
    model.fit(features[aligned], same[aligned])
    names = ("log inliers", *EVIDENCE)
    print(
        dict(zip(names, np.round(model.coef_[0], 2).tolist(), strict=True)),
        "intercept",
        np.round(model.intercept_[0], 2),
    )
    chance = np.where(aligned, model.predict_proba(features)[:, 1], 0)
    for limit in (0.3, 0.5, 0.7, 0.9):
        right, wrong = (chance[same] >= limit).mean(), int((chance[~same] >= limit).sum())
        print(f"from {limit}: {right:.4f} of {same.sum()} true pairs, {wrong} of {(~same).sum()} false ones")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--copies", type=int, default=12)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as copies_of:
        write_copies(arguments.folders, Path(copies_of), arguments.copies)
        fit(*evidence(Path(copies_of)))
