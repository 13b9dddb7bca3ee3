"""What an index is and holds, in a few numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from dedupkit.index.snapshot import Snapshot


def told(snapshot: Snapshot) -> dict[str, Any]:
    """As ``dedupkit index info --json`` prints it."""
    state, faulty = snapshot.state, snapshot.entries["fault"].is_valid().to_numpy() & snapshot.living
    groups = np.unique(snapshot.group_of[snapshot.group_of >= 0])
    return {
        "samples": int(snapshot.living.sum()),
        "removed": len(snapshot.removed),
        "faulty": int(faulty.sum()),
        "groups": len(groups),
        "pairs": len(snapshot.joining) + len(snapshot.spare_copies),
        "look_alikes": len(snapshot.alike),
        "preset": state.recipe["preset"],
        "descriptor": state.chosen.descriptor or "none",
        "expected_samples": state.expected_samples,
        "max_hamming_bits": state.max_hamming_bits,
        "views": state.views,
        "lists_made_at": state.trained_at,
        "list_recall": state.recall,
        "bytes": {kind: sum(file.byte_size for file in files) for kind, files in state.files.items() if files},
        "files": sum(map(len, state.files.values())),
        "sources": sorted({shard.source for shard in state.shards}),
        "generation": state.generation,
    }
