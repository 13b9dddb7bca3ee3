"""Small files that people pass on, of any content: they load, or one error of one line says why not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.small import TARGETS
from fuzz.trying import outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

_JSON_KINDS = ("overrides", "manifest", "saved", "proof", "labels", "calibration")
_plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9))


def names_in(value: Any) -> Iterator[str]:
    """Every name of a mapping in a document."""
    if isinstance(value, dict):
        yield from value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from names_in(each)


def documents(whole: Any) -> st.SearchStrategy[Any]:
    """The whole document with anything in place of something, and things of its own names."""
    names = st.one_of(st.sampled_from(sorted(set(names_in(whole)))), st.text(max_size=5))
    anything = st.recursive(
        _plain, lambda below: st.lists(below, max_size=3) | st.dictionaries(names, below, max_size=4), max_leaves=12
    )
    return st.one_of(anything, changed(whole, anything))


def changed(whole: Any, anything: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A document that is as it was but in one place."""
    if isinstance(whole, dict) and whole:
        return st.sampled_from(sorted(whole)).flatmap(
            lambda name: changed(whole[name], anything).map(lambda value: whole | {name: value})
        )
    if isinstance(whole, list) and whole:
        return changed(whole[0], anything).map(lambda value: [value, *whole[1:]])
    return anything


@pytest.mark.parametrize("kind", _JSON_KINDS)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_documents_of_json_load_or_are_refused_in_one_line(kind: str, data: st.DataObject) -> None:
    target = TARGETS[kind]
    document = data.draw(documents(json.loads(target.whole())))
    assert outcome(kind, {target.name: json.dumps(document).encode()}) in ("loaded", "refused")


_toml = st.recursive(
    st.one_of(
        st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=9), st.dates(), st.times()
    ),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_recipes_load_or_are_refused_in_one_line(data: st.DataObject) -> None:
    import tomllib

    whole = tomllib.loads(TARGETS["recipe"].whole().decode())
    document = data.draw(changed(whole, _toml))
    assert outcome("recipe", {"recipe.toml": tomli_w.dumps(document).encode()}) in ("loaded", "refused")


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(("blocklist", "placeholders", "metadata", "metadata_csv")), st.binary(max_size=200))
def test_lists_of_any_bytes_load_or_are_refused_in_one_line(kind: str, data: bytes) -> None:
    target = TARGETS[kind]
    assert outcome(kind, {target.name: data}) in ("loaded", "refused")
