"""Recipe: every choice of a run as validated data, read from and written to TOML."""

from dedupkit.recipe.augment import Augment
from dedupkit.recipe.blocklist import Blocklist
from dedupkit.recipe.canaries import Canaries
from dedupkit.recipe.captions import Captions
from dedupkit.recipe.card import Card
from dedupkit.recipe.hygiene import Hygiene
from dedupkit.recipe.matching import Keep, Matching, policy_name
from dedupkit.recipe.output import Output
from dedupkit.recipe.overrides import Overrides
from dedupkit.recipe.reading import Fingerprints, Limits, SourceOptions
from dedupkit.recipe.whole import Recipe, complaints

__all__ = [
    "Augment",
    "Blocklist",
    "Canaries",
    "Captions",
    "Card",
    "Fingerprints",
    "Hygiene",
    "Keep",
    "Limits",
    "Matching",
    "Output",
    "Overrides",
    "Recipe",
    "SourceOptions",
    "complaints",
    "policy_name",
]
