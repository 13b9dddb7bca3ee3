"""What people would not want a model to have learnt: faces, pages of text, nudity; looked for only where asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dedupkit.recipe import Hygiene

KINDS = ("faces", "documents", "nsfw")
_MIN_SIDE = {"faces": 320, "documents": 512, "nsfw": 256}  # pixels that JPEGs decoded at reduced scale keep
COLUMNS = ("faces", "text_share", "text_lines", "nsfw_score")


class Sensitive(NamedTuple):
    """What was seen in a picture; None where nobody looked.

    Attributes
    ----------
    faces : list of mapping
        Fields of `dedupkit.hygiene.boxes.Box`, the surest first.
    text_share : float
        Share of the area in [0, 1] that lines of text take.
    text_lines : int
        Lines of text.
    nsfw_score : float
        How likely there is nudity or sex, in [0, 1].
    """

    faces: list[dict[str, float]] | None = None
    text_share: float | None = None
    text_lines: int | None = None
    nsfw_score: float | None = None


@dataclass(frozen=True, slots=True)
class Lookout:
    """Looks for what a recipe asks for.

    Parameters
    ----------
    kinds : tuple of str
        Of `KINDS`.
    """

    kinds: tuple[str, ...]

    @classmethod
    def of(cls, hygiene: Hygiene) -> Lookout:
        """The one that a recipe's ``[hygiene]`` asks for.

        Examples
        --------
        >>> from dedupkit.recipe import Hygiene
        >>> Lookout.of(Hygiene()).look(None)
        Sensitive(faces=None, text_share=None, text_lines=None, nsfw_score=None)
        """
        return cls(tuple(kind for kind in KINDS if getattr(hygiene, kind) != "off"))

    def __bool__(self) -> bool:
        return bool(self.kinds)

    @property
    def min_side(self) -> int:
        """Pixels that the shorter side of a picture should have, if the image has them."""
        return max((_MIN_SIDE[kind] for kind in self.kinds), default=1)

    @property
    def identity(self) -> str:
        """All that what is seen depends on besides the picture; empty where nothing is looked for."""
        return ", ".join(_detectors().identity(kind) for kind in self.kinds)

    def check(self, *, has_images: bool = True) -> None:
        """Check before a run that everything is there.

        Raises
        ------
        UsageError
            A package is missing, or there are no images to look at.
        """
        for kind in self.kinds:
            if not has_images:
                raise UsageError(f'[hygiene] {kind} has to see images, and of a list none is decoded; say "off"')
            _detectors().require(kind)

    def look(self, picture: NDArray[Any] | None) -> Sensitive:
        """Look at a picture.

        Parameters
        ----------
        picture : ndarray of uint8, shape (height, width, 3), or None
            RGB, upright.  On one core takes some 0.1 s for faces, 0.15 s for text and 0.05 s for nudity.
        """
        if picture is None or not self.kinds:
            return Sensitive()
        found: dict[str, Any] = {}
        if "faces" in self.kinds:
            found["faces"] = [box._asdict() for box in _detectors().faces(picture)]
        if "documents" in self.kinds:
            found["text_share"], found["text_lines"] = _detectors().text(picture)
        if "nsfw" in self.kinds:
            found["nsfw_score"] = _detectors().nsfw(picture)
        return Sensitive(**found)


def _detectors() -> Any:
    """The module with the networks, imported where one is asked for."""
    from dedupkit.hygiene import detectors

    return detectors
