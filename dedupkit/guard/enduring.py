"""A journey that samples cannot end: what takes a process down is found, left out, and the journey begun again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from dedupkit.guard.condemned import Condemned, plain
from dedupkit.guard.recorder import tag_of
from dedupkit.guard.supervisor import suspects
from dedupkit.parts import LostPartsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dedupkit.journey import Journey
    from dedupkit.sources.base import Shard

Going = TypeVar("Going", bound="Journey")
Outcome = TypeVar("Outcome")
_log = logging.getLogger("dedupkit")


def enduring(make: Callable[[], Going], go: Callable[[Going], Outcome]) -> Outcome:
    """Go a journey to its end.

    Parameters
    ----------
    make : callable
        Makes the journey, which leaves out what its work folder names as condemned.
    go : callable
        Goes it; called again after samples were condemned, and finds all parts that they do not change.

    Raises
    ------
    LostPartsError
        A process died again, though every sample of the shards that it was at can be looked at alone.
    """
    journey, spared = make(), set[bytes]()
    accused = [shard for shard in journey.shards if tag_of(shard) in suspects()]
    while True:
        if accused:
            if not _condemn(journey, accused):
                spared.update(map(tag_of, accused))
            journey = make()
        try:
            return go(journey)
        except LostPartsError as lost:
            accused = list(lost.shards)
            if spared.issuperset(map(tag_of, accused)):
                raise


def _condemn(journey: Journey, shards: Sequence[Shard]) -> bool:
    """Try the samples of some shards, and condemn those that took the process down; whether there are any."""
    from dedupkit.guard.trial import try_shard

    _log.warning("a process died at %s; their samples are tried one by one", ", ".join(each.name for each in shards))
    verdicts = {tag_of(plain(shard)).hex(): try_shard(journey.source, shard, journey.recipe) for shard in shards}
    found = {tag: verdict for tag, verdict in verdicts.items() if verdict}
    if not found:
        return False
    Condemned.read(journey.work).joined(found).write(journey.work)
    return True
