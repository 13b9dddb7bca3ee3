"""The attacks as an audit asks them, each behind one contract; what they compute stands in modules of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from dedupkit.audit import extraction_attack, inpainting_attack, membership_attack
from dedupkit.audit.adapters.generations import Generations
from dedupkit.audit.canary_findings import ask_about_canaries, look_for_canaries
from dedupkit.audit.model import Denoiser, Inpainter, can
from dedupkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dedupkit.audit.asking import Asking
    from dedupkit.audit.canary_findings import CanaryFindings
    from dedupkit.audit.extracted import Extraction
    from dedupkit.audit.membership_result import Membership as MembershipResult
    from dedupkit.audit.sections import Figure, Strip, Table


class Attack(Protocol):
    """One attack of an audit.

    Attributes
    ----------
    title, question : str
        Its heading on the page, and what it answers.
    """

    title: str
    question: str

    def why_not(self, asking: Asking) -> str | None:
        """Why it cannot be made, in words; None if it can."""
        ...

    def ask(self, asking: Asking) -> Any:
        """What it found: `Finding`, or anything with ``answer``, ``limits`` and ``to_json()``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What an attack found, as the page and ``audit.json`` tell it.

    Attributes
    ----------
    answer : str
        One sentence.
    limits : sequence of str
        What it does not show.
    numbers : mapping
        What ``audit.json`` holds of it; plain values.
    tables, figures, pictures
        For the page; see `dedupkit.audit.sections`.  Pictures are left out where canaries are to stay hidden.
    """

    answer: str
    limits: Sequence[str] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    pictures: Sequence[Strip] = ()

    def to_json(self) -> dict[str, Any]:
        """Answer, limits and numbers."""
        return {"answer": self.answer, "limits": list(self.limits), **self.numbers}


class Exposure:
    """Planted canaries: their losses, or what is drawn for their captions."""

    title, question = "Canaries", "What do the planted canaries say?"

    def why_not(self, asking: Asking) -> str | None:
        """There have to be canaries, and a model that draws or tells its error."""
        if asking.manifest is None:
            return "no manifest of canaries was given; canaries have to be planted before training"
        return None if asking.draws or can(asking.model, Denoiser) else "the model neither draws nor tells its error"

    def ask(self, asking: Asking) -> CanaryFindings:
        """See `dedupkit.audit.canary_findings`."""
        if asking.manifest is None:
            raise UsageError("canaries cannot be asked about without their manifest; give canaries")
        seed = asking.options.seed
        if isinstance(asking.model, Generations):
            return look_for_canaries(asking.batches(), asking.manifest, seed=seed)
        return ask_about_canaries(asking.album, asking.manifest, images=asking.options.canary_images, seed=seed)


class Membership:
    """Members against controls, by the model's error."""

    title, question = "Membership", "Can an outsider tell that an image was in the set?"

    def why_not(self, asking: Asking) -> str | None:
        """There have to be images that the model never saw, and a model that tells its noise."""
        if asking.controls is None and asking.manifest is None:
            return _NO_CONTROLS
        return None if can(asking.model, Denoiser) else "the model cannot be asked for its noise"

    def ask(self, asking: Asking) -> MembershipResult:
        """See `dedupkit.audit.membership`."""
        members, controls = asking.sides(asking.options.samples)
        return membership_attack.membership(asking.model, members, controls, options=asking.options.membership)


class Inpainting:
    """Parts of training images, and of controls, filled in."""

    title, question = "Inpainting", "Does it rebuild training images from a part?"

    def why_not(self, asking: Asking) -> str | None:
        """There have to be images that the model never saw, and a model that fills in."""
        if asking.controls is None and asking.manifest is None:
            return _NO_CONTROLS
        able = can(asking.model, Denoiser) or can(asking.model, Inpainter)
        return None if able else "the model cannot fill in images"

    def ask(self, asking: Asking) -> inpainting_attack.Inpainting:
        """See `dedupkit.audit.inpainting`."""
        members, controls = asking.sides(asking.options.inpainted)
        return inpainting_attack.inpainting(
            asking.model,
            members.images,
            controls.images,
            captions=members.prompts,
            control_captions=controls.prompts,
            options=asking.options.inpainting,
            observe=asking.observe,
        )


class Extracting:
    """Training images among those that the model draws."""

    title, question = "Extraction", "Does it give training images back?"

    def why_not(self, asking: Asking) -> str | None:
        """The model has to draw."""
        return None if asking.draws else "the model cannot draw images"

    def ask(self, asking: Asking) -> Extraction:
        """See `dedupkit.audit.extraction`."""
        options = asking.options.extraction
        controls = None if asking.controls is None else asking.control_samples.images
        if isinstance(asking.model, Generations):
            return extraction_attack.judge_generations(asking.batches(), asking.training, options, controls=controls)
        return extraction_attack.extraction(asking.album, asking.training, options, controls=controls)


_NO_CONTROLS = "there are no images that the model never saw: give controls, or the manifest of canaries"
