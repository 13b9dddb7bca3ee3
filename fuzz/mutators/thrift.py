"""Where the numbers of a Thrift compact structure stand, as Parquet's footers and page headers are written."""

from __future__ import annotations

from dataclasses import dataclass

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_NUMBERS = frozenset({4, 5, 6})


@dataclass(frozen=True, slots=True)
class Span:
    """Some bytes that mean one thing: a number, a length, the head of a list or of a field, text."""

    start: int
    stop: int
    kind: str


def varint(number: int) -> bytes:
    """A number as a varint; negative ones as 64 bits."""
    rest, out = number & (1 << 64) - 1, bytearray()
    while rest >= 0x80:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*out, rest])


def padded_varint(number: int, size: int) -> bytes:
    """The lower bits of a number as a varint of so many bytes."""
    groups = [number >> 7 * place & 0x7F for place in range(size)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


class Walk:
    """Goes through a structure and notes where things stand."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.spans: list[Span] = []
        self.at = at
        self._data = data
        self._struct(0)

    def _number(self, kind: str) -> int:
        start, value, shift = self.at, 0, 0
        while True:
            byte = self._data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        self.spans.append(Span(start, self.at, kind))
        return value

    def _struct(self, depth: int) -> None:
        if depth > 30:
            raise ValueError("too deep")
        while (head := self._data[self.at]) != 0:
            self.spans.append(Span(self.at, self.at + 1, "field"))
            self.at += 1
            if not head >> 4:
                self._number("id")
            if head & 15 not in (_TRUE, _FALSE):
                self._value(head & 15, depth)
        self.at += 1

    def _value(self, kind: int, depth: int) -> None:
        if kind in _NUMBERS:
            self._number("number")
        elif kind in (_BYTE, _TRUE, _FALSE):
            self.at += 1
        elif kind == _DOUBLE:
            self.at += 8
        elif kind == _BINARY:
            length = self._number("length")
            self.spans.append(Span(self.at, self.at + length, "text"))
            self.at += length
        elif kind in (_LIST, _SET):
            self._list(depth)
        elif kind == _STRUCT:
            self._struct(depth + 1)
        else:
            raise ValueError(f"type {kind} at {self.at}")

    def _list(self, depth: int) -> None:
        head = self._data[self.at]
        self.spans.append(Span(self.at, self.at + 1, "list"))
        self.at += 1
        count = self._number("count") if head >> 4 == 15 else head >> 4
        for _ in range(count):
            self._value(head & 15, depth + 1)
