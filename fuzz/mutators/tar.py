"""tar: headers that lie, are missing or stand twice; pax records, links and names of nonsense; two ends."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fuzz.mutators import raw

if TYPE_CHECKING:
    from random import Random

    from fuzz.mutators.raw import Step

_BLOCK = tarfile.BLOCKSIZE
_NAME, _SIZE, _CHECKSUM, _TYPE, _PREFIX = slice(0, 100), slice(124, 136), slice(148, 156), 156, slice(345, 500)
_TYPES = b"0\x00123456789xgLKSDVMNXA\xff"
_NAMES = (
    *(b"../../escape.jpg", b"/etc/passwd", b"a/../b.jpg", b"", b".", b"./", b"x", b".jpg", b"a.", b"a..jpg"),
    *(b"\xff\xfe.jpg", b"caf\xe9.png", b"a\nb.jpg", b"\x1b[2J.jpg", b"con.jpg", b"a" * 100, b"x.tar", b"a.JPG"),
)


@dataclass(frozen=True, slots=True)
class Member:
    """A header block and what follows it up to the next."""

    header: bytes
    data: bytes = b""

    def with_field(self, place: slice, value: bytes) -> Member:
        """With another value in a field of the header, under a right checksum."""
        padded = value[: place.stop - place.start].ljust(place.stop - place.start, b"\0")
        return replace(self, header=summed(self.header[: place.start] + padded + self.header[place.stop :]))


def parse(data: bytes) -> tuple[list[Member], bytes]:
    """The members of a tar that is whole enough, and its end."""
    members, at = [], 0
    while at + _BLOCK <= len(data) and any(data[at : at + _BLOCK]):
        size = _size(data[at : at + _BLOCK])
        stop = at + _BLOCK + size + -size % _BLOCK
        members.append(Member(data[at : at + _BLOCK], data[at + _BLOCK : stop]))
        at = stop
    return members, data[at:]


def _size(header: bytes) -> int:
    try:
        return tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape").size
    except tarfile.TarError as error:
        raise ValueError("no tar any more") from error


def join(members: list[Member], end: bytes = bytes(2 * _BLOCK)) -> bytes:
    """The file of some members."""
    return b"".join(member.header + member.data for member in members) + end


def summed(header: bytes) -> bytes:
    """A header block with the checksum that it should have."""
    blank = header[:148] + b" " * 8 + header[156:]
    return header[:148] + b"%06o\0 " % sum(blank) + header[156:]


def drop_header(data: bytes, rng: Random) -> bytes:
    """A header is missing; what it told of follows the one before."""
    members, end = parse(data)
    at = rng.randrange(len(members))
    members[at] = replace(members[at], header=b"")
    return join(members, end)


def erase_header(data: bytes, rng: Random) -> bytes:
    """A header of zeros, which is also how an archive ends."""
    members, end = parse(data)
    at = rng.randrange(len(members))
    members[at] = replace(members[at], header=bytes(_BLOCK))
    return join(members, end)


def repeat_member(data: bytes, rng: Random) -> bytes:
    """A header, or a member whole, stands twice or more often, anywhere."""
    members, end = parse(data)
    chosen = rng.choice(members)
    chosen = replace(chosen, data=b"") if rng.random() < 0.4 else chosen
    members[rng.randrange(len(members) + 1) : 0] = [chosen] * rng.choice((1, 1, 2, 20))
    return join(members, end)


def swap_members(data: bytes, rng: Random) -> bytes:
    """Two members change places."""
    members, end = parse(data)
    a, b = rng.randrange(len(members)), rng.randrange(len(members))
    members[a], members[b] = members[b], members[a]
    return join(members, end)


def restate_size(data: bytes, rng: Random) -> bytes:
    """A member says that it is larger or smaller than it is, or negative, or no number."""
    members, end = parse(data)
    at = rng.randrange(len(members))
    number = rng.choice((raw.edge(32, rng), max(0, len(members[at].data) + rng.randrange(-600, 600))))
    binary = b"\x80" + raw.edge(64, rng).to_bytes(11, "big")
    negative = b"\xff" * 4 + rng.randbytes(8)
    value = rng.choice((b"%011o\0" % number, b"%011o\0" % number, binary, negative, b"-0000000001\0", b"12x45\0", b""))
    members[at] = members[at].with_field(_SIZE, value)
    return join(members, end)


def wrong_checksum(data: bytes, rng: Random) -> bytes:
    """A header whose checksum is not its own."""
    members, end = parse(data)
    at = rng.randrange(len(members))
    members[at] = replace(members[at], header=raw.put(members[at].header, 148, b"%06o\0 " % rng.randrange(8**6)))
    return join(members, end)


def flip_header(data: bytes, rng: Random) -> bytes:
    """Bits of a header, with its checksum made right or not."""
    members, end = parse(data)
    at = rng.randrange(len(members))
    flipped = raw.flip_bits(members[at].header, rng)
    members[at] = replace(members[at], header=summed(flipped) if rng.random() < 0.6 else flipped)
    return join(members, end)


def retype(data: bytes, rng: Random) -> bytes:
    """A member that is a link, a device, a folder, a sparse file, a header of headers."""
    members, end = parse(data)
    at = rng.randrange(len(members))
    members[at] = members[at].with_field(slice(_TYPE, _TYPE + 1), bytes([rng.choice(_TYPES)]))
    return join(members, end)


def rename(data: bytes, rng: Random) -> bytes:
    """A name that leads elsewhere, is no text, has no ending, or is that of another member."""
    members, end = parse(data)
    at = rng.randrange(len(members))
    name = rng.choice((*_NAMES, rng.choice(members).header[_NAME]))
    members[at] = members[at].with_field(rng.choice((_NAME, _NAME, _PREFIX)), name)
    return join(members, end)


def add_pax(data: bytes, rng: Random) -> bytes:
    """Pax records: lengths that lie, sizes that are none, names of nonsense, for the next member or for all."""
    members, end = parse(data)
    pairs = (
        *((b"path", name) for name in _NAMES),
        *((b"size", value) for value in (b"-1", b"0", b"9" * 30, b"1e3", b"", b"0x10", b"12", b" 7 ", b"1_0")),
        *((b"GNU.sparse.major", b"1"), (b"GNU.sparse.size", b"99999"), (b"path", b"n" * 5000), (b"mtime", b"nan")),
        (b"hdrcharset", b"BINARY"),
    )
    body = b"".join(_record(*rng.choice(pairs)) for _ in range(rng.choice((1, 1, 2, 5))))
    if rng.random() < 0.4:
        body = rng.choice((raw.flip_bits, raw.cut, raw.set_number))(body, rng)
    header = members[0].with_field(_SIZE, b"%011o\0" % len(body)).with_field(_NAME, b"././@PaxHeader")
    header = header.with_field(slice(_TYPE, _TYPE + 1), rng.choice((b"x", b"x", b"x", b"g", b"X")))
    members.insert(rng.randrange(len(members) + 1), replace(header, data=body + bytes(-len(body) % _BLOCK)))
    return join(members, end)


def _record(name: bytes, value: bytes) -> bytes:
    body = b" " + name + b"=" + value + b"\n"
    length = len(body) + len(str(len(body) + 3))
    return str(length if len(str(length)) + len(body) == length else length + 1).encode() + body


def add_long_name(data: bytes, rng: Random) -> bytes:
    """GNU's way to name a member: too long, empty, no text."""
    members, end = parse(data)
    name = rng.choice((b"n" * 300 + b".jpg\0", b"\0", b"\xff" * 200, b"a.jpg", rng.randbytes(100), b"x" * (1 << 21)))
    kind = rng.choice((b"L", b"L", b"K"))
    header = members[0].with_field(_SIZE, b"%011o\0" % len(name)).with_field(slice(_TYPE, _TYPE + 1), kind)
    members.insert(rng.randrange(len(members) + 1), replace(header, data=name + bytes(-len(name) % _BLOCK)))
    return join(members, end)


def other_end(data: bytes, rng: Random) -> bytes:
    """No end, an end in the middle, noise or another archive behind it."""
    members, end = parse(data)
    kind = rng.randrange(4)
    if kind == 0:
        return join(members, b"")
    if kind == 1:
        at = rng.randrange(len(members))
        return join(members[:at]) + join(members[at:], end)
    return join(members, end + rng.choice((rng.randbytes(600), data, b"\0" * 100, b"x")))


def cut_at_block(data: bytes, rng: Random) -> bytes:
    """The file ends early, between two blocks."""
    return data[: rng.randrange(len(data) // _BLOCK + 1) * _BLOCK]


STEPS: tuple[Step, ...] = (
    *(drop_header, erase_header, repeat_member, swap_members, restate_size, wrong_checksum, flip_header, retype),
    *(rename, add_pax, add_long_name, other_end, cut_at_block),
)
