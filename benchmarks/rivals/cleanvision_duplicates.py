"""CleanVision's two duplicate checks: FOLDER in, groups as JSON out."""

import json
import sys
from pathlib import Path

from cleanvision import Imagelab

if __name__ == "__main__":
    folder, out = sys.argv[1:]
    lab = Imagelab(data_path=folder)
    lab.find_issues({"exact_duplicates": {}, "near_duplicates": {}})
    sets = [lab.info[issue]["sets"] for issue in ("exact_duplicates", "near_duplicates")]
    Path(out).write_text(
        json.dumps({"groups": [[Path(name).name for name in names] for kind in sets for names in kind]}),
        encoding="utf-8",
    )
