"""Doubtful pairs as tasks for people in Label Studio, and their answers as overrides.

A task shows two pictures and asks whether one is a copy of the other.  Label Studio itself is needed for neither way.
"""

from __future__ import annotations

import base64
import json
import logging
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedupkit.errors import UsageError
from dedupkit.fingerprints.decode import header
from dedupkit.fingerprints.pillow import strict_pillow
from dedupkit.found import Found
from dedupkit.interop.copies import doubtful_drops, images_of, open_again
from dedupkit.interop.overrides import Override
from dedupkit.notebook.found import pair_words
from dedupkit.options import resolve_recipe
from dedupkit.report.thumbnails import thumbnail
from dedupkit.sample import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dedupkit.cleaning import Result
    from dedupkit.recipe import Recipe

_log = logging.getLogger("dedupkit")

SIDE = 512  # pixels of a picture's longer side
ANSWERS = ("copy", "different", "unsure")
CONFIG = """\
<View>
  <Header value="Is one of these a copy of the other: the same picture, cropped, resized, recoloured or written over?"/>
  <View style="display: grid; grid-template-columns: 1fr 1fr; gap: 12px">
    <View><Image name="image_a" value="$image_a"/><Text name="key_a" value="$key_a"/></View>
    <View><Image name="image_b" value="$image_b"/><Text name="key_b" value="$key_b"/></View>
  </View>
  <Text name="evidence" value="$evidence"/>
  <Choices name="answer" toName="image_a" choice="single-radio" showInLine="true" required="true">
    <Choice value="copy"/>
    <Choice value="different"/>
    <Choice value="unsure"/>
  </Choices>
</View>
"""


def to_label_studio(
    result: Result | Found,
    folder: str | os.PathLike[str],
    *,
    source: Any,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    n: int = 100,
) -> Path:
    """Write the pairs that are most in doubt as tasks for Label Studio.

    Parameters
    ----------
    result : Result or Found
        Of a cleaning run the dropped copies with the weakest evidence, each with the kept sample it was matched with.
        Of a search the pairs that only just count, and, half as many, the look-alikes that came nearest to counting.
    folder : path
        Gets ``tasks.json``, to be imported, and ``config.xml``, the project's labelling interface.
    source : object
        What was cleaned or searched: the pictures are in the tasks, at most 512 pixels wide and without metadata.
    recipe : Recipe or path of a TOML file, optional
        The one of the run: its source options and limits are used.
    n : int
        How many tasks at most.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    UsageError
        Of a source that cannot be read again, or of a number below 1.

    Notes
    -----
    A task is some 100 KB.  Each comes with what dedupkit thinks, as a prediction.
    """
    if n < 1:
        raise UsageError(f"n must be 1 or more, got {n}; leave it out for 100")
    opened, limits = open_again(source, recipe), resolve_recipe(recipe).limits
    pairs = list(_pairs_of_search(result, n) if isinstance(result, Found) else _pairs_of_run(result, n))
    wanted = {pair[end] for pair in pairs for end in ("key_a", "key_b")}
    pictures: dict[str, str] = {}
    for key, image in images_of(opened, wanted):
        with strict_pillow():
            small = None if isinstance(header(image, limits), Fault) else thumbnail(image, SIDE)
        if small is not None:
            pictures[key] = f"data:image/jpeg;base64,{base64.b64encode(small).decode()}"
    tasks = [_task(pair, pictures) for pair in pairs if pair["key_a"] in pictures and pair["key_b"] in pictures]
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    (target / "config.xml").write_text(CONFIG, encoding="utf-8")
    (target / "tasks.json").write_text(json.dumps(tasks, indent=1) + "\n", encoding="utf-8")
    return target


def overrides_from_label_studio(
    answers: str | os.PathLike[str] | Sequence[Mapping[str, Any]],
) -> list[Override]:
    """What the answers to `to_label_studio`'s tasks ask a run to do otherwise.

    Parameters
    ----------
    answers : path, or list of mapping
        Label Studio's export in the format JSON or JSON-MIN.

    Returns
    -------
    list of Override
        Where people said "different" of a dropped copy: keep it.  Of a pair of a search that dedupkit takes for copies:
        keep both.  Where they said "copy" of a look-alike: drop the second.  For what they agree with, or are unsure
        of, there is none.

    Raises
    ------
    UsageError
        This is no such export.

    Notes
    -----
    Where several people answered a task, most of them decide; where they are even, nobody does.  A key that is to be
    kept for one pair and dropped for another is kept.

    Examples
    --------
    >>> task = {"key_a": "a.jpg", "key_b": "b.jpg", "dropped": "b.jpg", "thought": "copy", "answer": "different"}
    >>> overrides_from_label_studio([task])
    [Override(key='b.jpg', action='keep', note='not a copy of a.jpg, by a person')]
    """
    rows = _read(Path(answers)) if isinstance(answers, (str, os.PathLike)) else answers
    votes: dict[tuple[str, str], Counter[str]] = {}
    tasks: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in rows:
        try:
            data, said = _answered(row)
        except (AttributeError, KeyError, TypeError) as error:
            raise UsageError("a task is not as Label Studio writes it; export the project anew, as JSON") from error
        pair = str(data["key_a"]), str(data["key_b"])
        tasks[pair] = data
        votes.setdefault(pair, Counter()).update(said)
    asked = [each for pair, data in tasks.items() for each in _overrides(data, _majority(votes[pair]))]
    kept = {each.key for each in asked if each.action == "keep"}
    agreed = {each.key: each for each in asked if each.action == "keep" or each.key not in kept}
    unsure = sum(_majority(each) not in ("copy", "different") for each in votes.values())
    _log.info("%d pairs answered, %d of them undecided; %d overrides", len(votes), unsure, len(agreed))
    return list(agreed.values())


def _pairs_of_run(result: Result, n: int) -> Iterator[dict[str, Any]]:
    for row in doubtful_drops(result, n).to_pylist():
        words = pair_words({"tier": row["tier"], **(row["evidence"] or {})})
        kept, dropped = row["kept_key"], row["key"]
        yield {"key_a": kept, "key_b": dropped, "dropped": dropped, "thought": "copy", "evidence": words}


def _pairs_of_search(found: Found, n: int) -> Iterator[dict[str, Any]]:
    alike = found.look_alikes.sort_by([("cosine", "descending"), ("a_position", "ascending")])
    alike = alike.slice(0, max(n // 3, n - found.pairs.num_rows))
    for thought, table in (("copy", found.borderline(n - alike.num_rows)), ("different", alike)):
        for row in table.to_pylist():
            yield {"key_a": row["a"], "key_b": row["b"], "dropped": "", "thought": thought, "evidence": pair_words(row)}


def _task(pair: Mapping[str, Any], pictures: Mapping[str, str]) -> dict[str, Any]:
    images = {"image_a": pictures[pair["key_a"]], "image_b": pictures[pair["key_b"]]}
    choice = {"from_name": "answer", "to_name": "image_a", "type": "choices", "value": {"choices": [pair["thought"]]}}
    return {"data": {**pair, **images}, "predictions": [{"model_version": "dedupkit", "result": [choice]}]}


def _read(path: Path) -> list[Mapping[str, Any]]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read as JSON: {error}; export the project as JSON") from error
    if not isinstance(rows, list):
        raise UsageError(f"{path} is no list of tasks; export the project as JSON or JSON-MIN")
    return rows


def _answered(row: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    """The data of a task, and all answers to it."""
    data = row.get("data", row) if isinstance(row, dict) else {}
    if not {"key_a", "key_b", "thought"} <= data.keys():
        raise UsageError("a task lacks key_a, key_b or thought; give the export of a project made by to_label_studio")
    if "annotations" not in row:
        return data, [str(row["answer"])] if row.get("answer") else []
    results = [each for made in row["annotations"] if not made.get("was_cancelled") for each in made.get("result", ())]
    return data, [
        str(choice) for each in results if each.get("from_name") == "answer" for choice in each["value"]["choices"]
    ]


def _majority(votes: Counter[str]) -> str | None:
    ranked = votes.most_common(2)
    is_clear = len(ranked) == 1 or (len(ranked) == 2 and ranked[0][1] > ranked[1][1])
    return ranked[0][0] if is_clear else None


def _overrides(data: Mapping[str, Any], answer: str | None) -> Iterator[Override]:
    a, b, dropped = str(data["key_a"]), str(data["key_b"]), str(data.get("dropped") or "")
    if answer == "different" and data["thought"] == "copy":
        for key, other in ((a, b), (b, a)):
            if dropped in ("", key):
                yield Override(key, "keep", f"not a copy of {other}, by a person")
    elif answer == "copy" and data["thought"] == "different":
        yield Override(b, "drop", f"a copy of {a}, by a person")
