"""imagehash's phash, files of equal hash grouped, as its README uses it: FOLDER in, groups as JSON out."""

import json
import sys
from collections import defaultdict
from pathlib import Path

import imagehash
from PIL import Image

if __name__ == "__main__":
    folder, out = sys.argv[1:]
    groups = defaultdict(list)
    for path in sorted(Path(folder).rglob("*")):
        if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"):
            groups[str(imagehash.phash(Image.open(path)))].append(path.name)
    Path(out).write_text(
        json.dumps({"groups": [names for names in groups.values() if len(names) > 1]}), encoding="utf-8"
    )
