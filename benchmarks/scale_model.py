"""What would LAION-400M, LAION-2B and all of LAION-5B take?

    python benchmarks/scale_model.py SOURCE [--samples 1000]

`dedupkit.plan` cleans a sample of SOURCE and extrapolates it to three sizes, in shards as large as those of
SOURCE, on 16 machines of 64 cores.  What each stage is extrapolated by stands in dedupkit/planning/laws.py.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import RESULTS, environment
from scale_tables import scale_model_table

import dedupkit

if TYPE_CHECKING:
    from dedupkit.planning.estimate import Estimate

SIZES = {"LAION-400M": 400_000_000, "LAION-2B": 2_320_000_000, "LAION-5B": 5_850_000_000}
MACHINE, MACHINES = "cores=64,memory=512GiB,disk=30TB", 16


def ends(estimate: Estimate, unit: float = 1.0) -> list[float]:
    """Value, low and high in a unit, to three digits."""
    return [float(f"{each / unit:.3g}") for each in (estimate.value, estimate.low, estimate.high)]


def of_size(measured: dedupkit.Plan, rows: int) -> dict[str, Any]:
    """One plan, as far as the table tells of it."""
    plan = measured.again(rows=rows)
    return {
        "samples": rows,
        "limit": plan.limit.name,
        "wall_h": ends(plan.wall_s, 3600),
        "least_memory_gib": ends(plan.least_memory, 1 << 30)[0],
        "network_tib": ends(plan.network, 1 << 40),
        "stages": [
            {
                "stage": stage.name,
                "where": stage.where,
                "core_h": ends(stage.cpu_s, 3600),
                "wall_h": ends(stage.wall_s, 3600),
                "stored_tib": ends(stage.stored, 1 << 40),
                "temporary_tib": ends(stage.temporary, 1 << 40),
            }
            for stage in plan.stages
        ],
    }


def main() -> None:
    """Plan all sizes and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=RESULTS / "scale_model.json")
    arguments = parser.parse_args()
    measured = dedupkit.plan(arguments.source, samples=arguments.samples, machine=MACHINE, machines=MACHINES)
    result = {
        "question": "What would LAION-400M, LAION-2B and all of LAION-5B take?",
        "environment": environment(("numpy", "onnxruntime", "faiss-cpu", "pyarrow")),
        "load": round(os.getloadavg()[0], 1),
        "samples": measured.samples_read,
        "machine": MACHINE,
        "machines": MACHINES,
        "sizes": {name: of_size(measured, rows) for name, rows in SIZES.items()},
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(scale_model_table(result))


if __name__ == "__main__":
    main()
