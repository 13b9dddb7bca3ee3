"""Sources that others bring, held to the contract of `Source`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dedupkit.errors import DedupkitError, UsageError
from dedupkit.plugins import SOURCES, Plugin
from dedupkit.sources.base import Shard
from dedupkit.sources.iterables import Entries, sample_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from dedupkit.recipe import SourceOptions
    from dedupkit.sample import Sample
    from dedupkit.sources.base import Source


def brought_source(url: str, options: SourceOptions, max_bytes: int) -> Source | None:
    """The source of ``NAME:ADDRESS`` where a plugin brings a source of that name; None where none does.

    Raises
    ------
    UsageError
        The plugin cannot be loaded, or cannot open the address.
    """
    name, colon, address = url.partition(":")
    if not colon or address.startswith(("//", ":")) or not SOURCES.brings(name):
        return None
    plugin = SOURCES.find(name)
    made = plugin.make(address, options=options, max_bytes=max_bytes)
    if not callable(getattr(made, "shards", None)) or not callable(getattr(made, "read", None)):
        raise UsageError(f"{plugin.title} must give an object with shards() and read(shard); mend it")
    return BroughtSource(made, plugin, plugin.identity, Entries.of(options))


@dataclass(frozen=True, slots=True)
class BroughtSource:
    """A source out of what a plugin makes: an object with ``shards()``, ``read(shard)`` and maybe ``fields(shard)``.

    `read` may give `Sample` objects, or mappings as an iterable source takes them.
    """

    made: Any
    plugin: Plugin
    identity: str
    entries: Entries

    def shards(self) -> Sequence[Shard]:
        """Those of the plugin; they count as changed where the plugin did.

        Raises
        ------
        UsageError
            The plugin raised, or two shards have the same name.
        """
        try:
            shards = list(self.made.shards())
        except DedupkitError:
            raise
        except Exception as error:
            raise UsageError(str(self.plugin.failed(error))) from error
        if not all(isinstance(shard, Shard) for shard in shards):
            raise UsageError(f"{self.plugin.title} must give Shard objects of dedupkit.sources from shards(); mend it")
        twice = [name for name, times in Counter(shard.name for shard in shards).items() if times > 1]
        if twice:
            raise UsageError(f"{self.plugin.title} calls two shards {twice[0]!r}; give each a name of its own")
        return [replace(shard, identity=f"{shard.identity} {self.identity}") for shard in shards]

    def fields(self, shard: Shard) -> pa.Schema | None:
        """What the plugin says of them, where it does."""
        return self.made.fields(shard) if hasattr(self.made, "fields") else None

    def read(self, shard: Shard) -> Iterator[Sample]:
        """Stream the samples of one shard.

        Raises
        ------
        RunError
            The plugin raised: what is wrong with data is a `Fault` of a sample.
        """
        try:
            for number, item in enumerate(self.made.read(shard)):
                yield sample_of(item, self.entries, f"{shard.name}-{number:08d}")
        except DedupkitError:
            raise
        except Exception as error:
            raise self.plugin.failed(error, shard.name) from error
