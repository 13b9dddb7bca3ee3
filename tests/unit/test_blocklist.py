"""What is blocked: by URL, domain, key, digest and PDQ hash, out of text and Parquet."""

from __future__ import annotations

import hashlib
import pickle
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dedupkit.blocklist import Blocker, without_blocked
from dedupkit.errors import UsageError
from dedupkit.recipe import Blocklist, SourceOptions
from dedupkit.sample import FINGERPRINTS, Reason, Sample
from dedupkit.sources import open_source

if TYPE_CHECKING:
    from pathlib import Path

PDQ = bytes(range(32))


def listed(folder: Path, *entries: str) -> tuple[str]:
    (folder / "list.txt").write_text("\n".join(entries) + "\n\n")
    return (str(folder / "list.txt"),)


def flipped(code: bytes, bits: int) -> bytes:
    """The code with its first bits changed."""
    values = np.unpackbits(np.frombuffer(code, np.uint8))
    values[:bits] ^= 1
    return np.packbits(values).tobytes()


@pytest.mark.parametrize(
    ("url", "blocked"),
    [
        ("https://bad.example/1.jpg", True),
        ("http://cdn.BAD.example:8080/1.jpg", True),
        ("https://notbad.example/1.jpg", False),
        ("https://example/bad.example", False),
        ("https://[broken", False),
        ("no url", False),
    ],
)
def test_a_domain_blocks_what_lies_below_it(url: str, blocked: bool, tmp_path: Path) -> None:
    blocker = Blocker.of(Blocklist(domains=listed(tmp_path, "Bad.example.")))
    assert (blocker.fault(key="k", url=url) is not None) == blocked


def test_keys_urls_and_digests_block_what_equals_them(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"x")
    for name, entry in (("keys", "k"), ("urls", "https://a/1"), ("sha256", digest.hexdigest().upper())):
        blocker = Blocker.of(
            Blocklist.model_validate({name: listed(tmp_path, "other" if name != "sha256" else "0" * 64, entry)})
        )
        fault = blocker.fault(key="k", url="https://a/1", sha256=digest.digest())
        assert fault is not None
        assert fault.reason is Reason.BLOCKED
        assert name in fault.detail
        assert blocker.fault(key="K", url="https://a/2", sha256=b"x" * 32) is None


def test_a_column_of_parquet_will_do(tmp_path: Path) -> None:
    pq.write_table(pa.table({"name": ["x"], "id": [7]}), tmp_path / "opt_out.parquet")
    blocker = Blocker.of(Blocklist(keys=(f"{tmp_path}/opt_out.parquet:id",)))
    assert blocker.fault(key="7") is not None
    with pytest.raises(UsageError, match=r"has columns name, id; say which, as in opt_out.parquet:name"):
        Blocker.of(Blocklist(keys=(f"{tmp_path}/opt_out.parquet",)))


def test_near_pdq_hashes_are_blocked_and_others_not(tmp_path: Path) -> None:
    blocker = Blocker.of(Blocklist(pdq=listed(tmp_path, PDQ.hex())))
    rows = [{"pdq": PDQ}, {"pdq": flipped(PDQ, 31)}, {"pdq": flipped(PDQ, 32)}, {"pdq": None}]
    table = blocker.without_blocked_hashes(pa.Table.from_pylist(rows, schema=FINGERPRINTS))
    assert table.schema.equals(FINGERPRINTS)
    assert table["fault"].to_pylist() == ["blocked", "blocked", None, None]


@pytest.mark.parametrize(("kind", "entry"), [("sha256", "abc"), ("md5", "0" * 64), ("pdq", "z" * 64)])
def test_what_is_no_hash_is_named(kind: str, entry: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"entry 1 of list.txt is no {kind}"):
        Blocker.of(Blocklist.model_validate({kind: listed(tmp_path, entry)}))


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"blocklist .*nothing.txt cannot be read"):
        Blocker.of(Blocklist(urls=(f"{tmp_path}/nothing.txt",)))


def test_blocked_images_are_never_handed_on(tmp_path: Path) -> None:
    rows = [
        {"key": "a", "image": b"1", "URL": "https://bad.example/a"},
        {"key": "b", "image": b"2", "URL": "https://good.example/b"},
        {"key": "c", "image": b"3", "URL": None},
    ]
    blocklist = Blocklist(domains=listed(tmp_path, "bad.example"), md5=(str(tmp_path / "md5.txt"),))
    (tmp_path / "md5.txt").write_text(hashlib.md5(b"3", usedforsecurity=False).hexdigest())
    source = without_blocked(open_source(rows), Blocker.of(blocklist), SourceOptions())
    samples: list[Sample] = [sample for shard in source.shards() for sample in source.read(shard)]
    assert [(sample.key, sample.image) for sample in samples] == [("a", None), ("b", b"2"), ("c", None)]


def test_the_identity_changes_with_the_list_and_a_blocker_travels(tmp_path: Path) -> None:
    first = Blocker.of(Blocklist(keys=listed(tmp_path, "a")))
    second = Blocker.of(Blocklist(keys=listed(tmp_path, "a", "b")))
    assert first.identity != second.identity
    assert pickle.loads(pickle.dumps(second)).fault(key="b") is not None
    assert Blocker.of(Blocklist()).identity == ""
