"""The machines that a plan is for."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from dedupkit.engines.budget import byte_count
from dedupkit.engines.local import available_cores
from dedupkit.errors import UsageError

_EXAMPLE = "cores=64,memory=256GiB,disk=2TB,price=3.2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One of the machines.

    Parameters
    ----------
    cores : int
        Cores that a run may use.
    memory_bytes : int
        Its memory.
    disk_bytes : int
        What is free where output and scratch files go.
    price_per_hour : float or None
        What it costs for an hour, in any currency; None where that is not asked.

    Raises
    ------
    UsageError
        A number is below what a machine has.
    """

    cores: int
    memory_bytes: int
    disk_bytes: int
    price_per_hour: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("cores", 1), ("memory_bytes", 1), ("disk_bytes", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} of a machine must be {least} or more, got {getattr(self, name)}")
        if self.price_per_hour is not None and self.price_per_hour < 0:
            raise UsageError(
                f"price of a machine must be 0 or more, got {self.price_per_hour}; leave it out if unknown"
            )

    @classmethod
    def here(cls) -> Machine:
        """This one, with the disk of the current folder."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 1 << 40
        return cls(cores=available_cores(), memory_bytes=memory, disk_bytes=shutil.disk_usage(Path.cwd()).free)

    @classmethod
    def of(cls, text: str) -> Machine:
        """A machine out of ``cores=64,memory=256GiB,disk=2TB,price=3.2``; what is left out is as here.

        Raises
        ------
        UsageError
            Of a name that is none, or a value that is no number.

        Examples
        --------
        >>> Machine.of("cores=64, memory=256GiB, disk=2TB, price=3.2").price_per_hour
        3.2
        """
        here = cls.here()
        values: dict[str, float] = {"cores": here.cores, "memory": here.memory_bytes, "disk": here.disk_bytes}
        price = None
        for each in filter(None, (part.strip() for part in text.split(","))):
            name, _, value = each.partition("=")
            if name == "cores":
                values[name] = _number(each, value, whole=True)
            elif name in values:
                values[name] = byte_count(name, value)
            elif name == "price":
                price = float(_number(each, value))
            else:
                raise UsageError(f"machine must be text such as {_EXAMPLE}, got {each!r}")
        return cls(
            cores=int(values["cores"]),
            memory_bytes=int(values["memory"]),
            disk_bytes=int(values["disk"]),
            price_per_hour=price,
        )


def _number(each: str, value: str, *, whole: bool = False) -> float:
    try:
        return int(value) if whole else float(value)
    except ValueError as error:
        raise UsageError(f"machine must be text such as {_EXAMPLE}, got {each!r}, which is no number") from error
