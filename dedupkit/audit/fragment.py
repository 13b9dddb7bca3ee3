"""An audit as a notebook shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dedupkit.audit.sections import question
from dedupkit.notebook.fragment import Fragment, Table

if TYPE_CHECKING:
    from dedupkit.audit.report import Audit


def of_audit(audit: Audit) -> Fragment:
    """The answers, a sentence each; what canaries say only in sum."""
    rows = tuple((question(name), answer) for name, answer in audit.answers.items())
    return Fragment(
        title=f"Audit of {audit.model}",
        facts=[(f"{len(audit.findings)}", "questions asked"), (f"{len(audit.skipped)}", "skipped")],
        tables=(Table(("question", "answer"), rows),) if rows else (),
        notes=[f"about {audit.data}", *(f"{name} skipped: {why}" for name, why in audit.skipped.items())],
        hints=[("audit.write(folder)", "audit.html with figures and pictures, and audit.json")],
    )


def audit_text(audit: Audit) -> str:
    """The answers in a few lines."""
    fragment = of_audit(audit)
    answers = [f"  {name}: {answer}" for name, answer in audit.answers.items()]
    first, *rest = fragment.text().split("\n")
    return "\n".join([first, *answers, *rest])
