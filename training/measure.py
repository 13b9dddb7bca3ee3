"""How good is a descriptor as a finder of candidates?

    python training/measure.py NETWORK FAMILIES [--held-out-of 5]

NETWORK is a name that a recipe's ``fingerprints.descriptor`` takes; FAMILIES a folder with groups.csv (file, group,
family).  For several floors of the cosine: the share of true pairs at it or above, the false candidates an image, and
the share of copies of each edit whose original is among the 32 nearest.  With --held-out-of n, for every n-th group.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import simplejpeg

from dedupkit.fingerprints.descriptors import open_describer
from dedupkit.fingerprints.descriptors.base import squeezed
from dedupkit.fingerprints.frame import frame_box

FLOORS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8)
NEAREST = 32


def describe(network: str, files: list[Path]) -> np.ndarray:
    describer = open_describer(network)
    rows = []
    for start in range(0, len(files), 64):
        pictures = []
        for path in files[start : start + 64]:
            colour = simplejpeg.decode_jpeg(path.read_bytes(), "RGB")
            box = frame_box(colour @ np.array([0.299, 0.587, 0.114], np.float32), 10)
            pictures.append(squeezed(colour if box is None else colour[box], describer.side))
        rows.append(describer.describe(np.array(pictures)))
    return np.concatenate(rows)


def measure(rows: np.ndarray, group: np.ndarray, family: np.ndarray) -> dict:
    cosines = rows @ rows.T
    same = group[:, None] == group
    upper = np.triu(np.ones_like(same), 1)
    result: dict = {"images": len(rows), "floors": {}}
    for floor in FLOORS:
        near = (cosines >= floor) & upper
        result["floors"][floor] = {
            "true_share": round(float((near & same).sum() / (same & upper).sum()), 4),
            "false_an_image": round(float((near & ~same).sum() * 2 / len(rows)), 2),
        }
    np.fill_diagonal(cosines, -2)
    nearest = np.argpartition(-cosines, NEAREST, axis=1)[:, :NEAREST]
    found = defaultdict(list)
    for row in np.flatnonzero(family != "original"):
        others = nearest[row]
        found[family[row]].append(bool(((group[others] == group[row]) & (family[others] == "original")).any()))
    result["original_among_nearest"] = {name: round(float(np.mean(hits)), 4) for name, hits in sorted(found.items())}
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network")
    parser.add_argument("families", type=Path)
    parser.add_argument("--held-out-of", type=int, default=0)
    arguments = parser.parse_args()
    table = list(csv.DictReader((arguments.families / "groups.csv").open()))
    if arguments.held_out_of:
        table = [row for row in table if int(row["group"]) % arguments.held_out_of == 0]
    descriptors = describe(arguments.network, [arguments.families / row["file"] for row in table])
    groups, families = (np.array([row[name] for row in table]) for name in ("group", "family"))
    print(json.dumps(measure(descriptors, groups, families), indent=1))
