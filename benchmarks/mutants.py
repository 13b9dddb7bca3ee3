"""Do the tests notice when the code is changed?  mutmut changes it, the tests that reach the change are run.

    python benchmarks/mutants.py [--most 60] [--seed 0] [--again] [--survivors] [MODULE ...]

Of each module of `[tool.mutmut]` in pyproject.toml as many mutants as --most are drawn at random and tried, with the
tests named there that reach the changed function.  What was tried before and is unchanged is not tried again, unless
--again says so, or --survivors of those that no test noticed, for there may be new tests.  MODULE is a part of a name:
``grouping``, ``audit.coins``.

Results stand in benchmarks/results/mutants.json; a survivor that changes nothing is named, with the reason, in
benchmarks/equivalent_mutants.json by what it takes out of a function and what it puts in.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from measure import RESULTS, ROOT, environment

if TYPE_CHECKING:
    from collections.abc import Iterable

MUTANTS = ROOT / "mutants"
EQUIVALENT = ROOT / "benchmarks" / "equivalent_mutants.json"
_AT_ONCE = 400  # names on one command line
_NOTICED = {"killed": "killed", "timeout": "killed", "segfault": "killed"}
_STATUS = {
    1: "killed", 3: "killed", 0: "survived", 5: "survived", 33: "survived", 36: "timeout", 24: "timeout",
    -24: "timeout", 152: "timeout", 255: "timeout", -11: "segfault", -9: "segfault",
}  # fmt: skip


@dataclass
class Module:
    """What became of the mutants of a module.

    Attributes
    ----------
    name : str
        As it is imported.
    names : list of str
        All its mutants, as mutmut calls them.
    tried : dict of str to str
        Those drawn, and how they ended: killed, timeout, segfault, survived.
    """

    name: str
    names: list[str]
    tried: dict[str, str] = field(default_factory=dict)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    parser.add_argument("--most", type=int, default=60, help="mutants of a module, drawn at random where it has more")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="try those again that were tried before")
    parser.add_argument("--survivors", action="store_true", help="try those again that no test noticed before")
    options = parser.parse_args()
    started = time.time()
    _mutmut("run", "dedupkit.grouping.keep.x_ranks__mutmut_1")  # makes all mutants, and tries this one
    modules = [each for each in _modules() if not options.modules or any(part in each.name for part in options.modules)]
    drawn = {each.name: _drawn(each, options.most, options.seed) for each in modules}
    known = {} if options.again else _results(modules)
    if options.survivors:
        known = {name: end for name, end in known.items() if end in _NOTICED}
    lacking = [name for names in drawn.values() for name in names if name not in known]
    for start in range(0, len(lacking), _AT_ONCE):
        _mutmut("run", "--max-children", str(os.cpu_count() or 1), *lacking[start : start + _AT_ONCE])
    results = _results(modules)
    for each in modules:
        each.tried = {name: results[name] for name in drawn[each.name]}
    _write(modules, options, time.time() - started)


def _modules() -> list[Module]:
    chosen = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]["only_mutate"]
    paths = sorted({path for pattern in chosen for path in ROOT.glob(pattern)})
    found = [Module(".".join(path.relative_to(ROOT).with_suffix("").parts), list(_exit_codes(path))) for path in paths]
    return [each for each in found if each.names]


def _exit_codes(path: Path) -> dict[str, int | None]:
    meta = MUTANTS / f"{path.relative_to(ROOT)}.meta"
    return dict(json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]) if meta.exists() else {}


def _results(modules: Iterable[Module]) -> dict[str, str]:
    paths = [ROOT / f"{each.name.replace('.', '/')}.py" for each in modules]
    codes = {name: code for path in paths for name, code in _exit_codes(path).items() if code is not None}
    return {name: _STATUS.get(code, f"exit code {code}") for name, code in codes.items()}


def _drawn(module: Module, most: int, seed: int) -> list[str]:
    names = sorted(module.names)
    return sorted(random.Random(f"{seed} {module.name}").sample(names, min(most, len(names))))


def _mutmut(*words: str) -> str:
    command = [Path(sys.executable).with_name("mutmut"), *words]  # not -m, which imports its main module twice
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8", check=False)
    if done.returncode:
        raise SystemExit(f"mutmut failed\n{done.stdout[-4000:]}")
    return done.stdout


def _change(name: str) -> tuple[str, str]:
    """What a mutant takes out of its function, and what it puts in."""
    lines = _mutmut("show", name).splitlines()
    lines = [each for each in lines if not each.startswith(("---", "+++"))]
    return tuple(" ".join(each[1:].strip() for each in lines if each.startswith(sign)) for sign in "-+")  # type: ignore[return-value]


def _write(modules: list[Module], options: argparse.Namespace, seconds: float) -> None:
    reasons = json.loads(EQUIVALENT.read_text(encoding="utf-8")) if EQUIVALENT.exists() else []
    known = {(each["function"], each["out"], each["in"]) for each in reasons}
    rows = []
    for module in modules:
        ends = Counter(_NOTICED.get(end, end) for end in module.tried.values())
        survivors = []
        for name in (name for name, end in module.tried.items() if end not in _NOTICED):
            out, into = _change(name)
            function = name.partition("__mutmut_")[0]
            survivors.append({"name": name, "out": out, "in": into, "equivalent": (function, out, into) in known})
        same = sum(each["equivalent"] for each in survivors)
        rows.append(
            {
                "module": module.name,
                "mutants": len(module.names),
                "tried": len(module.tried),
                "killed": ends["killed"],
                "equivalent": same,
                "survived": len(survivors) - same,
                "survivors": survivors,
            }
        )
        print(f"{module.name}: {ends['killed']} of {len(module.tried)} killed, {len(survivors)} survived, {same} equal")
        for each in survivors:
            if not each["equivalent"]:
                print(f"    {each['name']}\n      - {each['out']}\n      + {each['in']}")
    whole = {"environment": environment(), "seed": options.seed, "most": options.most, "wall_s": seconds}
    if not options.modules:
        text = json.dumps(whole | {"modules": rows}, indent=1, ensure_ascii=False)
        (RESULTS / "mutants.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
