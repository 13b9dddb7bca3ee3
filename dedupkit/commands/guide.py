"""What help shows beside options: which command is for what, and examples of each, by the words that call it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

BEGIN = "To begin with"
BEFORE = "Before training"
AFTER = "After training, and later"

PANELS = {
    "demo": BEGIN, "find": BEGIN, "clean": BEGIN, "doctor": BEGIN,
    "plan": BEFORE, "calibrate": BEFORE, "decontaminate": BEFORE, "check": BEFORE, "recipe": BEFORE, "canaries": BEFORE,
    "audit": AFTER, "remove": AFTER, "index": AFTER, "report": AFTER,
}  # fmt: skip

WELCOME = """\
Clean captioned image sets before training so that models memorise less, and audit the models after.

dedupkit demo               shows it all on pictures that come along
dedupkit find photos/       which of your own are copies; changes nothing
dedupkit clean photos/ out/ a clean set in out/, and why the others are gone
"""

EXIT_CODES = """\
Every command says more and has examples: dedupkit COMMAND --help

Exit codes: 0 done, 1 the run failed or a check found a fault, 2 wrong usage; what went wrong is one line on stderr.
"""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "demo": ("dedupkit demo", "dedupkit demo /tmp/demo"),
    "doctor": ("dedupkit doctor", "dedupkit doctor out/", "dedupkit doctor --json"),
    "find": (
        "dedupkit find photos/",
        "dedupkit find 'shards/{00000..00041}.tar' --json found.json",
        "dedupkit find photos/ --preset fast",
    ),
    "clean": (
        "dedupkit clean photos/ out/",
        "dedupkit clean 'shards/*.tar' out/ --recipe finetune",
        "dedupkit clean data.parquet out/ --image-column picture --format webdataset",
        "dedupkit clean photos/ out/ --block images=never/ --canaries 64",
    ),
    "remove": (
        "dedupkit remove out/ --like taken-down.jpg",
        "dedupkit remove out/ --url https://example.org/cat.jpg --key 000012",
    ),
    "calibrate": (
        "dedupkit calibrate photos/",
        "dedupkit calibrate photos/ --samples 500 --edits crop70,mirrored --json measured.json",
    ),
    "plan": (
        "dedupkit plan shards/",
        "dedupkit plan shards/ --machine cores=64,memory=256GiB,disk=8TB,price=3.2",
    ),
    "decontaminate": (
        "dedupkit decontaminate train/ --against test/",
        "dedupkit decontaminate train/ clean/ --against test/ --against benchmark.parquet",
    ),
    "check": (
        "dedupkit check photos/ --max-duplicates 0.5%",
        "dedupkit check train/ --no-leak test/ --junit check.xml --sarif check.sarif",
    ),
    "report": ("dedupkit report out/", "dedupkit report out/ --calibration calibration.json"),
    "audit": (
        "dedupkit audit model/ --data out/",
        "dedupkit audit extraction model/ --data out/ --generations 500 --minutes 30",
        "dedupkit audit model/ --data out/ --canaries out.canaries.private.json",
    ),
    "recipe init": ("dedupkit recipe init finetune", "dedupkit recipe init --out mine.toml"),
    "recipe check": ("dedupkit recipe check mine.toml",),
    "recipe explain": ("dedupkit recipe explain privacy",),
    "canaries make": ("dedupkit canaries make photos/ photos.canaries.private.json --planted 64 --controls 64",),
    "canaries list": ("dedupkit canaries list photos.canaries.private.json",),
    "canaries verify": ("dedupkit canaries verify out.canaries.private.json out/",),
    "canaries strip": ("dedupkit canaries strip out.canaries.private.json out/ without/",),
    "canaries prove": (
        "dedupkit canaries prove out.canaries.private.json --canary 3 --out proof.json",
        "dedupkit canaries prove proof.json --check COMMITMENT",
    ),
    "index build": ("dedupkit index build seen.index photos/",),
    "index add": ("dedupkit index add seen.index new/ --name monday",),
    "index query": ("dedupkit index query seen.index cat.jpg",),
    "index remove": ("dedupkit index remove seen.index --like taken-down.jpg",),
    "index compact": ("dedupkit index compact seen.index",),
    "index info": ("dedupkit index info seen.index --json",),
}


def guided(app: typer.Typer) -> typer.Typer:
    """The application with its commands in panels, and examples below the help of each."""
    places = {name: place for place, name in enumerate(PANELS)}
    app.registered_commands.sort(key=lambda command: places.get(_name(command), len(places)))
    for command in app.registered_commands:
        name = _name(command)
        command.rich_help_panel = PANELS.get(name)
        command.epilog = _examples(name)
    for group in app.registered_groups:
        below = group.typer_instance
        if below is None or not isinstance(below.info.name, str):
            continue
        group.rich_help_panel = PANELS.get(below.info.name)
        for command in below.registered_commands:
            command.epilog = _examples(f"{below.info.name} {_name(command)}")
    return app


def _name(command: typer.models.CommandInfo) -> str:
    """What a command is called: by itself, or like its function."""
    return command.name or str(getattr(command.callback, "__name__", "")).replace("_", "-")


def _examples(name: str) -> str | None:
    lines = EXAMPLES.get(name, ())
    head = "Examples:" if len(lines) > 1 else "Example:"
    return "\n".join([head, *(f"  {line}" for line in lines)]) if lines else None
