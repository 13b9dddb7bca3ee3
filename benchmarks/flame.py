"""Where does the time of a run go, function by function?  A flame graph of `dedupkit clean`.

    python benchmarks/flame.py SOURCE [--py-spy py-spy] [--out docs/images/clean.svg] [clean's options …]

py-spy (MIT; `pip install py-spy`, in any environment) looks a hundred times a second at which functions are at work in
all threads; its picture is made smaller and static: frames are called module:function, and the script is taken out.
"""

from __future__ import annotations

import argparse
import html
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import DEDUPKIT, ROOT, commit

_FRAME = re.compile(r"(?P<function>[^<>]*?) \((?P<file>[^()]*?\.py)(:\d+)?\)(?P<rest> \([\d,]+ samples[^<]*)?")

_BOX = re.compile(
    r'(?P<box><title>(?P<name>[^<]*?)(?: \([\d,]+ samples[^<]*)?</title><rect [^>]*?width="(?P<width>[\d.]+)%"[^>]*/>'
    r"<text [^>]*>)[^<]*</text>"
)
_WIDTH_PX, _LETTER_PX = 1180, 7.3  # as py-spy draws it
_HEIGHT_PX = 480


def record(py_spy: str, command: list[str], svg: Path) -> None:
    """Run a command under py-spy."""
    taken = subprocess.run(
        [py_spy, "record", "--rate", "100", "--function", "--format", "flamegraph", "--output", svg, "--", *command],
        capture_output=True,
        text=True,
    )
    if taken.returncode or not svg.is_file():
        sys.exit(f"py-spy ended with {taken.returncode}:\n{taken.stderr[-2000:]}")


def named(match: re.Match[str]) -> str:
    """A frame as module:function."""
    module = match["file"].removesuffix(".py").removesuffix("/__init__").replace("/", ".").lstrip(".")
    return f"{module}:{match['function']}{match['rest'] or ''}"


def tidied(svg: str, title: str) -> str:
    """The picture without script and paths."""
    svg = re.sub(r"<script.*?</script>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' onload="[^"]*"', "", svg)
    svg = re.sub(r'<text id="(details|unzoom|search|matched)".*?</text>', "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<text id="title"[^>]*>)[^<]*', lambda match: match[1] + title, svg)
    svg = re.sub(r"(?<=<title>)[^<]*", lambda match: _FRAME.sub(named, match[0]), svg)
    return cut(_BOX.sub(labelled, svg))


def cut(svg: str) -> str:
    """The picture down to where stacks are deep and thin, which are imports."""
    svg = re.sub(r"<g>(?:(?!</g>).)*?<rect [^>]*?y=\"(\d+)\".*?</g>", _unless_deep, svg, flags=re.DOTALL)
    svg = re.sub(
        r'(<svg version[^>]*?) height="\d+"([^>]*viewBox="0 0 \d+) \d+"',
        rf'\1 height="{_HEIGHT_PX}"\2 {_HEIGHT_PX}"',
        svg,
    )
    return re.sub(r'(<rect x="0" y="0" width="100%") height="\d+"', rf'\1 height="{_HEIGHT_PX}"', svg)


def _unless_deep(match: re.Match[str]) -> str:
    return match[0] if int(match[1]) < _HEIGHT_PX - 24 else ""


def labelled(match: re.Match[str]) -> str:
    """A box with as much of its name as it has room for, which py-spy leaves to its script."""
    name = html.unescape(match["name"])
    room = int(float(match["width"]) / 100 * _WIDTH_PX / _LETTER_PX)
    module, _, function = name.partition(" (")[0].rpartition(":")
    ways = (name, f"{module.rpartition('.')[2]}:{function}", function, f"{function[: room - 1]}…" if room > 2 else "")
    text = next((way for way in ways if len(way) <= room), "")
    return f"{match['box']}{html.escape(text, quote=False)}</text>"


def main() -> None:
    """Record, tidy up and check that no path of this machine is left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--py-spy", default="py-spy")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "clean.svg")
    arguments, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        svg = Path(folder, "flame.svg")
        record(arguments.py_spy, [*DEDUPKIT, "clean", arguments.source, f"{folder}/out", *options], svg)
        text = tidied(svg.read_text(encoding="utf-8"), f"dedupkit clean {' '.join(options)} ({commit()})")
    left = [path for path in (str(Path.home()), str(ROOT), tempfile.gettempdir(), sys.prefix) if f"{path}/" in text]
    if left:
        sys.exit(f"the picture names folders of this machine: {', '.join(left)}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(text, encoding="utf-8")
    print(f"{arguments.out}: {len(text) >> 10} KiB")


if __name__ == "__main__":
    main()
