"""The contract between the emitting stage and a sink: one file a shard, and what makes the files a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

    from dedupkit.hygiene.boxes import Box
    from dedupkit.storage import Folder


@dataclass(frozen=True, slots=True)
class KeptSample:
    """A sample on its way out, its image byte for byte as the source had it.

    Attributes
    ----------
    key : str
        Unique in the set.
    image : bytes
        Encoded image.
    format : str
        Lower-case name of the encoding as Pillow calls it: jpeg, png, webp ...
    caption : str or None
        The caption.
    captions : sequence of str
        It and those of the copies that were dropped for the sample.
    width, height : int
        Size in pixels as shown, EXIF orientation applied.
    group_size : int
        How often the picture stood in the source.
    copy, copies_kept : int
        Place among the copies of the picture that stay, from 0, and how many stay.
    fields : mapping of str to object
        The source's other fields.
    faces : sequence of Box
        Faces that are to be blurred.
    """

    key: str
    image: bytes
    format: str
    caption: str | None
    width: int
    height: int
    group_size: int
    fields: Mapping[str, Any]
    captions: Sequence[str] = ()
    copy: int = 0
    copies_kept: int = 1
    faces: Sequence[Box] = ()

    @property
    def weight(self) -> float:
        """How often to draw the sample, so that its picture is drawn as often as one without copies."""
        return 1 / self.copies_kept


@dataclass(frozen=True, slots=True)
class WrittenPart:
    """A part of an output.

    Attributes
    ----------
    name : str
        File name.
    rows : int
        Samples in it.
    sha256 : str
        Digest of its bytes.
    """

    name: str
    rows: int
    sha256: str


class Sink(Protocol):
    """One output format."""

    folder: ClassVar[str]
    """Name of the folder below OUT that this sink owns."""

    def part_name(self, index: int) -> str:
        """File name of the part that the shard of this number becomes."""
        ...

    def write_part(self, handle: IO[bytes], samples: Iterable[KeptSample], fields: pa.Schema) -> int:
        """Write one part, streaming; `fields` types the other fields.  Returns the number of samples written."""
        ...

    def finish(self, folder: Folder, parts: Sequence[WrittenPart], fields: pa.Schema) -> None:
        """Write what makes the parts one dataset; those of 0 samples are among them."""
        ...
