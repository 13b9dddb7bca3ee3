"""Networks in ONNX files, run by onnxruntime."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dedupkit.errors import UsageError
from dedupkit.fingerprints.descriptors.base import unit_rows
from dedupkit.fingerprints.descriptors.scaling import SCALINGS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OTHER_FILES = "session.model_external_initializers_file_folder_path"  # a file may keep its weights in others
_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class OnnxDescriber:
    """A network that gives one row of numbers for each picture.

    It takes RGB either as uint8 of shape (n, side, side, 3), and scales pixels itself; or, as exported models do, as
    float32 or float16 of shape (n, 3, side, side), scaled as `scaling` says.

    Parameters
    ----------
    path : path
        The ONNX file.
    side : int or None
        Width and height of the pictures; None where the file itself says it.
    scaling : str or None
        For floating-point input: a name of `SCALINGS`; None is "imagenet".
    output : str or None
        The output that holds the rows; None takes the first of shape (n, dimensions).
    sha256 : str or None
        What the digest of the file has to be; None takes any.

    Attributes
    ----------
    sha256 : str
        Digest of the file, which holds all weights: one that keeps some in other files is refused.

    Raises
    ------
    UsageError
        The file cannot be read, is another than was meant, or takes or gives something else.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        side: int | None = None,
        scaling: str | None = None,
        output: str | None = None,
        sha256: str | None = None,
    ) -> None:
        self._session, self.sha256 = opened_network(path, sha256)
        self.identity = self.sha256[:32]
        if scaling or output:
            self.identity = f"{self.identity} {scaling} {output}"
        given = self._session.get_inputs()[0]
        self._input, shape = given.name, given.shape
        self._type = _FLOATS.get(given.type)
        colours = 1 if self._type else 3
        if (given.type != "tensor(uint8)" and self._type is None) or len(shape) != 4 or shape[colours] != 3:
            raise UsageError(
                f"descriptor {path} takes {given.type} of shape {shape}; it must take uint8 of shape "
                "(n, side, side, 3) or floating-point numbers of shape (n, 3, side, side)"
            )
        if scaling and self._type is None:
            raise UsageError(f"descriptor {path} takes uint8 and scales pixels itself; leave scaling out")
        self._scaling = SCALINGS[scaling or "imagenet"]
        self._batch = shape[0] if isinstance(shape[0], int) else None
        self.side = _side(path, shape[1:3] if colours == 3 else shape[2:4], side)
        self._output = _output(path, self._session.get_outputs(), output)
        self.dimensions = int(self.describe(np.zeros((1, self.side, self.side, 3), np.uint8)).shape[1])

    def describe(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Rows of length 1, one a picture."""
        given = pictures if self._type is None else self._scaling(pictures).astype(self._type)
        if self._batch is None:
            return unit_rows(self._run(given))
        return unit_rows(np.concatenate([self._run_whole(part) for part in _parts(given, self._batch)]))

    def _run_whole(self, given: NDArray[Any]) -> NDArray[Any]:
        """Run a network that was exported for so many pictures at a time and no fewer."""
        missing = int(self._batch or 0) - len(given)
        filled = np.concatenate([given, np.zeros((missing, *given.shape[1:]), given.dtype)])
        return self._run(filled)[: len(given)]

    def _run(self, given: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(self._session.run([self._output], {self._input: given})[0])


def quiet_onnxruntime() -> Any:
    """onnxruntime, which since 1.29 reports to its maker from Linux too unless it is told not to before it starts."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    return onnxruntime


def opened_network(path: str | os.PathLike[str], sha256: str | None = None) -> tuple[Any, str]:
    """A session of an ONNX file, and the SHA-256 of its bytes, which is checked first where one is given."""
    onnxruntime = quiet_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # dedupkit's own threads share the cores
    options.log_severity_level = 3
    options.add_session_config_entry(_OTHER_FILES, f"{os.devnull}/none")
    try:
        weights = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"descriptor {path} cannot be loaded: {error}; name an ONNX file") from error
    found = hashlib.sha256(weights).hexdigest()
    if sha256 is not None and found != sha256.lower():
        raise UsageError(f"descriptor {path} has the SHA-256 {found}, not {sha256}; get the file that is meant")
    try:
        available = onnxruntime.get_available_providers()
        wanted = [each for each in ("CUDAExecutionProvider", "CPUExecutionProvider") if each in available]
        session = onnxruntime.InferenceSession(weights, options, providers=wanted)
    except Exception as error:
        remedy = "save it as one file" if "xternal data" in str(error) else "name an ONNX file"
        raise UsageError(f"descriptor {path} cannot be loaded: {error}; {remedy}") from error
    return session, found


def _side(path: str | os.PathLike[str], stated: list[Any], side: int | None) -> int:
    sides = {each for each in stated if isinstance(each, int)}
    if len(sides) > 1:
        raise UsageError(f"descriptor {path} takes pictures of {' x '.join(map(str, stated))}; it must take squares")
    if sides and side not in (None, *sides):
        raise UsageError(f"descriptor {path} takes pictures of side {sides.pop()}, got {side}; leave side out")
    found = next(iter(sides), side)
    if found is None:
        raise UsageError(f"descriptor {path} takes pictures of any size; say which, as in {Path(path).name}?side=224")
    return int(found)


def _output(path: str | os.PathLike[str], outputs: list[Any], wanted: str | None) -> str:
    """The name of the output that holds one row a picture."""
    rows = [each.name for each in outputs if each.shape is not None and len(each.shape) == 2]
    if wanted is not None and wanted in rows:
        return wanted
    if wanted is None and rows:
        return str(rows[0])
    had = ", ".join(f"{each.name} {each.shape}" for each in outputs)
    raise UsageError(f"descriptor {path} has outputs {had}; name one of shape (n, dimensions) with output")


def _parts(rows: NDArray[Any], size: int) -> list[NDArray[Any]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)] or [rows]
