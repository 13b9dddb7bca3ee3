"""Rounds of each kind, one after the other, until time or numbers are used up; what came of them, counted."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, Queue
from threading import Thread
from typing import TYPE_CHECKING, Any

from fuzz import corpus, images, shards, small
from fuzz.narrowing import culprits, fails, shrunk
from fuzz.pictures import ROOT
from fuzz.running import FuzzError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fuzz.images import Item
    from fuzz.running import Run
    from fuzz.shards import Shard

IMAGES_A_RUN, SHARDS_A_RUN, SMALL_A_RUN = 250, 16, 120
_THOROUGH_EVERY = 4  # runs of images
_ALONE_EVERY = 4  # runs of shards: one that nothing stands beside
_SMALL_SECONDS = 60.0


@dataclass
class Tally:
    """What came of a campaign so far.

    Attributes
    ----------
    seed : int
        What all mutants are drawn from.
    images, shards, small : dict of str to Counter
        Outcomes by kind: reasons of images; of shards the worst that was found; of small files loaded or refused.
    found : list of str
        What must not be, a line each.
    guarded : list of str
        Images that took a process down, which was noticed and went on.
    examples : dict
        Of each kind and outcome the smallest mutant.
    """

    seed: int
    images: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    shards: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    small: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    found: list[str] = field(default_factory=list)
    guarded: list[str] = field(default_factory=list)
    examples: dict[tuple[str, str], Item | Shard] = field(default_factory=dict)
    _sizes: dict[tuple[str, str], int] = field(default_factory=dict)

    def keep_smallest(self, what: tuple[str, str], mutant: Item | Shard, byte_size: int) -> None:
        """Keep a mutant as an example of its kind and outcome, where there is no smaller one."""
        if byte_size < self._sizes.get(what, 1 << 62):
            self.examples[what], self._sizes[what] = mutant, byte_size

    def count(self, what: str) -> int:
        """How many mutants of a sort were tried."""
        return sum(sum(counted.values()) for counted in getattr(self, what).values())

    @staticmethod
    def kind_of_find(text: str) -> str:
        """What makes two finds the same: the last place of a traceback, else the words without numbers."""
        places = re.findall(r'File ".*", line \d+, in \w+', text)
        return places[-1] if places else re.sub(r"[\d']+", "", text.partition("; kept as")[0])

    def to_json(self) -> dict[str, Any]:
        """For benchmarks/results."""
        sorts = {
            name: {kind: dict(sorted(each.items())) for kind, each in sorted(getattr(self, name).items())}
            for name in SORTS
        }
        return {"seed": self.seed, **sorts, "found": self.found, "guarded": self.guarded}


def _told(tally: Tally, text: str) -> None:
    """Note what was found, and show it if nothing of the kind was shown before."""
    first = tally.kind_of_find(text) not in {tally.kind_of_find(each) for each in tally.found}
    tally.found.append(text)
    if first:
        print(f"FOUND {text}", flush=True)


def image_rounds(tally: Tally) -> Iterator[None]:
    """Runs over mutated images."""
    for number in range(1 << 20):
        shape = images.SHAPES[number % len(images.SHAPES)]
        preset = "thorough" if number % _THOROUGH_EVERY == _THOROUGH_EVERY - 1 else "fast"
        first = number * IMAGES_A_RUN
        items = [images.made(tally.seed, each) for each in range(first, first + IMAGES_A_RUN)]
        _images_tried(tally, items, shape, preset)
        yield


def _images_tried(tally: Tally, items: Sequence[Item], shape: str, preset: str) -> None:
    trial = partial(images.tried, shape=shape, preset=preset)
    try:
        run = trial(items)
    except FuzzError as error:
        guilty = culprits(items, trial)
        _keep_images(tally, guilty, f"{error} ({shape}, {preset})", trial)
        return
    reasons = {row["key"].rpartition("/")[2].partition(".")[0]: row["reason"] for row in run.rows}
    for item in items:
        tally.images[item.kind][reasons[item.key]] += 1
        tally.keep_smallest((item.kind, reasons[item.key]), item, len(item.data))
    tally.guarded += [f"image {row['key']}: {row['reason']} ({row['detail']})" for row in run.guarded]


def _keep_images(tally: Tally, guilty: Sequence[Item], why: str, trial: Any) -> None:
    from dataclasses import replace

    if len(guilty) == 1:
        item = guilty[0]
        small_one = shrunk(item.data, lambda data: fails(trial, [replace(item, data=data)]))
        guilty = [replace(item, data=small_one)]
    for item in guilty[:3]:
        place = corpus.keep_image(item, "found")
        _told(tally, f"image {item.key} {item.steps} of seed {tally.seed}: {why}; kept as {place.relative_to(ROOT)}")


def shard_rounds(tally: Tally) -> Iterator[None]:
    """Runs over mutated shards: many beside an untouched one, and now and then one alone."""
    families, number = tuple(shards.FAMILIES), 0
    for turn in range(1 << 20):
        family = families[turn // _ALONE_EVERY % len(families)]
        beside = turn % _ALONE_EVERY != _ALONE_EVERY - 1
        count = SHARDS_A_RUN if beside else 1
        chosen = [shards.made(tally.seed, each, family) for each in range(number, number + count)]
        number += count
        _shards_tried(tally, chosen, family, beside=beside)
        yield


def _shards_tried(tally: Tally, chosen: Sequence[Shard], family: str, *, beside: bool) -> None:
    trial = partial(shards.tried, family=family, beside=beside)
    try:
        run = trial(chosen)
    except FuzzError as error:
        for shard in culprits(chosen, trial)[:3]:
            place = corpus.keep_shard(shard, "found")
            what = f"shard {shard.name} {shard.kind} {shard.steps} of seed {tally.seed}"
            _told(tally, f"{what}: {error}; kept as {place.relative_to(ROOT)}")
        return
    for shard in chosen:
        outcome = _outcome(shard, run)
        tally.shards[shard.kind][outcome] += 1
        tally.keep_smallest((shard.kind, outcome), shard, sum(map(len, shard.files.values())))


def _outcome(shard: Shard, run: Run) -> str:
    """What became of a shard, in a word."""
    if run.code != 0:
        return "refused"
    rows = [row for row in run.rows if row["shard"].startswith(shard.name)]
    reasons = {row["reason"] for row in rows}
    if "damaged_shard" in reasons:
        return "read up to its damage" if len(rows) > 1 else "damaged_shard"
    if any(row["action"] == "quarantine" for row in rows):
        return "read whole, samples quarantined"
    return "read whole" if rows else "empty"


def small_rounds(tally: Tally) -> Iterator[None]:
    """Processes that try small files."""
    first = 0
    while True:
        for line in _small_tried(tally.seed, first, first + SMALL_A_RUN):
            kind, said = line["kind"], line["said"]
            tally.small[kind][said if said in ("loaded", "refused") else "found"] += 1
            if said not in ("loaded", "refused"):
                place = corpus.keep_small(*small.made(tally.seed, line["at"]), "found")
                what = f"{kind} {line['at']} of seed {tally.seed}"
                _told(tally, f"{what}: {said[-1500:]}; kept as {place.relative_to(ROOT)}")
        first += SMALL_A_RUN
        yield


def _small_tried(seed: int, first: int, stop: int) -> Iterator[dict[str, Any]]:
    """What came of each; a process that dies or hangs is followed by another that goes on after it."""
    while first < stop:
        command = [sys.executable, "-m", "fuzz.trying", str(seed), str(first), str(stop - first)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        at, lines, said = first, _lines(process), "ended early"
        try:
            while (line := lines.get(timeout=_SMALL_SECONDS)) is not None:
                told = json.loads(line)
                at = told["at"]
                if "said" in told:
                    yield told
                    first = at + 1
        except Empty:
            said = f"hangs: took more than {_SMALL_SECONDS:g} s"
        process.kill()
        code = process.wait()
        if first < stop:
            yield {"at": at, "kind": small.KINDS[at % len(small.KINDS)], "said": f"{said}, code {code}"}
            first = at + 1


def _lines(process: subprocess.Popen[str]) -> Queue[str | None]:
    """What a process says, line by line; None at its end."""
    found: Queue[str | None] = Queue()
    stream = process.stdout
    if stream is None:
        raise TypeError("the process has no pipe")

    def listen() -> None:
        with stream:
            for line in stream:
                found.put(line)
        found.put(None)

    Thread(target=listen, daemon=True).start()
    return found


SORTS = {"images": image_rounds, "shards": shard_rounds, "small": small_rounds}


def campaign(seed: int, seconds: float, wanted: dict[str, int]) -> Tally:
    """Rounds in turns, until the time is over, or of each sort as many were tried as are wanted.

    Parameters
    ----------
    seed : int
        What all mutants are drawn from.
    seconds : float
        No round is begun later.
    wanted : dict of str to int
        Sorts that are tried at all, and how many mutants of each.
    """
    tally, until = Tally(seed), time.monotonic() + seconds
    rounds = {sort: SORTS[sort](tally) for sort in wanted}
    while rounds and time.monotonic() < until:
        for sort in list(rounds):
            next(rounds[sort])
            if tally.count(sort) >= wanted[sort]:
                del rounds[sort]
            if time.monotonic() > until:
                break
    return tally
