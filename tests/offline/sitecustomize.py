"""Notes each address that a Python process asks for: with this folder on its PYTHONPATH, and OFFLINE_LOG set."""

import os
import sys
from pathlib import Path
from typing import Any

_ASKED = ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request")


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in _ASKED:
        return
    where = arguments[1] if event in ("socket.connect", "socket.sendto") else arguments[0]
    if isinstance(where, tuple):  # the address of a Unix socket is a text
        where = where[0]
    elif event in ("socket.connect", "socket.sendto"):
        return
    if where is not None and not str(where).startswith(("127.", "::1", "localhost", "0.0.0.0")):
        with Path(os.environ["OFFLINE_LOG"]).open("a", encoding="utf-8") as log:
            log.write(f"{event} {where}\n")


if os.environ.get("OFFLINE_LOG"):
    sys.addaudithook(_note)
