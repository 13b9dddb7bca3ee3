"""JPEG: segments that lie, are missing or stand twice; frames of absurd sizes; scans cut and garbled (ITU T.81)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fuzz.mutators import raw, tiff

if TYPE_CHECKING:
    from random import Random

    from fuzz.mutators.raw import Step

_SOI, _EOI, _SOS, _DRI, _DQT, _DHT, _APP1, _APP14 = 0xD8, 0xD9, 0xDA, 0xDD, 0xDB, 0xC4, 0xE1, 0xEE
_BARE = frozenset({0x01, *range(0xD0, 0xDA)})  # markers without a length
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {_DHT, 0xC8, 0xCC})


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker, what its length covers, and after SOS the scan; `stated` is the length where it lies."""

    marker: int
    body: bytes = b""
    scan: bytes = b""
    stated: int | None = None

    def encoded(self) -> bytes:
        if self.marker in _BARE:
            return bytes([0xFF, self.marker]) + self.scan
        length = len(self.body) + 2 if self.stated is None else self.stated
        return bytes([0xFF, self.marker]) + (length & 0xFFFF).to_bytes(2, "big") + self.body + self.scan


def parse(data: bytes) -> list[Segment]:
    """The segments of a JPEG that is whole enough."""
    found, at = [], 0
    while at < len(data):
        if data[at] != 0xFF:
            raise ValueError(at)
        marker = data[at + 1]
        stop = at + 2 if marker in _BARE else at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        end = _scan_end(data, stop) if marker == _SOS else stop
        if marker == _EOI:
            end = len(data)
        found.append(Segment(marker, data[at + 4 : stop], data[stop:end]))
        at = end
    return found


def _scan_end(data: bytes, at: int) -> int:
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        if data[at + 1] not in (0, 0xFF) and not 0xD0 <= data[at + 1] <= 0xD7:
            return at
        at += 1
    return len(data)


def join(segments: list[Segment]) -> bytes:
    """The file of some segments."""
    return b"".join(segment.encoded() for segment in segments)


def _edited(data: bytes, rng: Random, markers: frozenset[int], change: Step) -> bytes:
    """A file in which the body of one segment of some kinds is changed."""
    segments = parse(data)
    at = rng.choice([place for place, each in enumerate(segments) if each.marker in markers and each.body])
    segments[at] = replace(segments[at], body=change(segments[at].body, rng))
    return join(segments)


def drop_segment(data: bytes, rng: Random) -> bytes:
    """A segment is missing."""
    segments = parse(data)
    del segments[rng.randrange(1, len(segments))]
    return join(segments)


def repeat_segment(data: bytes, rng: Random) -> bytes:
    """A segment stands twice, or a thousand times."""
    segments = parse(data)
    segments[rng.randrange(len(segments) + 1) : 0] = [rng.choice(segments)] * rng.choice((1, 1, 2, 50, 1000))
    return join(segments[:3000])


def swap_segments(data: bytes, rng: Random) -> bytes:
    """Two segments change places."""
    segments = parse(data)
    a, b = rng.randrange(len(segments)), rng.randrange(len(segments))
    segments[a], segments[b] = segments[b], segments[a]
    return join(segments)


def restate_length(data: bytes, rng: Random) -> bytes:
    """A segment says that it is longer or shorter than it is."""
    segments = parse(data)
    at = rng.randrange(len(segments))
    near = len(segments[at].body) + 2 + rng.randrange(-3, 4)
    segments[at] = replace(segments[at], stated=rng.choice((near, raw.edge(16, rng))) & 0xFFFF)
    return join(segments)


def resize_frame(data: bytes, rng: Random) -> bytes:
    """The frame says that the picture is of another size, or none."""

    def change(body: bytes, rng: Random) -> bytes:
        at = rng.choice((1, 3))
        return raw.put(body, at, raw.edge(16, rng).to_bytes(2, "big"))

    return _edited(data, rng, _FRAMES, change)


def edit_frame(data: bytes, rng: Random) -> bytes:
    """Precision, number of components, sampling factors, number of a table."""
    return _edited(data, rng, _FRAMES, lambda body, rng: raw.put(body, rng.randrange(len(body)), _byte(rng)))


def change_process(data: bytes, rng: Random) -> bytes:
    """Baseline called progressive, lossless, arithmetic, or the other way round."""
    segments = parse(data)
    at = rng.choice([place for place, each in enumerate(segments) if each.marker in _FRAMES])
    segments[at] = replace(segments[at], marker=rng.choice(sorted(_FRAMES)))
    return join(segments)


def edit_scan_header(data: bytes, rng: Random) -> bytes:
    """Components, tables and spectral selection of a scan."""
    change: Step = lambda body, rng: raw.put(body, rng.randrange(len(body)), _byte(rng))  # noqa: E731
    return _edited(data, rng, frozenset({_SOS}), change)


def edit_tables(data: bytes, rng: Random) -> bytes:
    """Quantisation and Huffman tables of nonsense."""
    return _edited(data, rng, frozenset({_DQT, _DHT}), rng.choice((raw.flip_bits, raw.replace, raw.erase, raw.cut)))


def garble_scan(data: bytes, rng: Random) -> bytes:
    """Bits of the picture itself: flipped, cut, repeated, with markers in between."""
    segments = parse(data)
    at = rng.choice([place for place, each in enumerate(segments) if len(each.scan) > 1])
    change = rng.choice((raw.flip_bits, raw.cut, raw.remove, raw.repeat, raw.replace, _marker_inside))
    segments[at] = replace(segments[at], scan=change(segments[at].scan, rng))
    return join(segments)


def add_segment(data: bytes, rng: Random) -> bytes:
    """EXIF of nonsense, an Adobe transform, restarts that never come, a comment as long as can be."""
    segments = parse(data)
    exif = Segment(_APP1, b"Exif\0\0" + tiff.odd_block(rng))
    adobe = Segment(_APP14, b"Adobe\0\x64\0\0\0\0" + _byte(rng))
    restart = Segment(_DRI, raw.edge(16, rng).to_bytes(2, "big"))
    profile = Segment(0xE2, b"ICC_PROFILE\0" + bytes([rng.randrange(4), rng.randrange(4)]) + rng.randbytes(300))
    xmp = Segment(_APP1, b"http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation='" + str(rng.randrange(99)).encode())
    comment = Segment(0xFE, bytes(65533))
    new = rng.choice((exif, exif, adobe, restart, profile, xmp, comment, Segment(rng.randrange(256), rng.randbytes(9))))
    segments.insert(rng.randrange(1, len(segments)), new)
    return join(segments)


def nest(data: bytes, rng: Random) -> bytes:
    """A whole JPEG where a segment should be."""
    segments = parse(data)
    at = rng.randrange(len(segments))
    return join(segments[:at]) + data + join(segments[at:])


def _marker_inside(scan: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(scan))
    return scan[:at] + bytes([0xFF, rng.choice((_SOI, _EOI, 0xD3, _SOS, _DHT, 0xFF, rng.randrange(256)))]) + scan[at:]


def _byte(rng: Random) -> bytes:
    return bytes([raw.edge(8, rng)])


STEPS: tuple[Step, ...] = (
    *(drop_segment, repeat_segment, swap_segments, restate_length, resize_frame, edit_frame, change_process),
    *(edit_scan_header, edit_tables, garble_scan, add_segment, nest),
)
