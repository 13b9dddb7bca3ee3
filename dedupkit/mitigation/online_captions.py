"""Captions while training: one of several drawn, words replaced, inserted and repeated, other ones every epoch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.errors import UsageError
from dedupkit.mitigation.epochs import InEpochs

if TYPE_CHECKING:
    from collections.abc import Iterable

# Ours: frequent English words of many kinds, for sets whose own words are not at hand
_COMMON_TEXT = """
    a about above across after again air all along also always an and animal another any apple are arm around as at away
    baby back bag ball bank bar be beach bear beautiful because bed been before behind below best better between big
    bird black blue boat body book both box boy bread bridge bright brown building bus but by call can car cat chair
    child city clean clear close clothes cloud coat cold color come corn could country cow cup dark day deep desk did
    different dog door down dress drink drive dry each ear early earth eat egg end even every eye face fall family far
    farm fast few field fire fish five flat floor flower fly food foot for forest four free friend from front fruit full
    game garden girl glass go gold good grass great green grey ground group grow hair half hand happy hard hat have he
    head heart heavy her here high hill him his home horse hot house how ice in inside into island it its jacket just
    keep kitchen lake land large last leaf left leg light line little live long look low made make man many map may me
    meat metal milk moon more morning most mountain mouth move much music my name near new night no north nose not now
    ocean of off old on one only open or orange other our out outside over page paper park part people picture place
    plane plant plate play rain red rest right river road rock room round run salt same sand school sea see seven shape
    she ship shirt shoe shop short side sign silver simple sit six sky sleep slow small smile snow so soft some song
    sound south space square stand star start step still stone street strong such summer sun sweet table tail take tall
    tea ten than that the their them then there these they thin thing this three through time to together top tower town
    train tree two under up very view voice wait walk wall warm was watch water wave way we well were west what wheel
    when where which while white who wide wild will wind window winter with woman wood word world year yellow yes you
    young your
"""
COMMON_WORDS = tuple(_COMMON_TEXT.split())
_WORD_MARKS = ("</w>", "\u0120", "\u2581", "##")  # how CLIP, GPT-2, SentencePiece and BERT mark where a word is
_CAPTION_NAMES = ("txt", "caption", "text")  # as the sinks, and img2dataset, call it
_MAX_REPLACED_WORDS = 4  # tokens of a random caption in the authors' code
_INSERTED_WORDS = 2  # likewise, of random and of repeated words


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineCaptions:
    """How captions are changed while training (Somepalli et al. 2023, arXiv 2305.20086).

    What each does, and 0.1 for the three in the middle, is what the authors' published code does by default.  There
    each was tried alone; here they may be used together, in the order below.  The paper's own experiments may have
    used 0.4 for whole captions and repeated words, which we could not check.  That drawing among several captions helps
    most while training is what others say of the paper.

    Attributes
    ----------
    draw : bool
        Draw one of the sample's captions, each as likely as the others; without, the first counts (MC).
    whole_caption_probability : float
        How often the whole caption is replaced by 4 random words of the vocabulary; nothing else is done then (RC).
    insertion_probability : float
        How often 2 random words of the vocabulary are inserted, each anywhere (RT).
    repetition_probability : float
        How often 2 words of the caption are inserted once more, each anywhere (CWR).
    replaced_word_share : float
        How likely each word is replaced by one of the vocabulary; ours, and 0 unless asked for.

    Raises
    ------
    UsageError
        If a number is not in [0, 1].
    """

    draw: bool = True
    whole_caption_probability: float = 0.1
    insertion_probability: float = 0.1
    repetition_probability: float = 0.1
    replaced_word_share: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if not 0 <= value <= 1:
                raise UsageError(f"{field.name} must be in [0, 1], got {value}; it is a probability")


class CaptionMitigation(InEpochs):
    """Gives the caption to train on: other every epoch, the same for the same seed, key and epoch.

    Parameters
    ----------
    options : OnlineCaptions
        What to do, and how often.
    seed : int
        Chance comes from it, the sample's key and the epoch alone, not from order, batches or workers.
    vocabulary : sequence of str, optional
        Random words come out of it: `words_of` the set's captions, `words_of_tokenizer`, or anything else; a list of
        374 common English words if left out.

    Raises
    ------
    UsageError
        If the vocabulary is empty.

    Notes
    -----
    About 50 microseconds a caption.  A caption that is None or empty stays so: training without a caption is a choice
    of the loop's.

    Examples
    --------
    >>> mitigation = CaptionMitigation(OnlineCaptions(), seed=7)
    >>> captions = ["a dog on a beach", "dog by the sea"]
    >>> [mitigation(captions, "0001.jpg", epoch) for epoch in range(3)]
    ['a dog on a beach', 'a dog on a beach a beach', 'a dog on a beach']
    """

    def __init__(self, options: OnlineCaptions, seed: int, vocabulary: Sequence[str] | None = None) -> None:
        super().__init__()
        self.options = options
        self.seed = seed
        self.vocabulary = COMMON_WORDS if vocabulary is None else tuple(vocabulary)
        if not self.vocabulary:
            raise UsageError("vocabulary must hold at least one word, got none; leave it out for common English words")

    def __call__(self, captions: Sequence[str | None] | str | None, key: str, epoch: int | None = None) -> str | None:
        """The caption to train on.

        Parameters
        ----------
        captions : sequence of str, str or None
            What the sample may be called, its own caption first.
        key : str
            Name of the sample, unique in the set.
        epoch : int, optional
            Pass over the set; the one of `set_epoch` if left out.

        Returns
        -------
        str or None
            None where there is no caption.
        """
        known = [captions] if isinstance(captions, str) else [each for each in captions or () if each]
        if not known:
            return None
        rng = self._generator(key, self.epoch if epoch is None else epoch)
        chances = rng.random(4).tolist()  # always drawn, so that an option does not change what others draw
        caption = known[int(chances[0] * len(known))] if self.options.draw else known[0]
        return self._changed(caption, chances[1:], rng) if caption.strip() else caption

    def rows(self, rows: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
        """For ``Dataset.set_transform``: a batch as columns, of which ``caption`` is changed.

        Parameters
        ----------
        rows : mapping of str to sequence
            With columns ``key`` and ``caption`` or ``captions``; where a sample's ``captions`` are empty, its
            ``caption`` counts.

        Raises
        ------
        UsageError
            If one is missing.
        """
        if "key" not in rows or not {"caption", "captions"} & rows.keys():
            raise UsageError(
                f"captions need the columns key and caption or captions, got {', '.join(rows)}; select them too"
            )
        nothing = [None] * len(rows["key"])
        known = zip(rows["key"], rows.get("captions", nothing), rows.get("caption", nothing), strict=True)
        return {**rows, "caption": [self(several or one, key) for key, several, one in known]}

    def sample(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """For ``.map`` of webdataset or an ``IterableDataset``: one sample, of which the caption is changed.

        Parameters
        ----------
        sample : mapping of str to object
            With a caption under txt, caption or text, as str or bytes; with key and, where there are several, captions
            beside it or in the entry json; else webdataset's ``__key__``.

        Raises
        ------
        UsageError
            If caption or key is missing.
        """
        name = next((each for each in _CAPTION_NAMES if each in sample), None)
        facts = _facts(sample)
        if name is None or "key" not in facts:
            raise UsageError(
                f"captions need a sample with a caption ({', '.join(_CAPTION_NAMES)}) and a key, got "
                f"{', '.join(sample)}; name them so"
            )
        own = sample[name]
        text = own.decode("utf-8", "replace") if isinstance(own, bytes) else own
        fresh = self(facts.get("captions") or text, facts["key"])
        return {**sample, name: (fresh or "").encode() if isinstance(own, bytes) else fresh}

    def _generator(self, key: str, epoch: int) -> np.random.Generator:
        name = json.dumps(["caption/1", self.seed, key, epoch])
        return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(name.encode()).digest())))

    def _changed(self, caption: str, chances: Sequence[float], rng: np.random.Generator) -> str:
        options = self.options
        if chances[0] < options.whole_caption_probability:
            return " ".join(self._random_words(_MAX_REPLACED_WORDS, rng))
        words = caption.split()
        before = list(words)
        if options.replaced_word_share:
            gone = rng.random(len(words)) < options.replaced_word_share
            fresh = self._random_words(len(words), rng)
            words = [new if out else old for old, new, out in zip(words, fresh, gone.tolist(), strict=True)]
        if chances[1] < options.insertion_probability:
            words = _inserted(words, self._random_words(_INSERTED_WORDS, rng), rng)
        if chances[2] < options.repetition_probability:
            words = _inserted(words, [words[int(rng.integers(len(words)))] for _ in range(_INSERTED_WORDS)], rng)
        return caption if words == before else " ".join(words)

    def _random_words(self, count: int, rng: np.random.Generator) -> list[str]:
        return [self.vocabulary[number] for number in rng.integers(len(self.vocabulary), size=count).tolist()]


def words_of(captions: Iterable[str | None]) -> tuple[str, ...]:
    """The different words of some captions, sorted, so that their order does not depend on that of the captions.

    Examples
    --------
    >>> words_of(["a dog", "a cat", None])
    ('a', 'cat', 'dog')
    """
    return tuple(sorted({word for caption in captions if caption for word in caption.split()}))


def words_of_tokenizer(tokens: Iterable[str]) -> tuple[str, ...]:
    """The whole words among a tokenizer's tokens, sorted: ``words_of_tokenizer(tokenizer.get_vocab())``.

    Examples
    --------
    >>> words_of_tokenizer(["dog</w>", "ing", "<|endoftext|>", "cat</w>", "!</w>"])
    ('cat', 'dog')
    """
    listed = list(tokens)
    mark = max(_WORD_MARKS, key=lambda each: sum(each in token for token in listed))
    continued = mark == "##"  # BERT marks what is no beginning; the others mark a whole word's end or beginning
    marked = [token for token in listed if (mark in token) != continued]
    words = {token if continued else token.replace(mark, "") for token in marked}
    return tuple(sorted(word for word in words if word.isalpha()))


def noisy_embeddings(embeddings: Any, scale: float, generator: Any = None) -> Any:
    """Text embeddings with Gaussian noise, fresh at each call (GN of Somepalli et al. 2023, arXiv 2305.20086).

    Parameters
    ----------
    embeddings : ndarray or torch.Tensor of a floating dtype, any shape
        What a text encoder gives; left as they are.
    scale : float
        Standard deviation of the noise.  The authors' code takes 0.1 at inference, and values in [0, 1] while training.
    generator : numpy.random.Generator or torch.Generator, optional
        Where the noise comes from; of torch only for tensors, and on their device.

    Returns
    -------
    ndarray or torch.Tensor
        Of the same kind, dtype, shape and device.

    Raises
    ------
    UsageError
        If `scale` is negative.

    Examples
    --------
    >>> noisy = noisy_embeddings(np.zeros((77, 768), np.float32), 0.1, np.random.default_rng(7))
    >>> noisy.dtype, round(float(noisy.std()), 2)
    (dtype('float32'), 0.1)
    """
    if not scale >= 0:
        raise UsageError(f"scale must be 0 or more, got {scale}; it is a standard deviation")
    if isinstance(embeddings, np.ndarray):
        rng = np.random.default_rng() if generator is None else generator
        return (embeddings + scale * rng.standard_normal(embeddings.shape)).astype(embeddings.dtype)
    if isinstance(generator, np.random.Generator):
        noise = embeddings.new_tensor(generator.standard_normal(tuple(embeddings.shape)))
    else:
        noise = embeddings.new_empty(embeddings.shape).normal_(generator=generator)
    return embeddings + scale * noise


def _inserted(words: Sequence[str], fresh: Sequence[str], rng: np.random.Generator) -> list[str]:
    longer = list(words)
    for word in fresh:
        longer.insert(int(rng.integers(len(longer) + 1)), word)
    return longer


def _facts(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Key and captions of a sample, from beside its caption, its JSON or webdataset's name for it."""
    described = sample.get("json", {})
    if isinstance(described, (bytes, str)):
        described = json.loads(described)
    described = described if isinstance(described, Mapping) else {}
    found = {name: places[name] for name in ("key", "captions") for places in (described, sample) if name in places}
    return {"key": sample["__key__"], **found} if "__key__" in sample else found
