"""What a report tells of a run, in the words of a dataset card."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import tomli_w

from dedupkit.mitigation.stage import CaptionFacts
from dedupkit.recipe import Augment, Card, Hygiene, Recipe
from dedupkit.report.sensitive import SensitiveFacts
from dedupkit.report.words import REASONS, caption_words
from dedupkit.sample import Action, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SHOWN = ("fingerprints", "hygiene", "matching", "captions", "keep", "augment")  # the others name files and places
_FILES = {"placeholder_files"}
_LESS = "less what stands in "


@lru_cache(maxsize=4)
def _tables(recipe_toml: str) -> Mapping[str, Any]:
    """A recipe's tables; a card asks for them a dozen times."""
    return tomllib.loads(recipe_toml)


@dataclass(frozen=True, slots=True)
class Told:
    """A run as ``report.json`` has it.

    Attributes
    ----------
    summary : mapping
        The content of ``report.json``.
    """

    summary: Mapping[str, Any]

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The recipe's tables, with every default; a policy that is code is but a name there."""
        return _tables(self.summary["recipe"])

    @property
    def card(self) -> Card:
        """What the recipe says for the card."""
        return Card.model_validate(self.recipe.get("card", {}))

    @property
    def samples(self) -> Mapping[str, int]:
        """Samples in, kept, dropped, quarantined."""
        return dict(self.summary["samples"])

    @property
    def origin(self) -> str:
        """Where the pictures come from: as the recipe says, else the source without the folders above it."""
        said = self.card.origin or ", ".join(map(_without_folders, self.summary["source"].split(", ")))
        return " ".join(said.split())

    def removed(self) -> list[tuple[str, str, str, int]]:
        """What happened, why in a word and in words, and how often, for each reason that took something out."""
        counts = {Reason(name): count for name, count in self.summary["reasons"].items() if count}
        happened = {Action.DROP: "dropped", Action.QUARANTINE: "quarantined"}
        return [
            (happened[reason.action], *REASONS[reason], count)
            for reason, count in counts.items()
            if reason.action in happened
        ]

    def changed(self) -> list[str]:
        """What was changed in that which stays, one sentence each."""
        hygiene = Hygiene.model_validate(self.recipe["hygiene"])
        return [*self._changed_files(hygiene), *self._changed_pixels(hygiene), *self._changed_captions()]

    def _changed_files(self, hygiene: Hygiene) -> Iterator[str]:
        if hygiene.strip_metadata:
            yield (
                "EXIF, GPS positions, XMP, IPTC, comments and thumbnails were taken out of JPEG, PNG and WebP files; "
                "colour profile and orientation stayed."
            )
        if hygiene.drop_fields:
            yield f"These columns of the source were left out, where it had them: {', '.join(hygiene.drop_fields)}."
        if hygiene.orientation == "bake":
            yield "Pictures that EXIF says are to be turned were turned, and the tag taken away."

    def _changed_pixels(self, hygiene: Hygiene) -> Iterator[str]:
        augment = Augment.model_validate(self.recipe["augment"])
        blurred = self.summary.get("sensitive", {}).get("blurred")
        if blurred:
            yield f"Faces were blurred in {blurred:,} pictures."
        if augment.changes_pixels:
            said = ", ".join(f"{words} {value}" for words, value in _amounts(augment) if value)
            yield f"All pictures were changed at random and encoded anew: {said}."
        elif hygiene.faces != "blur" and hygiene.orientation == "keep":
            yield "No pixel of any picture was changed."

    def _changed_captions(self) -> Iterator[str]:
        facts = self.summary["captions"]
        counted = caption_words(CaptionFacts(found=facts["found"], **{n: facts[n] for n in _CAPTION_COUNTS}))
        if counted:
            yield "Captions, in samples: " + "; ".join(f"{count:,} {words}" for count, words in counted) + "."

    def limits(self) -> Iterator[str]:
        """What the set may still hold, one sentence each."""
        yield self._limit_of_search()
        if self.recipe["matching"]["look_alikes"] == "report":
            yield "Pictures that look alike without being copies, such as burst shots, stayed."
        sensitive = SensitiveFacts(**self.summary.get("sensitive", {}))
        found = {"faces": sensitive.with_faces, "pages of text": sensitive.documents, "nudity": sensitive.nsfw}
        if unseen := [words for words, count in found.items() if count is None]:
            yield f"Nobody looked for {' or '.join(unseen)}."
        if seen := [words for words, count in found.items() if count is not None]:
            yield f"Networks looked for {' and '.join(seen)}; they miss some, and take others for such."
        yield "Captions were cleaned by rules, not read: names of people and what rules do not know are still there."
        yield "Rights to the single pictures were not looked into; a licence of the set does not replace theirs."

    def _limit_of_search(self) -> str:
        recall = self.summary["search"].get("neighbour_recall")
        measured = "" if recall is None else f" The search found {100 * recall:.1f} % of near descriptors, as measured."
        if self.recipe["preset"] == "fast":
            return "Copies were found by equal bytes and near hashes only: crops and heavier edits are still there."
        return f"Copies were found by bytes, hashes, descriptors and geometry; some heavy edits are missed.{measured}"

    def recipe_toml(self) -> str:
        """What differs from the defaults in the parts that decide what stays and how, without names of files."""
        said, usual = self.recipe, _tables(Recipe().dumps())
        differing: dict[str, Any] = {"preset": said["preset"], "seed": said["seed"]}
        for part in _SHOWN:
            own = {
                name: value
                for name, value in said.get(part, {}).items()
                if name not in _FILES and usual[part].get(name) != value
            }
            differing |= {part: own} if own else {}
        return tomli_w.dumps(differing).strip()


_CAPTION_COUNTS = ("changed", "merged", "left_out", "repeated", "repeated_samples")


def _amounts(augment: Augment) -> Iterator[tuple[str, Any]]:
    yield "Gaussian noise of standard deviation", augment.sigma
    yield "brightness by up to", augment.brightness_change
    yield "contrast by up to", augment.contrast
    yield "Gaussian blur of up to", augment.blur_sigma
    yield "JPEG of quality", augment.jpeg_quality and " to ".join(map(str, augment.jpeg_quality))
    yield "cropped by up to", augment.crop_share
    yield "mirrored with probability", augment.flip_probability


def _without_folders(place: str) -> str:
    """A path's last part; URLs as they are, for they name no folder of anybody's machine."""
    if place.startswith(_LESS):  # what `decontaminate` says of its reference sets
        return _LESS + _without_folders(place.removeprefix(_LESS))
    return place if "://" in place else place.rstrip("/\\").replace("\\", "/").rpartition("/")[2] or place
