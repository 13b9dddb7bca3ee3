"""What others bring: sources, descriptors, checks, sinks and attacks, by name, beside those of the package.

A plugin is registered by code (`register_source` and its like) or by an entry point of an installed package; either way
nothing of it runs before a recipe, a command or a caller names it.  Names of the package's own cannot be taken.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dedupkit.errors import RunError, UsageError, error_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["register_attack", "register_check", "register_descriptor", "register_sink", "register_source"]

Made = TypeVar("Made")
_NAME = re.compile(r"[a-z][a-z0-9_-]+")  # two characters at least: C: is a drive
_log = logging.getLogger("dedupkit")


@dataclass(frozen=True, slots=True)
class Plugin:
    """One of what others bring.

    Attributes
    ----------
    kind : str
        "source", "descriptor", "check", "sink" or "attack".
    name : str
        What recipes call it.
    made : callable
        The class or function that was registered.
    version : str
        That of the installed package that brings it; empty where code registered it.
    """

    kind: str
    name: str
    made: Any
    version: str = ""

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"the {self.kind} {self.name} ({self.place})"

    @property
    def place(self) -> str:
        """Where its code stands, as ``module:name``."""
        return f"{getattr(self.made, '__module__', '?')}:{getattr(self.made, '__qualname__', type(self.made).__name__)}"

    @property
    def identity(self) -> str:
        """Changes with what it says is its version, with its package's, and with the file that its code stands in."""
        source = getattr(sys.modules.get(getattr(self.made, "__module__", "")), "__file__", None)
        code = hashlib.sha256(Path(source).read_bytes()).hexdigest() if source and Path(source).is_file() else ""
        said = str(getattr(self.made, "version", ""))
        return f"{self.kind} {self.name} {self.place} {said} {self.version} {code[:32]}"

    def make(self, *arguments: Any, **named: Any) -> Any:
        """Call what was registered.

        Raises
        ------
        UsageError
            It raised; its own `UsageError` is passed on.
        """
        try:
            return self.made(*arguments, **named)
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(f"{self.title} cannot be made: {_quoted(error)}; mend it, or leave it out") from error

    def failed(self, error: Exception, at: str = "") -> RunError:
        """What there is to say where it raised at work."""
        return RunError(f"{self.title} failed{at and ' at '}{at}: {_quoted(error)}; mend it, then run again")


class Registry:
    """Names of one kind of things: those of the package, and what others bring.

    Parameters
    ----------
    kind : str
        What one is called; its entry points are those of the group ``dedupkit.KINDs``.
    own : mapping of str to str
        The package's own by name, each as ``module:name``, imported where it is asked for.
    reserved : callable, optional
        Further names that nobody may take.
    """

    def __init__(self, kind: str, own: Mapping[str, str], reserved: Callable[[], Iterable[str]] = tuple) -> None:
        self.kind, self.own = kind, dict(own)
        self._reserved = reserved
        self._registered: dict[str, Plugin] = {}
        self._loaded: dict[str, Plugin] = {}  # looking through all packages takes milliseconds

    def register(self, name: str) -> Callable[[Made], Made]:
        """A decorator that gives a class or function its name.

        Raises
        ------
        UsageError
            The name is one of the package's, or another's, or no name.
        """

        def registered(made: Made) -> Made:
            self.add(Plugin(self.kind, name, made))
            return made

        return registered

    def add(self, plugin: Plugin) -> None:
        """Register; the same one again takes the place of itself, as where a notebook's cell is run twice."""
        if not isinstance(plugin.name, str) or not _NAME.fullmatch(plugin.name):
            raise UsageError(
                f"a {self.kind} must have a name of lower-case letters, digits, - and _, two at least, got "
                f"{plugin.name!r}"
            )
        if self._is_own(plugin.name):
            raise UsageError(f"the {self.kind} {plugin.name} is dedupkit's own; give {plugin.place} another name")
        before = self._registered.get(plugin.name)
        if before is not None and before.place != plugin.place:
            raise UsageError(f"{before.title} is registered already; give {plugin.place} another name")
        self._registered[plugin.name] = plugin

    def _is_own(self, name: str) -> bool:
        return name in self.own or name in set(self._reserved())

    def __contains__(self, name: object) -> bool:
        """Whether there is one of this name; nothing is loaded."""
        return name in self.own or name in self._loaded or name in self._brought()

    def brings(self, name: str) -> bool:
        """Whether one of this name is there that is not the package's own."""
        return name in self._loaded or (name not in self.own and name in self._brought())

    def names(self) -> tuple[str, ...]:
        """All names there are, the package's own first."""
        return (*self.own, *sorted(self._brought()))

    def find(self, name: str) -> Plugin:
        """The one of a name.

        Raises
        ------
        UsageError
            There is none, two packages bring one, or it cannot be loaded.
        """
        if name in self.own:
            module, _, made = self.own[name].partition(":")
            return Plugin(self.kind, name, getattr(import_module(module), made))
        if plugin := self._registered.get(name) or self._loaded.get(name):
            return plugin
        found = self._installed().get(name, [])
        if not found:
            known = ", ".join(self.names()) or "none are registered or installed"
            raise UsageError(f"{self.kind} must be one of {known}; got {name!r}, see docs/extending.md")
        if len(found) > 1:
            both = " and ".join(sorted(_distribution(each)[0] for each in found))
            raise UsageError(f"the {self.kind} {name} is brought by {both}; uninstall all but one")
        self._loaded[name] = _loaded(self.kind, found[0])
        return self._loaded[name]

    def code_of(self, name: str) -> object:
        """What code registered under a name in this process; None where none did."""
        return self._registered[name].made if name in self._registered else None

    def registered(self) -> tuple[Plugin, ...]:
        """What code registered in this process, which other processes do not know."""
        return tuple(self._registered.values())

    def _brought(self) -> set[str]:
        return {*self._registered, *self._installed()}

    def _installed(self) -> dict[str, list[metadata.EntryPoint]]:
        """Entry points by name, without those that bear a name of the package's own, which is said."""
        found: dict[str, list[metadata.EntryPoint]] = {}
        for each in metadata.entry_points(group=f"dedupkit.{self.kind}s"):
            if self._is_own(each.name) or not _NAME.fullmatch(each.name):
                _log.warning(
                    "the %s %s of %s is passed over: the name is dedupkit's own, or none",
                    *(self.kind, each.name, _distribution(each)[0]),
                )
            else:
                found.setdefault(each.name, []).append(each)
        return found


def _loaded(kind: str, entry: metadata.EntryPoint) -> Plugin:
    package, version = _distribution(entry)
    try:
        return Plugin(kind, entry.name, entry.load(), f"{package} {version}")
    except Exception as error:
        raise UsageError(
            f"the {kind} {entry.name} ({entry.value}, of {package}) cannot be loaded: {_quoted(error)}; mend or "
            f"uninstall {package}"
        ) from error


def _distribution(entry: metadata.EntryPoint) -> tuple[str, str]:
    return (entry.dist.name, entry.dist.version) if entry.dist is not None else ("?", "")


def _quoted(error: Exception) -> str:
    return f"{type(error).__name__}: {error_text(error)}".replace("\n", " ")


def _protocols() -> Iterable[str]:
    from fsspec import available_protocols

    found: Iterable[str] = available_protocols()
    return found


def _reasons() -> Iterable[str]:
    from dedupkit.sample import Reason

    return map(str, Reason)


# What the package brings of each kind stands here, by name; a file more is a line more.
SOURCES = Registry("source", {}, _protocols)  # others go by what lies at a path, see sources/opening.py
DESCRIPTORS = Registry(
    "descriptor",
    {},  # of networks, see fingerprints/descriptors/opening.py
    "auto none given dedupkit sscd sscd-distilled imagededup timm torchvision clip".split,
)
CHECKS = Registry("check", {}, _reasons)  # others are measured in the one decode, see hygiene/checks.py
SINKS = Registry(
    "sink",
    {
        "arrow": "dedupkit.sinks.arrow:ArrowSink",
        "parquet": "dedupkit.sinks.parquet:ParquetSink",
        "webdataset": "dedupkit.sinks.webdataset:WebDatasetSink",
        "mds": "dedupkit.sinks.mds:MdsSink",
    },
    lambda: ("dataset", "list", "report", "recipe", "decisions", "takedown"),
)
ATTACKS = Registry(
    "attack",
    {
        "extraction": "dedupkit.audit.attacks:Extracting",
        "inpainting": "dedupkit.audit.attacks:Inpainting",
        "membership": "dedupkit.audit.attacks:Membership",
        "exposure": "dedupkit.audit.attacks:Exposure",
    },
)
_REGISTRIES = {each.kind: each for each in (SOURCES, DESCRIPTORS, CHECKS, SINKS, ATTACKS)}

register_source = SOURCES.register
register_descriptor = DESCRIPTORS.register
register_check = CHECKS.register
register_sink = SINKS.register
register_attack = ATTACKS.register


def import_plugins(module: str) -> None:
    """Import a module that registers plugins; it may lie in the current folder.

    Raises
    ------
    UsageError
        There is none, or it raised.
    """
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        import_module(module)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"the module {module} cannot be imported: {_quoted(error)}; mend its name or it") from error


def carrying(task: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A task that takes what code registered in this process to the process that runs it.

    A plugin out of a module goes by its name, so that the module is imported there; one out of a script or notebook
    goes as it is, which the pickler of loky can do.
    """
    brought = [plugin for registry in _REGISTRIES.values() for plugin in registry.registered()]
    if not brought:
        return task
    from loky.backend.reduction import dumps

    return _Carrying(task, tuple((plugin.title, bytes(dumps(plugin))) for plugin in brought))


@dataclass(frozen=True, slots=True)
class _Carrying:
    task: Callable[[Any], Any]
    brought: tuple[tuple[str, bytes], ...]

    def __call__(self, item: Any) -> Any:
        for title, pickled in self.brought:
            _receive(title, pickled)
        return self.task(item)

    @property
    def args(self) -> tuple[Any, ...]:
        """Those of the task, by which Ray's names of tasks are told."""
        found: tuple[Any, ...] = getattr(self.task, "args", ())
        return found


@lru_cache(maxsize=256)
def _receive(title: str, pickled: bytes) -> None:
    """Register in a worker what its task brought, once."""
    try:
        plugin = pickle.loads(pickled)
    except Exception as error:
        raise UsageError(
            f"{title} cannot be loaded in a worker: {_quoted(error)}; install its module where workers find it"
        ) from error
    _REGISTRIES[plugin.kind].add(plugin)
