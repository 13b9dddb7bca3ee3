"""What a look at the installation found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from dedupkit.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

State = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    name : str
        What it is, such as "open files".
    state : "ok", "note" or "wrong"
        Whether it suffices; a note is about what most runs do without, what is wrong keeps dedupkit from working.
    said : str
        What was seen.
    remedy : str
        What helps; empty where nothing has to.
    """

    name: str
    state: State
    said: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Extra:
    """One of the extras.

    Attributes
    ----------
    name : str
        As pip has it: ``dedupkit[NAME]``.
    brings : str
        What it is for.
    missing : tuple of str
        Packages that are not there, or too old; empty where it is installed.
    command : str
        What installs it into this Python.
    """

    name: str
    brings: str
    missing: tuple[str, ...]
    command: str


@dataclass(frozen=True, slots=True)
class Checkup:
    """What `dedupkit.doctor` saw.

    Attributes
    ----------
    versions : mapping of str to str
        dedupkit, Python, the system, and the packages that the output's bytes depend on.
    findings : tuple of Finding
        What was looked at, in that order.
    extras : tuple of Extra
        All there are.
    """

    versions: Mapping[str, str]
    findings: tuple[Finding, ...]
    extras: tuple[Extra, ...]

    @property
    def works(self) -> bool:
        """Whether the core does what it should: nothing is wrong."""
        return not any(finding.state == "wrong" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """All of it in plain types."""
        return {
            "works": self.works,
            "versions": dict(self.versions),
            "findings": [asdict(finding) for finding in self.findings],
            "extras": [asdict(extra) | {"installed": not extra.missing} for extra in self.extras],
        }

    def text(self) -> str:
        """Lines to print: versions, what was looked at, extras that are missing, and whether it works."""
        lines = [", ".join(f"{name} {version}" for name, version in self.versions.items())]
        for finding in self.findings:
            lines.append(f"  {finding.state:<5}  {finding.name:<12}  {finding.said}")
            if finding.remedy:
                lines.append(f"{'':>23}{finding.remedy}")
        lines += self._of_extras()
        lines.append("dedupkit works" if self.works else "dedupkit does not work here yet: see what is wrong above")
        return "\n".join(map(printable, lines))

    def _of_extras(self) -> list[str]:
        missing = [extra for extra in self.extras if extra.missing]
        here = ", ".join(extra.name for extra in self.extras if not extra.missing)
        lines = [f"extras that are installed: {here or 'none'}"]
        if missing:
            lines.append(f"extras that are not: {missing[0].command.replace(missing[0].name, 'NAME')} brings")
            lines += [f"  {extra.name:<11}  {extra.brings}; lacks {', '.join(extra.missing)}" for extra in missing]
        return lines
