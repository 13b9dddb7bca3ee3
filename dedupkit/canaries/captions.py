"""Captions as people write them, each used once: sentences out of lists of plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    import numpy as np


def _listed(text: str) -> list[str]:
    return text.split()


def _phrases(text: str) -> list[str]:
    return [phrase.strip() for phrase in text.split("|")]


_ADJECTIVES = _listed("""
    rusted wooden striped faded marble copper crooked quilted dented hollow woven painted cracked velvet folded
    tangled polished dusty amber turquoise crimson ivory speckled translucent enamel mossy frosted gilded tin paper
    knitted lacquered weathered narrow oversized miniature lopsided braided embossed spotted
""")
_NOUNS = _listed("""
    lantern kettle accordion wheelbarrow compass typewriter umbrella birdcage trombone suitcase hourglass teapot
    ladder telescope candlestick violin anvil rowing-boat windmill scarecrow sundial bicycle lighthouse mailbox
    globe rocking-horse gramophone weathervane bathtub cello tambourine sewing-machine chessboard metronome wardrobe
    harp barometer sled watering-can carousel flute armchair clock beehive canoe bucket
""")
_RELATIONS = _listed("""
    beside behind under above against between inside facing near atop below opposite
""")
_PLACES = _listed("""
    courtyard greenhouse boathouse attic orchard harbour library stairwell bakery meadow quarry vineyard workshop
    railway-station farmhouse-kitchen fish-market rooftop cloister stable tunnel theatre dockyard allotment
    observatory laundry canal-bridge barn ferry chapel museum-hall gravel-yard pine-forest
""")
_TIMES = _phrases("""
    at dusk|before sunrise|in light rain|under a grey sky|in late autumn|at noon|after the storm|in thick fog|
    on a windy day|in winter light|by candlelight|in early spring
""")
_VIEWS = _phrases("""
    seen from above|seen from the side|in the foreground|in soft focus|in the distance|half in shadow|
    reflected in a puddle|with its paint peeling
""")
_MIN_WORDS, _MAX_WORDS = 4, 60
_TRIES = 1000


@dataclass(frozen=True, slots=True)
class CaptionWriter:
    """Writes captions of the length and in the style of others.

    Attributes
    ----------
    models : sequence of str
        Captions of the set; each new one takes the length, the first letter's case and the full stop of one of them.
        None at all gives twelve words, or so, in lower case.
    """

    models: Sequence[str] = ()

    def write(self, rng: np.random.Generator, taken: Set[str]) -> str:
        """A caption that is neither taken nor one of the models, by any case of its letters.

        Raises
        ------
        RuntimeError
            If a thousand tries gave none; four words alone can be put together in 10 million ways.
        """
        used = {caption.casefold() for caption in (*taken, *self.models)}
        model = self.models[int(rng.integers(len(self.models)))] if self.models else "a " * 12
        for _ in range(_TRIES):
            caption = _styled(_words(rng, len(model.split())), model)
            if caption.casefold() not in used:
                return caption
        raise RuntimeError("no caption is left that was not used")


def _words(rng: np.random.Generator, length: int) -> str:
    """About as many words as asked for: a thing, and what there is to say of it."""
    wanted = min(max(length, _MIN_WORDS), _MAX_WORDS)
    text = _thing(rng) if wanted >= 6 else _short(rng)
    count, placed = len(text.split()), False
    while wanted - count >= 2:
        if not placed and wanted - count >= 4:
            clause, placed = f"in {_with_article(_pick(rng, _ADJECTIVES))} {_spaced(_pick(rng, _PLACES))}", True
        elif wanted - count >= 4:
            clause = f"{_pick(rng, _RELATIONS)} {_thing(rng)}"
        else:
            clause = _pick(rng, _TIMES if rng.integers(2) else _VIEWS)
        text += f" {clause}"
        count = len(text.split())
    return text


def _short(rng: np.random.Generator) -> str:
    return f"{_pick(rng, _ADJECTIVES)} {_spaced(_pick(rng, _NOUNS))} {_pick(rng, _RELATIONS)} {_pick(rng, _NOUNS)}"


def _thing(rng: np.random.Generator) -> str:
    first, second = _pick(rng, _ADJECTIVES), _pick(rng, _ADJECTIVES)
    return f"{_with_article(first)} {'' if first == second else second + ' '}{_spaced(_pick(rng, _NOUNS))}"


def _with_article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _styled(text: str, model: str) -> str:
    first = text[0].upper() + text[1:] if model[:1].isupper() else text
    return f"{first}." if model.rstrip().endswith(".") else first


def _spaced(word: str) -> str:
    return word.replace("-", " ")


def _pick(rng: np.random.Generator, words: Sequence[str]) -> str:
    return words[int(rng.integers(len(words)))]
