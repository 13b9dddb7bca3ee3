"""Which pictures stand for missing ones: hashes of files in named packages.

    python training/placeholder_hashes.py PACKAGES [--out dedupkit/hygiene/placeholders.csv] [--pictures FOLDER]

Downloads the packages of placeholders.toml, each of the version that stands there, into PACKAGES with pip, npm and
apt-get, and hashes the files named there as `dedupkit.clean` does.  Only hashes are written.  What PACKAGES holds
already is not downloaded again.  A package that is to be had no more, as Debian removes old versions, keeps its rows.
With --pictures the files are laid out for placeholder_measure.py and for a look at them.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

from dedupkit.fingerprints.stage import fingerprint_batch
from dedupkit.hygiene.placeholders import TABLE
from dedupkit.recipe import Recipe
from dedupkit.sample import FINGERPRINTS, Sample

LIST = Path(__file__).with_name("placeholders.toml")
FIELDS = (
    *("sha256", "pdq", "quality", "trimmed_pdq", "trimmed_quality"),
    *("name", "package", "version", "file"),
)
FETCH = {
    "pypi": ("pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "{name}=={version}"),
    "npm": ("npm", "pack", "--silent", "{name}@{version}"),
    "debian": ("apt-get", "download", "--quiet", "{name}={version}"),
}


def archive_of(package: dict[str, Any], packages: Path) -> Path | None:
    """The archive of a package, downloaded if it is not there; None where it is to be had no more."""
    plain = f"{package['registry']}-{package['name']}-{package['version']}"
    folder = packages / re.sub(r"[^\w.+-]+", "_", plain)
    folder.mkdir(parents=True, exist_ok=True)
    if not list(folder.iterdir()):
        command = [part.format(**package) for part in FETCH[package["registry"]]]
        subprocess.run(command, cwd=folder, check=False, stdout=sys.stderr)
    return next(folder.iterdir(), None)


def files_in(archive: Path, names: list[str]) -> dict[str, bytes]:
    """The files of some names, out of a wheel, a Debian package or a tar."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return {name: wheel.read(name) for name in names}
    data = archive.read_bytes()
    if archive.suffix == ".deb":
        data = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(archive)], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = {name: tar.extractfile(name) for name in names}
        return {name: member.read() for name, member in members.items() if member is not None}


def row_of(package: dict[str, Any], file: str, data: bytes) -> dict[str, Any]:
    values = fingerprint_batch([Sample(file, data)], Recipe(preset="fast"))[0]
    seen = dict(zip(FINGERPRINTS.names[3:], values, strict=True))
    if seen["fault"]:
        raise ValueError(f"{file} of {package['name']}: {seen['fault_detail']}")
    return {
        "sha256": hashlib.sha256(data).hexdigest(),
        "pdq": seen["pdq"].hex(),
        "quality": seen["pdq_quality"],
        "trimmed_pdq": (seen["trimmed_pdq"] or b"").hex(),
        "trimmed_quality": seen["trimmed_pdq_quality"] or 0,
        "name": re.sub(r"-[0-9a-f]{32}(?=\.)", "", Path(file).name),  # what a bundler put there
        "package": package["name"],
        "version": package["version"],
        "file": file.removeprefix("./"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path)
    parser.add_argument("--out", type=Path, default=TABLE)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    before: list[dict[str, Any]] = []
    if options.out.exists():
        with options.out.open(encoding="utf-8", newline="") as handle:
            before = list(csv.DictReader(handle))
    rows: dict[str, dict[str, Any]] = {}
    for package in tomllib.loads(LIST.read_text(encoding="utf-8"))["package"]:
        archive = archive_of(package, options.packages)
        if archive is None:
            kept = [row for row in before if (row["package"], row["version"]) == (package["name"], package["version"])]
            print(f"{package['name']} {package['version']} cannot be had; {len(kept)} rows of it stay", file=sys.stderr)
            for row in kept:
                rows.setdefault(row["sha256"], row)
            continue
        for file, data in files_in(archive, package["files"]).items():
            row = row_of(package, file, data)
            rows.setdefault(row["sha256"], row)
            if options.pictures:
                options.pictures.mkdir(parents=True, exist_ok=True)
                (options.pictures / f"{row['sha256']}{Path(file).suffix}").write_bytes(data)
    with options.out.open("w", encoding="utf-8", newline="") as handle:
        table = csv.DictWriter(handle, FIELDS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows.values())
    print(f"{len(rows)} pictures out of {len({row['package'] for row in rows.values()})} packages", file=sys.stderr)


if __name__ == "__main__":
    main()
