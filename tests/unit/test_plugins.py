from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dedupkit.errors import RunError, UsageError
from dedupkit.plugins import Plugin, Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MODULE = """
from dedupkit.plugins import register_check

class Fine:
    version = "1"
    def look(self, sample, picture):
        return None
"""


def installed(folder: Path, name: str, group: str, entries: dict[str, str], version: str = "1.0") -> None:
    """A package as pip leaves it: a folder of metadata beside its module."""
    folder.mkdir(exist_ok=True)
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = "\n".join(f"{key} = {value}" for key, value in entries.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{lines}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "brought_checks.py").write_text(_MODULE)
    yield tmp_path / "site"
    sys.modules.pop("brought_checks", None)


def registry() -> Registry:
    return Registry("check", {"own": "dedupkit.sinks.arrow:ArrowSink"}, lambda: ("blurred",))


def test_a_registered_one_is_found_by_its_name() -> None:
    found = registry()
    found.register("mine")(dict)
    assert found.find("mine").made is dict
    assert found.names() == ("own", "mine")
    assert found.brings("mine")
    assert not found.brings("own")


@pytest.mark.parametrize("name", ["own", "blurred"])
def test_names_of_the_package_cannot_be_taken(name: str) -> None:
    with pytest.raises(UsageError, match=f"the check {name} is dedupkit's own; give builtins:dict another name"):
        registry().register(name)(dict)


@pytest.mark.parametrize("name", ["C", "Upper", "with space", "", "1st", "a:b"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="must have a name of lower-case letters"):
        registry().register(name)(dict)


def test_two_of_one_name_are_refused_but_not_the_same_again() -> None:
    found = registry()
    found.register("mine")(dict)
    found.register("mine")(dict)
    with pytest.raises(UsageError, match=r"\(builtins:dict\) is registered already; give builtins:list another name"):
        found.register("mine")(list)


def test_an_entry_point_of_an_installed_package_is_found(site: Path) -> None:
    installed(site, "nice", "dedupkit.checks", {"fine": "brought_checks:Fine"}, version="2.5")
    plugin = registry().find("fine")
    assert plugin.make().look(None, None) is None
    assert "nice 2.5" in plugin.identity


def test_an_entry_point_cannot_take_a_name_of_the_package(site: Path, caplog: pytest.LogCaptureFixture) -> None:
    installed(site, "greedy", "dedupkit.checks", {"own": "brought_checks:Fine", "blurred": "brought_checks:Fine"})
    found = registry()
    assert found.names() == ("own",)
    assert found.find("own").made.__name__ == "ArrowSink"
    assert "the check own of greedy is passed over" in caplog.text


def test_a_package_that_cannot_be_loaded_is_told_in_one_line(site: Path) -> None:
    installed(site, "broken", "dedupkit.checks", {"bad": "no_such_module:Thing"})
    with pytest.raises(UsageError) as told:
        registry().find("bad")
    assert str(told.value) == (
        "the check bad (no_such_module:Thing, of broken) cannot be loaded: ModuleNotFoundError: No module named "
        "'no_such_module'; mend or uninstall broken"
    )


def test_two_packages_that_bring_one_name_are_both_named(site: Path) -> None:
    installed(site, "one", "dedupkit.checks", {"fine": "brought_checks:Fine"})
    installed(site, "other", "dedupkit.checks", {"fine": "brought_checks:Fine"})
    with pytest.raises(UsageError, match="the check fine is brought by one and other; uninstall all but one"):
        registry().find("fine")


def test_what_is_not_there_is_told_with_what_is() -> None:
    with pytest.raises(UsageError, match="check must be one of own; got 'gone', see docs"):
        registry().find("gone")


def test_what_cannot_be_made_is_told_in_one_line() -> None:
    def made() -> Any:
        raise KeyError("weights")

    with pytest.raises(UsageError, match=r"the check mine \(.*\) cannot be made: KeyError: 'weights'; mend it"):
        Plugin("check", "mine", made).make()


def test_the_identity_changes_with_version_and_file(site: Path) -> None:
    import brought_checks  # type: ignore[import-not-found]

    first = Plugin("check", "fine", brought_checks.Fine).identity
    (site / "brought_checks.py").write_text(_MODULE + "# changed\n")
    second = Plugin("check", "fine", brought_checks.Fine).identity
    brought_checks.Fine.version = "2"
    assert len({first, second, Plugin("check", "fine", brought_checks.Fine).identity}) == 3


def test_a_descriptor_is_held_to_its_contract() -> None:
    from dedupkit.fingerprints.descriptors.brought import BroughtDescriber

    class Describes:
        side, dimensions = 4, 2

        def describe(self, pictures: Any) -> Any:
            return [[3.0, 4.0]] * len(pictures) if pictures.any() else [[np.nan, 1.0]] * len(pictures)

    describer = BroughtDescriber(Plugin("descriptor", "mine", Describes), Describes())
    white = np.full((2, 4, 4, 3), 255, np.uint8)
    assert describer.describe(white).tolist() == pytest.approx(np.array([[0.6, 0.8]] * 2))
    with pytest.raises(RunError, match=r"the descriptor mine .* must give finite numbers of shape \(2, 2\)"):
        describer.describe(white * 0)
    with pytest.raises(UsageError, match="must have side, a whole number"):
        BroughtDescriber(Plugin("descriptor", "mine", dict), {})
