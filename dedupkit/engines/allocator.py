"""The C allocator of processes that are our own: the command line's and the workers'."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_KEPT_BYTES = 64 << 20
_MMAPPED_BYTES = 4 << 20


def keep_freed_memory() -> None:
    """Let glibc keep up to 64 MiB that was freed, where it would give back all but 128 KiB.

    Decoding takes and frees the same buffers for every image; getting their pages from the kernel anew each time
    costs a tenth of a run.  Does nothing where the C library is another.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _MMAPPED_BYTES)
