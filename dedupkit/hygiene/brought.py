"""Checks that others bring: each looks at a picture in its one decode and may say what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from dedupkit.errors import DedupkitError, UsageError
from dedupkit.plugins import CHECKS
from dedupkit.sample import Fault, Reason

if TYPE_CHECKING:
    from dedupkit.fingerprints.decode import Decoded
    from dedupkit.plugins import Plugin
    from dedupkit.recipe import Hygiene
    from dedupkit.sample import Sample


class Check(Protocol):
    """One check; made once in each process, called by several threads.

    It may also have ``version`` (raised whenever it judges otherwise) and ``min_side`` (pixels that the shorter side
    keeps of JPEGs that are decoded at reduced scale).
    """

    def look(self, sample: Sample, picture: Decoded) -> str | None:
        """What is wrong, in words, which quarantines the sample; None or no words where nothing is.

        Parameters
        ----------
        sample : Sample
            Key, encoded image, caption and other fields.
        picture : Decoded
            ``colour`` is RGB, uint8 of shape (h, w, 3), upright; width and height are those at full scale.
        """
        ...


@dataclass(frozen=True, slots=True)
class BroughtChecks:
    """The checks of a recipe that others bring.

    Parameters
    ----------
    names : tuple of str
        In the order in which they look; the first that finds something counts.
    """

    names: tuple[str, ...]

    @classmethod
    def of(cls, hygiene: Hygiene) -> BroughtChecks:
        """Those of a recipe's ``[hygiene]``."""
        return cls(hygiene.checks)

    def __bool__(self) -> bool:
        return bool(self.names)

    @property
    def min_side(self) -> int:
        """Pixels that the shorter side of a picture should have, if the image has them."""
        return max((int(getattr(check, "min_side", 1)) for _, check in self._made()), default=1)

    @property
    def identity(self) -> str:
        """All that what is found depends on besides the sample."""
        return ", ".join(CHECKS.find(name).identity for name in self.names)

    def check(self, *, has_images: bool = True) -> None:
        """Check before a run that everything is there.

        Raises
        ------
        UsageError
            There is no such check, it cannot be made, or there are no images to look at.
        """
        if self.names and not has_images:
            raise UsageError("[hygiene] checks have to see images, and of a list none is decoded; leave checks out")
        for plugin, check in self._made():
            if not callable(getattr(check, "look", None)):
                raise UsageError(f"{plugin.title} must have a method look(sample, picture); mend it")

    def look(self, sample: Sample, picture: Decoded) -> Fault | None:
        """What the first check that finds something says.

        Raises
        ------
        RunError
            A check raised, or gave something else than words.
        """
        for plugin, check in self._made():
            try:
                said = check.look(sample, picture)
                if said is not None and not isinstance(said, str):
                    raise TypeError(f"look gave a {type(said).__name__}, no words")
            except DedupkitError:
                raise
            except Exception as error:
                raise plugin.failed(error, f"the sample {sample.key}") from error
            if said:
                return Fault(Reason.CHECKED_OUT, f"{plugin.name}: {' '.join(said.split())}")
        return None

    def _made(self) -> tuple[tuple[Plugin, Check], ...]:
        return tuple((plugin, _made(plugin)) for plugin in map(CHECKS.find, self.names)) if self.names else ()


@lru_cache(maxsize=64)
def _made(plugin: Plugin) -> Any:
    return plugin.make()
