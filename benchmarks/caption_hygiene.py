"""What does it cost to clean a caption, and how much is found in captions that people wrote?

    python benchmarks/caption_hygiene.py METADATA.jsonl [--rounds 5]

Captions that people wrote, drawn ones of common English words, the same with letters beyond ASCII, and dirty ones of
every finding, each cleaned one by one on one thread; the best of some rounds counts, in processor time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from measure import RESULTS, environment

from dedupkit.hygiene.captions import CaptionCleaner
from dedupkit.mitigation.online_captions import COMMON_WORDS
from dedupkit.recipe import Captions

if TYPE_CHECKING:
    from collections.abc import Sequence

DRAWN = 2000
DIRTY = (
    "A caf\u00c3\u00a9 in Lyon", "A red\u200b car", "A <b>red</b> car &amp; a dog", "Mail me@example.com for prints",
    "Call (415) 555-2671 for a viewing", "A house, see https://example.com/a.html", "https://example.com/a.jpg",
    "The view, DSC_0042.JPG, of Rome", "IMG_0042.JPG", "Woman eating salad - Stock Photo", "Stock photo", " - ",
)  # fmt: skip


def microseconds(cleaner: CaptionCleaner, captions: Sequence[str], rounds: int) -> float:
    """Processor time a caption, the best of some rounds."""
    times = []
    for _ in range(rounds):
        started = time.process_time()
        for caption in captions:
            cleaner.clean(caption)
        times.append(time.process_time() - started)
    return round(min(times) / len(captions) * 1e6, 1)


def sets(metadata: Path) -> dict[str, list[str]]:
    """The captions that are timed, by what they are."""
    rng = np.random.default_rng(0)
    own = [json.loads(line)["text"] for line in metadata.read_text(encoding="utf-8").splitlines()]
    lengths = rng.integers(4, 16, size=DRAWN)
    drawn = [" ".join(rng.choice(COMMON_WORDS, length)) for length in lengths.tolist()]
    accented = [caption.translate(str.maketrans("aou", "\u00e4\u00f6\u00fc")) for caption in drawn]
    return {"written by people": own, "drawn": drawn, "drawn, not ASCII": accented, "dirty": [*DIRTY] * 50}


def main() -> None:
    """Time and count; print the findings and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("metadata", type=Path, help="JSON lines with the caption in `text`")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    cleaner = CaptionCleaner(Captions())
    rows: list[dict[str, Any]] = []
    for name, captions in sets(chosen.metadata).items():
        found = Counter(finding for caption in captions for finding in cleaner.clean(caption).found)
        words = sum(len(caption.split()) for caption in captions) / len(captions)
        cost = microseconds(cleaner, captions, chosen.rounds)
        rows.append(
            {
                "captions": name, "count": len(captions), "mean_words": round(words, 1), "us_each": cost,
                "found": dict(sorted(found.items())),
            }
        )  # fmt: skip
        print(f"{name}: {len(captions)} captions of {words:.1f} words, {cost} us each, {json.dumps(found)}")
    result = {"environment": environment(["ftfy", "phonenumbers"]), "rows": rows}
    (RESULTS / "caption_hygiene.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
