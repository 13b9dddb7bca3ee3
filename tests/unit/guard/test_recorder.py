"""What a process noted is read by others while it lives and after it died."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from dedupkit.guard.recorder import Recorder, notes_in, tag_of
from dedupkit.sources.base import Shard

if TYPE_CHECKING:
    from pathlib import Path


def test_parts_and_samples_are_seen_while_they_last(tmp_path: Path) -> None:
    recorder, one, two = Recorder(tmp_path), Shard("one", "1", None), Shard("two", "1", None)
    with recorder.part(one), recorder.part(two), recorder.sample(0.01):
        time.sleep(0.05)
        (notes,) = notes_in(tmp_path)
        assert (notes.pid, notes.ended, set(notes.parts)) == (os.getpid(), False, {tag_of(one), tag_of(two)})
        assert 0.03 < notes.overdue_s < 10
    (notes,) = notes_in(tmp_path)
    assert (len(notes.parts), notes.overdue_s) == (0, 0)
    recorder.end()
    assert notes_in(tmp_path)[0].ended


def test_a_sample_within_its_time_is_not_overdue(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    with recorder.sample(100):
        assert notes_in(tmp_path)[0].overdue_s <= 0


def test_notes_outlive_who_wrote_them(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from dedupkit.guard.recorder import keep_notes, making\nfrom dedupkit.sources.base import Shard\n"
        "keep_notes(Path(sys.argv[1]))\n"
        "with making(Shard('deadly', '7', None)):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert run.returncode != 0
    (notes,) = notes_in(tmp_path)
    assert (notes.ended, set(notes.parts)) == (False, {tag_of(Shard("deadly", "7", None))})


def test_shards_of_another_name_or_content_have_other_tags() -> None:
    tags = {tag_of(Shard(name, identity, None)) for name in "ab" for identity in "12"}
    assert len(tags) == 4
