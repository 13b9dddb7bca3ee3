"""Text that programs read: JSON, JSON lines, CSV and TOML with values of other kinds, depths, sizes and encodings."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from fuzz.mutators import raw

if TYPE_CHECKING:
    from random import Random

    from fuzz.mutators.raw import Step

_ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**64), 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf")),
    *("", " ", "\0", "\x1b[31m", "\u202e", "\ud800", "a\nb", "../..", "/etc/passwd", "x" * 3000, "{{7*7}}", "<b>"),
    *("0", "nan", "1e3", "é", "\U0001f600", [], {}, [[]], [None], {"a": {}}, {"": 1}, ["x", 1, None], {"\ud800": 2}),
)
_ODD_TEXT = (
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\0", b"\r", b"\n", b"\r\n", b"\x85", b"\x0c", b"\xe2\x80\xa8", b"\xed\xa0\x80"),
    *(b'"', b"'", b"\\", b"\\u", b"\\ud800", b"{", b"}", b"[", b"]", b",", b":", b"=", b"#", b"[[", b"..", b"-", b"1e"),
    *(b"NaN", b"Infinity", b"-Infinity", b"null", b"true", b"9" * 5000, b"[" * 3000, b'{"a":' * 3000, b"\x1b]0;x\x07"),
)


def put_odd_text(data: bytes, rng: Random) -> bytes:
    """Something that parsers trip over, anywhere or in place of something."""
    start, stop = raw.span(data, rng, 20)
    return data[:start] + rng.choice(_ODD_TEXT) + (data[start:] if rng.random() < 0.6 else data[stop:])


def set_digits(data: bytes, rng: Random) -> bytes:
    """Another number where one stands."""
    places = list(re.finditer(rb"\d+(?:\.\d+)?", data))
    place = rng.choice(places)
    odd = (b"0", b"-1", b"1e400", b"9" * 30, b"0.5", b"nan", b"007", b"1_0", str(raw.edge(64, rng)).encode(), b'"x"')
    return data[: place.start()] + rng.choice(odd) + data[place.end() :]


def other_encoding(data: bytes, rng: Random) -> bytes:
    """The same text in another encoding, or with another line break."""
    text = data.decode("utf-8", "replace")
    if rng.random() < 0.4:
        return data.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n", b"\x0b")))
    return text.encode(rng.choice(("utf-16", "utf-32", "utf-8-sig", "latin-1", "utf-7")), "replace")


def repeat_lines(data: bytes, rng: Random) -> bytes:
    """A line stands twice, many times, or before others."""
    lines = data.splitlines(keepends=True)
    lines[rng.randrange(len(lines) + 1) : 0] = [rng.choice(lines)] * rng.choice((1, 1, 5, 100))
    return b"".join(lines)


def drop_line(data: bytes, rng: Random) -> bytes:
    """A line is missing."""
    lines = data.splitlines(keepends=True)
    del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def edit_value(data: bytes, rng: Random) -> bytes:
    """A value of a JSON document becomes one of another kind, is missing, or is called otherwise."""
    return _dumped(_edited(json.loads(data), rng))


def edit_line(data: bytes, rng: Random) -> bytes:
    """The same in a line of JSON lines."""
    lines = data.split(b"\n")
    at = rng.choice([place for place, line in enumerate(lines) if line.strip()])
    lines[at] = _dumped(_edited(json.loads(lines[at]), rng))
    return b"\n".join(lines)


def set_toml_value(data: bytes, rng: Random) -> bytes:
    """A value of a TOML document becomes another."""
    places = list(re.finditer(rb"(?m)^([\w\".-]+) *= *(.*)$", data))
    place = rng.choice(places)
    odd = (
        *(b"0", b"-1", b"1", b"2", b"nan", b"inf", b"-inf", b"true", b'""', b'"all"', b'"\\u0000"', b"[]", b"[1, 'a']"),
        *(b"{}", b"{a = 1}", b"1979-05-27", b"07:32:00", b"9" * 40, b"0x7fffffffffffffffff", b"'''\nx\n'''", b'["/x"]'),
        *(rng.choice(places)[2], b'"' + b"x" * 5000 + b'"', b"[" * 500 + b"]" * 500),
    )
    return data[: place.start(2)] + rng.choice(odd) + data[place.end(2) :]


def rename_toml(data: bytes, rng: Random) -> bytes:
    """A table or an option called otherwise."""
    place = rng.choice(list(re.finditer(rb"(?m)^\[?([\w.]+)", data)))
    others = [match[1] for match in re.finditer(rb"(?m)^\[?([\w.]+)", data)]
    return data[: place.start(1)] + rng.choice((*others, b"seed", b"a.b.c", b"versions", b'""')) + data[place.end(1) :]


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _edited(value: Any, rng: Random, depth: int = 0) -> Any:
    """The value with one thing in it changed."""
    inside = isinstance(value, dict | list) and bool(value)
    if not inside or (depth and rng.random() < 0.25):
        return rng.choice((*_ODD_VALUES, [value], {"": value}))
    if isinstance(value, dict):
        return _edited_mapping(dict(value), rng, depth)
    items = list(value)
    at = rng.randrange(len(items))
    way = rng.randrange(4)
    if way == 0:
        del items[at]
    elif way == 1:
        items.insert(at, rng.choice((items[at], *_ODD_VALUES)))
    else:
        items[at] = _edited(items[at], rng, depth + 1)
    return items


def _edited_mapping(value: dict[str, Any], rng: Random, depth: int) -> dict[str, Any]:
    name = rng.choice(sorted(value))
    way = rng.randrange(6)
    if way == 0:
        del value[name]
    elif way == 1:
        value[rng.choice((name + "x", "", "\0", "__class__", "key"))] = value.pop(name)
    else:
        value[name] = _edited(value[name], rng, depth + 1)
    return value


STEPS: tuple[Step, ...] = (put_odd_text, set_digits, other_encoding, repeat_lines, drop_line)
JSON_STEPS: tuple[Step, ...] = (*(edit_value,) * 6, put_odd_text, set_digits, other_encoding)
LINE_STEPS: tuple[Step, ...] = (*(edit_line,) * 4, *STEPS)
TOML_STEPS: tuple[Step, ...] = (*(set_toml_value,) * 4, rename_toml, *STEPS)
