"""What an audit found, as an object, as ``audit.json`` and as ``audit.html``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dedupkit._version import __version__

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping


@dataclass(frozen=True, repr=False)
class Audit:
    """The answers of an audit, with their evidence.

    Attributes
    ----------
    model, data : str
        What was asked, and about what.
    findings : mapping
        What each attack found, by its name: `dedupkit.audit.extracted.Extraction`, `inpainting.Inpainting`,
        `membership_result.Membership` and `canary_findings.CanaryFindings`.
    skipped : mapping of str to str
        Why each of the others was not made.
    asked : mapping
        The options.
    commitment : str or None
        To the canaries, see `dedupkit.canaries.prove`.
    show_canaries : bool
        Whether ``audit.json`` and ``audit.html`` tell canaries one by one.
    about_canaries : bool
        Whether inpainting and membership were asked about canaries.
    model_notes : tuple of str
        What was left off when the model was opened, and which pickles were read.
    version : str
        dedupkit's.
    """

    model: str
    data: str
    findings: Mapping[str, Any] = field(repr=False)
    skipped: Mapping[str, str]
    asked: Mapping[str, Any] = field(repr=False)
    commitment: str | None = None
    show_canaries: bool = False
    about_canaries: bool = False
    model_notes: tuple[str, ...] = ()
    version: str = __version__

    @property
    def answers(self) -> dict[str, str]:
        """One sentence for each attack."""
        return {name: found.answer for name, found in self.findings.items()}

    @property
    def commitment_words(self) -> str:
        """What the canaries are proved by."""
        if self.commitment is None:
            return "No canaries were asked about."
        return f"The canaries' commitment, to be compared with the one published before training: {self.commitment}."

    def _repr_html_(self) -> str:
        from dedupkit.audit.fragment import of_audit

        return of_audit(self).html()

    def __repr__(self) -> str:
        from dedupkit.audit.fragment import audit_text

        return audit_text(self)

    def to_json(self) -> dict[str, Any]:
        """The content of ``audit.json``."""
        from dedupkit.audit.sections import question

        return {
            "model": self.model,
            "model_notes": list(self.model_notes),
            "data": self.data,
            "answers": self.answers,
            "questions": {name: question(name) for name in self.findings},
            "skipped": dict(self.skipped),
            "findings": {name: self._finding(name) for name in self.findings},
            "asked": dict(self.asked),
            "canary_commitment": self.commitment,
            "version": self.version,
        }

    def to_html(self) -> str:
        """The content of ``audit.html``: one page that loads nothing from elsewhere."""
        from dedupkit.audit.sections import question, section
        from dedupkit.report.page import rendered

        hidden = self.about_canaries and not self.show_canaries
        return rendered(
            "audit.html.j2",
            ("report.css", "audit.css"),
            audit=self,
            sections=[section(name, found, hide_pictures=hidden) for name, found in self.findings.items()],
            questions={name: question(name) for name in self.skipped},
            asked=json.dumps(self.asked, indent=1),
        )

    def write(self, out: str | os.PathLike[str]) -> None:
        """Write ``audit.json`` and ``audit.html`` into a folder; each appears whole."""
        from pathlib import Path

        from dedupkit.storage import Folder

        folder = Folder(str(Path(out).resolve()))
        folder.write_json("audit.json", self.to_json())
        folder.write_bytes("audit.html", self.to_html().encode())

    def _finding(self, name: str) -> dict[str, Any]:
        found = self.findings[name]
        told: dict[str, Any] = found.to_json(canaries=self.show_canaries) if name == "exposure" else found.to_json()
        return told
