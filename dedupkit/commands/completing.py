"""What a shell offers after an option: the values there are, which are known here without importing what takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

PRESETS = ("fast", "thorough")
ENGINES = ("local", "ray")
POLICIES = ("best", "first", "last")
IMAGE_FORMATS = ("arrow", "parquet", "webdataset", "mds")
FORMATS = (*IMAGE_FORMATS, "list")
ATTACKS = ("extraction", "inpainting", "membership", "exposure")
CANARY_KINDS = ("texture", "blob", "pair", "scene", "natural")
BLOCKS = ("urls=", "domains=", "keys=", "sha256=", "md5=", "pdq=", "images=")
EDITS = (
    "reencoded", "jpeg60", "jpeg10", "half", "thumbnail", "crop875", "crop70", "half_area", "mirrored", "flipped",
    "turned", "turned25", "squeezed", "slanted", "brighter", "darker", "grey", "blurred", "noisy", "captioned",
    "framed", "screenshot",
)  # fmt: skip


def among(names: Sequence[str]) -> Callable[[str], list[str]]:
    """Offers those of the names that begin as the word does."""

    def offered(incomplete: str) -> list[str]:
        return _beginning(names, incomplete)

    return offered


def some_of(names: Sequence[str]) -> Callable[[str], list[str]]:
    """The same for names with commas between: the last of them is completed, none is offered twice."""

    def offered(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        left = [name for name in names if name not in before.split(",")]
        return [f"{before}{comma}{name}" for name in _beginning(left, last)]

    return offered


def recipe_names(incomplete: str) -> list[str]:
    """Recipes of the package; where none begins so, the shell offers files."""
    from dedupkit import recipes

    return _beginning(recipes.names(), incomplete)


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
