"""Decoders that do what native ones may: a process with this folder on its PYTHONPATH, and HOSTILE set, has them.

The end of an image's bytes says what looking at it does.  With HOSTILE=full only a decode at full scale does it, which
first comes when the sample is emitted with changed pixels.
"""

import ctypes
import importlib.util
import os
import sys
import time
from importlib.abc import MetaPathFinder
from typing import Any

_DECODERS = "dedupkit.fingerprints.decode"
_FULL_SCALE = 1000


class _Hostile(MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != _DECODERS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            raise ImportError(name)
        execute = spec.loader.exec_module

        def with_hostile(module: Any) -> None:
            execute(module)
            module.decode = _hostile(module.decode)

        spec.loader.exec_module = with_hostile  # type: ignore[method-assign]
        return spec


def _hostile(decode: Any) -> Any:
    def looked_at(data: bytes, *given: Any, **choices: Any) -> Any:
        if os.environ["HOSTILE"] != "full" or choices.get("min_side", 0) > _FULL_SCALE:
            if data.endswith(b"CRASH"):
                ctypes.string_at(0)
            if data.endswith(b"SLEEP"):
                time.sleep(3600)
            if data.endswith(b"GREED"):
                held = []
                while True:
                    held.append(b"x" * (16 << 20))
        return decode(data, *given, **choices)

    return looked_at


if os.environ.get("HOSTILE"):
    sys.meta_path.insert(0, _Hostile())
