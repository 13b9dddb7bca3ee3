"""The code blocks of the documentation, and how each kind of them is run."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
import yaml
from typer.testing import CliRunner

from dedupkit.cli import app
from dedupkit.recipe import Recipe
from tests.commands import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])
ADDRESS = "https://github.com/dedupkit/dedupkit/blob/main/"
_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>.+?) -->\n+)?^```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n"
    r"(?P<body>.*?)^```$",
    re.M | re.S,
)
_PASSING = re.compile(r"\b\d+(\.\d+)? (s|ms|images/s)\b")  # what a clock says


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page.

    Attributes
    ----------
    page : str
        File name of the page.
    line : int
        Where it begins.
    language, title, body : str
        As it stands there; the title names a file that the reader is told to save.
    reason : str
        Why it cannot run here; empty where it runs.
    """

    page: str
    line: int
    language: str
    title: str
    body: str
    reason: str


def blocks(page: Path) -> list[Block]:
    """All of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page.name,
            text.count("\n", 0, match.start()) + 1,
            match["language"],
            match["title"] or "",
            match["body"],
            match["reason"] or "",
        )
        for match in _BLOCK.finditer(text)
    ]


@dataclass
class Reader:
    """Somebody who does what a page says, from its first block to its last, in the folder where they are.

    Attributes
    ----------
    command : callable
        Carries out one command line and returns what it prints.
    names : dict
        What the page's Python has defined.
    printed : str or None
        What the block before printed; None where there was none.
    """

    command: Callable[[list[str]], str]
    names: dict[str, object] = field(default_factory=dict)
    printed: str | None = None

    def follow(self, block: Block) -> None:
        """Run a block, save it, or hold it against what was printed."""
        if block.reason:
            read_commands(block)
            return
        if block.title:
            Path(block.title).write_text(block.body, encoding="utf-8")
        if block.language == "toml" and block.title != "pyproject.toml":
            Recipe.of(tomllib.loads(block.body))
        elif block.language == "sh":
            self.printed = "".join(map(self.command, commands(block.body)))
        elif block.language == "text" and self.printed is not None:
            assert said(self.printed, block.body), f"{block.page}:{block.line} shows other than\n{self.printed}"
        elif block.language == "yaml":
            for words in called(yaml.safe_load(block.body)):
                read_command(words)
        elif block.language == "python" and not block.title:
            self.printed = self._python(block)
        elif not block.title:
            raise AssertionError(f"{block.page}:{block.line}: a block that nobody knows how to run")

    def _python(self, block: Block) -> str:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile("\n" * block.line + block.body, block.page, "exec"), self.names)
        return printed.getvalue()


def said(printed: str, shown: str) -> bool:
    """Whether a page shows what was printed; ``…`` stands for anything, and times are not compared."""
    pattern = ".*?".join(re.escape(_PASSING.sub("TIME", part)) for part in shown.strip().split("…"))
    return re.fullmatch(pattern, _PASSING.sub("TIME", printed.strip()), re.S) is not None


def commands(body: str) -> Iterator[list[str]]:
    """The command lines of a block, without comments."""
    for line in body.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def called(value: object) -> Iterator[list[str]]:
    """The command lines that a workflow of GitHub or a configuration of pre-commit calls dedupkit with."""
    if isinstance(value, list):
        for each in value:
            yield from called(each)
    if isinstance(value, dict):
        yield from commands(str(value.get("run", "")))
        if value.get("id") == "dedupkit-check":
            yield ["dedupkit", "check", *value["args"]]
        yield from called(list(value.values()))


def read_commands(block: Block) -> None:
    """Let the command line read, and not carry out, what a block calls dedupkit with."""
    if block.language == "sh" and "synopsis" not in block.reason:
        for words in commands(block.body):
            read_command(words)


def read_command(words: list[str]) -> None:
    """Options exist, and values fit; what is no call of dedupkit is passed over."""
    if words[0] != "dedupkit":
        return
    command: Any = typer.main.get_command(app)
    rest = words[1:]
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    command.make_context("dedupkit", rest)


def in_this_process(words: list[str]) -> str:
    """What a command prints, without the start of another interpreter; it has to end well."""
    assert words[0] == "dedupkit", f"only dedupkit is run, not {words[0]}; say why in a marker"
    done = CliRunner().invoke(app, words[1:])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def as_typed(words: list[str]) -> str:
    """What the real command prints on both streams; it has to end well.

    PYTHONPATH may stand in front.
    """
    path = os.environ.get("PYTHONPATH", "")
    if words[0].startswith("PYTHONPATH="):
        path = os.pathsep.join(filter(None, [words.pop(0).partition("=")[2], path]))
    assert words[0] == "dedupkit"
    done = run(*words[1:], env=os.environ | {"PYTHONPATH": path}, one_stream=True)
    assert done.returncode == 0, done.stdout
    return done.stdout
