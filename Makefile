# make demo   the main job on the demo data, from nothing
# make test   all tests that need no extras
# make test-pythons   unit tests, and a wheel in an empty environment, on every Python of PYTHONS that is found
# make test-browser   the report's page in Chromium, which is installed if there is none
# make fuzz   broken files by the hundred for SECONDS; SEED=N makes the same ones again
# make test-offline   the unit tests and every command where there is no network and home is empty
# make test-oldest   the oldest versions of the dependencies that pyproject.toml allows; OLDEST=renew asks again which
# make coverage   which lines and branches the tests reach, worker processes included
# make mutants   whether the tests notice when the code is changed; MUTANTS="--most 40 --seed 0 grouping"
# make licences   docs/licences.md, out of what is installed; fails on a licence that is not allowed
# make docs   the documentation as a site, in site/
PYTHON ?= python3
PYTHONS ?= python3.11 python3.12 python3.13
OLDEST_PYTHON ?= python3.11
VENV ?= .venv
DEMO ?= demo
SECONDS ?= 120
# Test files that run at once; many wait for a while, so that three keep two cores busy.
JOBS ?= 3
# Its pins of numpy and transformers are below what the other extras want, though it runs with theirs.
STREAMING ?= mosaicml-streaming==0.13.0 catalogue python-snappy cramjam zstd Brotli boto3
# The versions that the extras were tested with; any torch >= 2.2 and its torchvision will do.
TORCH ?= torch==2.14.1 torchvision==0.29.1

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check

# Compiled modules are kept: the tests start some hundreds of interpreters, and each would compile all of dedupkit.
unexport PYTHONDONTWRITEBYTECODE

.DELETE_ON_ERROR:
.PHONY: demo test test-extras test-browser test-pythons test-offline test-oldest coverage mutants licences fuzz check wheel docs bench clean

demo: $(VENV)/.runtime
	@$(BIN)/dedupkit demo $(DEMO)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not extras and not browser and not offline" -n $(JOBS) --dist loadfile --no-loadscope-reorder

test-extras: $(VENV)/.extras
	$(BIN)/python -m pytest -m extras

test-pythons: wheel
	PYTHON_VENVS="$(VENV)/pythons" tests/pythons.sh $(PYTHONS)

test-browser: $(VENV)/.browser
	$(BIN)/python -m pytest -m browser tests/browser

fuzz: $(VENV)/.dev
	$(BIN)/python -m fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(FUZZ)

test-offline: $(VENV)/.dev
	$(BIN)/python -m pytest -m offline tests/integration/test_offline.py

# tests/oldest.txt: what the resolver finds; made anew with OLDEST=renew, as when a lower bound was changed.
test-oldest: $(VENV)/.dev
	[ -z "$(OLDEST)" ] || $(BIN)/python tests/oldest.py
	OLDEST_VENV="$(VENV)/oldest" UV="$(BIN)/uv" tests/oldest.sh $(OLDEST_PYTHON)

# Both suites, twice as slow as without; COVERED=tests/unit for a part of them.
coverage: $(VENV)/.extras
	rm -f .coverage .coverage.*
	$(BIN)/python -m coverage run -m pytest -m "not extras and not browser and not offline" \
		-n $(JOBS) --dist loadfile --no-loadscope-reorder $(COVERED)
	$(BIN)/python -m coverage run -m pytest -m extras $(COVERED) || [ $$? = 5 ] # there are none in that part
	$(BIN)/python -m coverage combine -q
	$(BIN)/python -m coverage report

mutants: $(VENV)/.dev
	$(BIN)/python benchmarks/mutants.py $(MUTANTS)
	$(BIN)/python benchmarks/tables.py

licences: $(VENV)/.dev
	$(BIN)/python docs/licences.py

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

wheel: $(VENV)/.runtime
	rm -rf dist
	$(PIP) wheel --no-deps --wheel-dir dist .
	@ls dist

# The reference is made out of the code; then every link and anchor of the site has to lead somewhere.
docs: $(VENV)/.docs
	$(BIN)/python docs/reference.py
	$(BIN)/zensical build --strict --clean
	rm -f site/*.py
	$(BIN)/python docs/site_links.py site

# make bench DATA=folder-of-images TRUTH=groups.csv [BENCH="--immaculate-python … --rivals-python …"]
bench: $(VENV)/.dev
	$(BIN)/python benchmarks/speed.py $(DATA) --truth $(TRUTH) $(BENCH)
	$(BIN)/python benchmarks/tables.py

clean:
	rm -rf build dist site docs/reference .cache mutants .coverage .coverage.* $(DEMO) .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# Each stamp stands for an installation; it is made again when pyproject.toml changes.
$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "dedupkit needs Python >= 3.11, $(PYTHON) is not: name one, as in make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "setting up $(VENV), once"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.python pyproject.toml
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.python pyproject.toml
	@$(PIP) install --editable '.[dev]'
	@touch $(VENV)/.runtime $@

$(VENV)/.docs: $(VENV)/.runtime
	@$(PIP) install --editable '.[docs]'
	@touch $@

$(VENV)/.extras: $(VENV)/.dev
	@$(PIP) install --editable '.[audit,torch,diffusers,imagededup,faces,documents,nsfw,ray]' $(TORCH)
	@$(PIP) install --no-deps $(STREAMING)
	@touch $@

# A browser of this machine if it has one; else its package, where we may install; else Playwright's own.
$(VENV)/.browser: $(VENV)/.dev
	@$(PIP) install --editable '.[browser-tests]'
	@command -v chromium || command -v chromium-browser || command -v google-chrome || \
		{ [ "$$(id -u)" = 0 ] && apt-get -qq update && apt-get install -qqy chromium; } || \
		{ sudo -n true 2>/dev/null && sudo -n apt-get -qq update && sudo -n apt-get install -qqy chromium; } || \
		$(BIN)/python -m playwright install chromium
	@touch $@
