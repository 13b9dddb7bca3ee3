"""imagededup's PHash at its default distance, as its README uses it: FOLDER in, pairs as JSON out."""

import json
import sys
from pathlib import Path

from imagededup.methods import PHash

if __name__ == "__main__":
    folder, out = sys.argv[1:]
    near = PHash().find_duplicates(image_dir=folder)
    pairs = sorted({(min(a, b), max(a, b)) for a, others in near.items() for b in others if a != b})
    Path(out).write_text(json.dumps({"pairs": pairs}), encoding="utf-8")
