"""A trial of what the core stands on, in a process of its own: native code that does not fit the machine ends it.

    python -m dedupkit.checkup.trial

prints a line of JSON before each step and one after it.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

_SIDE = 128
_MIN_COSINE = 0.95  # processors round int8 differently; the least against float32 is in models/README.md
_MAX_BITS = 4
_EXPECTED_PDQ = 0xFB6C5A425D48EB42FD4E2946E526A81E552BD15AA5A95BE854A9AB55AAA5A52A
_EXPECTED_DESCRIPTOR = (
    "Cdoc4UXRAyHH/fAuEdr8PfAoBBPY0Aam//ooItEN3djzCEQR8Au55Mzu7SrwJ/Dp3gjVHffx6grgN/ox9tYgON4NxSYsB+313hkL"
    "SL4qws1r3SAnIRjUDesi9RwdBxVTSADpH9UPCgwKW6/4FdkzA7wNFxXjIOAuBu4eDsEbAC0CwRorBekeC/73uv4L6AQB/RwXEPYk"
    "xOwrS+lURq81Iv3/NcrX8entBTQs89sKI/7rFDTyMvDr2usC7+i7M9/X2BF199Et6rL/gesMJ9nypEIXKsIbywO+Irr3H8v/oh70"
    "8OxOSTQ/MfTnzLsWBvO9FuTcPOwnJbUu5DgePygevg=="
)
"""Of `picture()`: 256 numbers from -127 to 127, base64."""


def picture() -> NDArray[np.uint8]:
    """A picture by whole numbers alone, the same on every machine; uint8, shape (128, 128, 3), RGB."""
    import numpy as np

    y, x = np.mgrid[:_SIDE, :_SIDE]
    ring = ((x - 50) ** 2 + (y - 70) ** 2) // 24
    planes = [ring, (3 * x + y) // 2 + 40 * (x // 32 % 2), 255 - (x * y) // 64 + 60 * (ring // 60 % 2)]
    return np.stack([plane % 256 for plane in planes], axis=-1).astype(np.uint8)


def descriptor() -> str:
    """Hold the bundled network's descriptor of the picture against what it should be."""
    import numpy as np

    from dedupkit.fingerprints.descriptors.opening import open_describer

    row = open_describer("dedupkit").describe(picture()[None])[0]
    wanted = np.frombuffer(base64.b64decode(_EXPECTED_DESCRIPTOR), np.int8).astype(np.float32)
    cosine = float(row @ wanted / np.linalg.norm(wanted))
    if cosine < _MIN_COSINE:
        raise ValueError(f"the bundled network's descriptor of a drawn picture is off: cosine {cosine:.3f}")
    return f"the bundled network sees a drawn picture as it should, cosine {cosine:.3f}"


def hashes() -> str:
    """Hold the picture's PDQ hash against what it should be, through an encoder and a decoder."""
    import io

    import numpy as np
    from PIL import Image

    from dedupkit.fingerprints.perceptual import perceptual_hashes

    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "PNG")
    gray = np.asarray(Image.open(io.BytesIO(buffer.getvalue())).convert("L"))
    found = perceptual_hashes(gray, *gray.shape).pdq
    bits = (int.from_bytes(found, "big") ^ _EXPECTED_PDQ).bit_count()
    if bits > _MAX_BITS:
        raise ValueError(f"the hash of a drawn picture is off by {bits} bits")
    return f"its hash is as it should be, {bits} bits off"


def workers() -> str:
    """Have two worker processes do something."""
    from dedupkit.engines.local import LocalEngine

    done = sorted(outcome for _, outcome in LocalEngine(2).map(abs, [-1, -2, -3, -4]))
    if done != [1, 2, 3, 4]:
        raise ValueError(f"worker processes answered {done}")
    return "worker processes start and answer"


def _import(name: str) -> Callable[[], str]:
    def step() -> str:
        __import__(name)
        return name

    return step


def main(modules: list[str]) -> None:
    """Take the steps one by one; a failure is a line too."""
    from dedupkit.fingerprints.descriptors.onnx import quiet_onnxruntime

    steps: dict[str, Callable[[], Any]] = {f"import of {name}": _import(name) for name in modules}
    steps["import of onnxruntime"] = lambda: quiet_onnxruntime().__version__
    for name, step in (steps | {"descriptor": descriptor, "hashes": hashes, "workers": workers}).items():
        print(json.dumps({"step": name}), flush=True)
        try:
            told = {"said": str(step())}
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is to be told
            told = {"fault": f"{type(error).__name__}: {error}"}
        print(json.dumps({"step": name} | told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
