"""ONNX files that tests write for themselves: an average over the picture, so that what comes out is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FLOAT, UINT8, FLOAT16 = 1, 2, 10  # TensorProto.DataType
Dim = int | str


def write_mean_of_channels(
    path: Path, shape: Sequence[Dim], kind: int = FLOAT, extra_outputs: Sequence[str] = (), *, rows_first: bool = True
) -> Path:
    """A network whose output ``rows`` is the mean of each channel, shape (n, 3); it takes (n, 3, side, side).

    `extra_outputs` are of shape (n, 3, 1, 1).  Of uint8 the input is (n, side, side, 3) and the output its means too.
    """
    outputs: list[tuple[str, Sequence[Dim]]] = [(name, (shape[0], 3, 1, 1)) for name in extra_outputs]
    outputs.insert(0 if rows_first else len(outputs), ("rows", (shape[0], 3)))
    kind_out = FLOAT if kind == UINT8 else kind
    nodes = []
    given = "pictures"
    if kind == UINT8:
        nodes.append(_node("Cast", ["pictures"], "numbers", _integer("to", FLOAT)))
        nodes.append(_node("Transpose", ["numbers"], "channels", _integers("perm", [0, 3, 1, 2])))
        given = "channels"
    nodes.append(_node("GlobalAveragePool", [given], "means"))
    nodes.append(_node("Flatten", ["means"], "rows", _integer("axis", 1)))
    nodes += [_node("Identity", ["means"], name) for name in extra_outputs]
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, b"g")
    graph += _field(11, _value("pictures", shape, kind))
    graph += b"".join(_field(12, _value(name, dims, kind_out)) for name, dims in outputs)
    path.write_bytes(_number(1, 8) + _field(7, graph) + _field(8, _number(2, 13)))
    return path


def write_weights_elsewhere(path: Path, place: str) -> Path:
    """A network whose two weights for each number of a picture of side 8 stand in another file."""
    elsewhere = _field(1, b"location") + _field(2, place.encode())
    weights = _number(1, 3 * 8 * 8) + _number(1, 2) + _number(2, FLOAT) + _field(8, b"weights")
    weights += _field(13, elsewhere) + _number(14, 1)
    nodes = [_node("Flatten", ["pictures"], "flat"), _node("MatMul", ["flat", "weights"], "rows")]
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, b"g") + _field(5, weights)
    graph += _field(11, _value("pictures", ("n", 3, 8, 8), FLOAT)) + _field(12, _value("rows", ("n", 2), FLOAT))
    path.write_bytes(_number(1, 8) + _field(7, graph) + _field(8, _number(2, 13)))
    return path


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def _number(tag: int, value: int) -> bytes:
    return _varint(tag << 3) + _varint(value)


def _field(tag: int, data: bytes) -> bytes:
    return _varint(tag << 3 | 2) + _varint(len(data)) + data


def _node(operator: str, given: Sequence[str], result: str, *attributes: bytes) -> bytes:
    names = b"".join(_field(1, name.encode()) for name in given) + _field(2, result.encode())
    return names + _field(4, operator.encode()) + b"".join(_field(5, each) for each in attributes)


def _integer(name: str, value: int) -> bytes:
    return _field(1, name.encode()) + _number(3, value) + _number(20, 2)


def _integers(name: str, values: Sequence[int]) -> bytes:
    return _field(1, name.encode()) + b"".join(_number(8, value) for value in values) + _number(20, 7)


def _value(name: str, shape: Sequence[Dim], kind: int) -> bytes:
    dims = b"".join(_field(1, _number(1, dim) if isinstance(dim, int) else _field(2, dim.encode())) for dim in shape)
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, kind) + _field(2, dims)))
