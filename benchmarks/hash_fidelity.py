"""How many bits does decoding at reduced scale move the hashes, and how far are they from the reference code's?

    python benchmarks/hash_fidelity.py FOLDER [--rivals-python PATH] [--limit N]

Compares, for every image of a folder: both hashes of a draft decode with those of a full decode; PDQ of a full decode
with the reference code (the package pdqhash); pHash of a full decode with imagededup's PHash, where --rivals-python
names the interpreter of an environment that has it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pdqhash  # type: ignore[import-untyped]
from measure import RESULTS, environment, version_in
from tables import fidelity_table

from dedupkit.fingerprints.decode import Decoded, decode
from dedupkit.fingerprints.perceptual import PerceptualHashes, perceptual_hashes, phash_of_image
from dedupkit.recipe import Limits, Matching

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


def hashes(data: bytes, *, draft: bool) -> tuple[PerceptualHashes, Decoded] | None:
    """Both hashes of an image, or None where it does not decode."""
    decoded = decode(data, Limits(), draft=draft)
    if not isinstance(decoded, Decoded):
        return None
    return perceptual_hashes(decoded.gray, decoded.height, decoded.width), decoded


def bits(first: bytes | int, second: bytes | int) -> int:
    """Hamming distance."""
    a, b = (value if isinstance(value, int) else int.from_bytes(value, "big") for value in (first, second))
    return (a ^ b).bit_count()


def imagededup_hashes(interpreter: str, folder: Path) -> dict[str, int]:
    """File name to 64-bit pHash, as imagededup makes them."""
    code = (
        "import json, sys; from imagededup.methods import PHash\n"
        "if __name__ == '__main__':\n"
        "    json.dump(PHash().encode_images(image_dir=sys.argv[1]), open(sys.argv[2], 'w'))\n"
    )
    with tempfile.TemporaryDirectory() as scratch:
        script, out = Path(scratch) / "encode.py", Path(scratch) / "hashes.json"
        script.write_text(code)
        subprocess.run([interpreter, str(script), str(folder), str(out)], check=True, stderr=subprocess.DEVNULL)
        return {Path(name).name: int(value, 16) for name, value in json.loads(out.read_text()).items()}


def compare(paths: Sequence[Path], imagededup: Mapping[str, int]) -> dict[str, list[int]]:
    """Distances by comparison; images that PDQ itself calls too flat to hash do not count for PDQ."""
    found: dict[str, list[int]] = {}
    least_quality = Matching().min_pdq_quality

    def note(name: str, distance: int) -> None:
        found.setdefault(name, []).append(distance)

    for path in paths:
        data = path.read_bytes()
        drafted, whole = hashes(data, draft=True), hashes(data, draft=False)
        if drafted is None or whole is None:
            continue
        draft, (full, decoded) = drafted[0], whole
        if decoded.rgb is None:
            raise SystemExit("a full decode has no RGB image: dedupkit.fingerprints.decode has changed")
        exact = phash_of_image(decoded.rgb)
        note("pHash (64 bits), reduced against full decode", bits(draft.phash, exact))
        if path.name in imagededup:
            note("pHash (64 bits), full decode against imagededup", bits(exact, imagededup[path.name]))
        if full.pdq_quality >= least_quality:
            note("PDQ (256 bits), reduced against full decode", bits(draft.pdq, full.pdq))
            reference, _ = pdqhash.compute(np.asarray(decoded.rgb))
            note("PDQ (256 bits), full decode against reference code", bits(full.pdq, np.packbits(reference).tobytes()))
    return found


def summarise(name: str, distances: Sequence[int]) -> dict[str, Any]:
    """One comparison's entry in the JSON."""
    return {
        "name": name,
        "images": len(distances),
        "mean_bits": round(float(np.mean(distances)), 4),
        "p99_bits": float(np.percentile(distances, 99)),
        "max_bits": int(max(distances)),
        "equal_share": round(float(np.mean(np.equal(distances, 0))), 4),
    }


def main() -> None:
    """Compare and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rivals-python", help="interpreter of an environment with imagededup")
    parser.add_argument("--limit", type=int, help="only so many images, evenly out of the sorted list")
    parser.add_argument("--out", type=Path, default=RESULTS / "hash_fidelity.json")
    arguments = parser.parse_args()
    paths = sorted(path for path in arguments.folder.iterdir() if path.suffix.lower() in SUFFIXES)
    paths = paths[:: max(1, -(-len(paths) // arguments.limit))] if arguments.limit else paths
    rivals = arguments.rivals_python
    with tempfile.TemporaryDirectory() as scratch:
        for path in paths if rivals else ():
            (Path(scratch) / path.name).symlink_to(path.resolve())
        imagededup = imagededup_hashes(rivals, Path(scratch)) if rivals else {}
    where = environment(("pillow", "simplejpeg", "numpy", "pdqhash"))
    if rivals:
        where["versions"]["imagededup"] = version_in(rivals, "imagededup")
    found = compare(paths, imagededup)
    result = {
        "question": "How many bits does decoding at reduced scale move the hashes?",
        "environment": where,
        "images": len(paths),
        "comparisons": [summarise(name, distances) for name, distances in sorted(found.items())],
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(fidelity_table(result))


if __name__ == "__main__":
    main()
