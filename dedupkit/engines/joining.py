"""Joining a Ray cluster, or starting a Ray on this machine, without noise and without reports to anybody."""

from __future__ import annotations

import logging
import os
import socket
from importlib import import_module
from typing import Any

from dedupkit.engines.local import available_cores
from dedupkit.errors import UsageError

_ANSWERS_WITHIN_S = 10.0
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # a Ray that is started here reports to nobody
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # under `uv run` Ray would ship the working directory to all nodes
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray's default, named so that it does not warn of it
}


def quiet_ray() -> Any:
    """The module, imported with what is to be off turned off."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    return import_module("ray")


def check_address(address: str) -> None:
    """Refuse what a driver cannot run from.

    Raises
    ------
    UsageError
        It is the address of a Ray Client, which is no node of the cluster.
    """
    if "://" in address:
        raise UsageError(
            f"address must be HOST:PORT, auto or local, got {address}; run on a node of the cluster, or hand the "
            "command to it with `ray job submit`"
        )


def join(ray: Any, address: str | None) -> bool:
    """Join a cluster; whether it was started here.

    Raises
    ------
    UsageError
        There is none at that address, or it runs other versions of Ray and Python.
    """
    named = address or os.environ.get("RAY_ADDRESS")
    if named:
        check_address(named)
        return _joined(ray, named)
    try:
        return _joined(ray, "auto")
    except UsageError as error:
        if not isinstance(error.__cause__, ConnectionError):  # there is one, but of another version
            raise
    return _joined(ray, "local")


def _joined(ray: Any, address: str) -> bool:
    own = {"num_cpus": available_cores()} if address == "local" else {}
    try:
        _check_answers(address)
        ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        why = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"the Ray cluster {address} cannot be joined ({why}); `ray start --head` on a machine starts one"
        ) from error
    return address == "local"


def _check_answers(address: str) -> None:
    """Somebody has to listen there: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWERS_WITHIN_S).close()
