"""Which engine a name stands for, and what is refused."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

from dedupkit.engines.local import LocalEngine
from dedupkit.engines.opening import check_reach, open_engine
from dedupkit.errors import UsageError
from dedupkit.storage import Folder


@pytest.mark.parametrize("name", [None, "local"])
def test_the_local_engine_is_the_default(name: str | None) -> None:
    with open_engine(name, workers=3) as engine:
        assert isinstance(engine, LocalEngine)
        assert engine.processes == 3


def test_an_engine_that_is_given_is_passed_on() -> None:
    given = LocalEngine(1)
    with open_engine(given) as engine:
        assert engine is given


@pytest.mark.parametrize(
    ("engine", "options", "what"),
    [
        ("dask", {}, "engine must be local or ray, got 'dask'"),
        ("local", {"workers": 0}, "workers must be 1 or more"),
        ("local", {"address": "host:1"}, "address of a cluster"),
        (None, {"gpus_a_task": 1}, "GPUs a task"),
        (LocalEngine(1), {"workers": 2}, "give them to the engine"),
    ],
)
def test_what_an_engine_has_not_is_refused(engine: Any, options: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what), open_engine(engine, **options):
        pass


def test_engines_of_one_machine_have_no_reach_to_check(tmp_path: Any) -> None:
    check_reach(LocalEngine(1), Folder(str(tmp_path)), object(), [])  # type: ignore[arg-type]  # nobody looks at it
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed here")
def test_a_missing_ray_names_the_command_that_brings_it() -> None:
    with pytest.raises(UsageError, match=r"pip install 'dedupkit\[ray\]'"), open_engine("ray"):
        pass
