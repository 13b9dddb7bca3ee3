"""fastdup's connected components at their default similarity, as its README uses it: FOLDER in, groups as JSON out.

MODEL is "default", or "accurate" for the larger of the two networks that come inside its package (high_accuracy).
What goes over the network is turned off, for it takes time that the search does not: reports to its makers, and the
look for a newer release when it is imported.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["SENTRY_OPT_OUT"] = "1"
os.environ["FASTDUP_PRODUCTION"] = "1"  # its utilities.py looks for no newer release then

import fastdup

if __name__ == "__main__":
    folder, out, model = sys.argv[1:]
    with tempfile.TemporaryDirectory() as work:
        search = fastdup.create(work_dir=work, input_dir=folder)
        search.run(high_accuracy=model == "accurate", run_sentry=False)  # its native part asks for this one
        members, _ = search.connected_components()
    names = members.groupby("component_id")["filename"].apply(list) if len(members) else []
    Path(out).write_text(
        json.dumps({"groups": [[Path(name).name for name in group] for group in names if len(group) > 1]}),
        encoding="utf-8",
    )
