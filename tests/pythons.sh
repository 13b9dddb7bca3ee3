#!/usr/bin/env bash
# Unit tests, and the wheel in an empty environment, on every Python that is named and found:
#     tests/pythons.sh python3.11 python3.12 python3.13
# PYTHON_VENVS is where their environments are kept.  A shim of pyenv is asked for its own version.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venvs=${PYTHON_VENVS:-.venv/pythons}
wheel=$(realpath dist/dedupkit-*.whl)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
unset PYTHONPATH

for python in "$@"; do
    # what pyenv calls the version; others take no notice
    export PYENV_VERSION=${python#python}
    if ! "$python" -c '' 2>/dev/null; then
        echo "$python: not found here, passed over"
        continue
    fi
    echo "== $("$python" --version): the wheel in an empty environment"
    "$python" -m venv "$scratch/$python"
    "$scratch/$python/bin/python" -m pip -qq --disable-pip-version-check install "$wheel"
    (
        cd "$scratch"
        "$python/bin/dedupkit" --version
        "$python/bin/dedupkit" doctor
        "$python/bin/dedupkit" demo "demo-$python" | tail -n 2
        "$python/bin/dedupkit" find "demo-$python/shards" --workers 2 | sed -n 1p
    )
    rm -rf "${scratch:?}/$python"
    echo "== $("$python" --version): unit tests"
    [ -x "$venvs/$python/bin/python" ] || "$python" -m venv "$venvs/$python"
    "$venvs/$python/bin/python" -m pip -qq --disable-pip-version-check install --editable '.[dev]'
    "$venvs/$python/bin/python" -m pytest tests/unit -m "not extras"
done
