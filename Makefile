# The names of these targets are relied upon by scripts; `make help` lists them.

MAKEFLAGS += --no-print-directory
PYTHON := .venv/bin/python
# Only files whose hashes are pinned; no sdists, as what builds one is not pinned.
PIP_INSTALL := -m pip install -qq --disable-pip-version-check --no-input \
  --require-hashes --only-binary=:all:
PIP := $(PYTHON) $(PIP_INSTALL)
# true for CPython 3.12 and 3.13
SUITABLE := import sys; sys.exit(not ((3, 12) <= sys.version_info < (3, 14)))

.DEFAULT_GOAL := help
.PHONY: help venv command charts node-dev install install-evidence install-cluster install-dev lock run test test-quick lint lockstep chaos chaos-tests soak mutants bench bench-recovery bench-memory bench-evidence

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

# A .venv whose interpreter is gone or unsuitable is made anew.
venv:
	@trap 'exit 130' INT; if ! "$(PYTHON)" -c "$(SUITABLE)" 2>/dev/null; then \
	  found=$$(deploy/find_python.sh) || exit 1; \
	  rm -rf .venv; \
	  "$$found" -m venv .venv \
	    || { rm -rf .venv; \
	         command -v uv >/dev/null && uv venv -q --python "$$found" .venv \
	           && sed -n '/^pip==/,/# via/p' requirements-lock.txt \
	             | uv pip install -q --python $(PYTHON) --require-hashes --only-binary=:all: -r -; } \
	    || { rm -rf .venv; \
	         echo "make: $$found cannot make a virtual environment: install its venv module" \
	           "(Debian and Ubuntu: the package python3-venv of that version)" >&2; exit 1; }; \
	fi

# The file last installed is kept inside .venv, so nothing is done until it changes.
install: venv charts command ## make .venv and install what running needs (again only when it changed)
	@cmp -s requirements.txt .venv/requirements.txt || { \
	  $(PIP) -r requirements.txt && cp requirements.txt .venv/requirements.txt; }

# The command `.venv/bin/coinex`: a link to a script that runs the code it lies beside, so it may be
# moved with the checkout, is never out of date, needs no network, and puts no module of a name such
# as supervisor into the environment, as an installed entry point would.
command: venv
	@ln -sfn ../../deploy/coinex .venv/bin/coinex

# The charts of the dashboard. Without npm, or offline, everything else works all the same, and the
# page says what is missing. What developers install holds it, too.
NPM_CI := npm ci --ignore-scripts --prefer-offline --fetch-retries=1 --loglevel=error
charts:
	@command -v npm >/dev/null || exit 0; \
	  cmp -s package-lock.json node_modules/.lock-with-dev \
	    || cmp -s package-lock.json node_modules/.lock \
	    || { $(NPM_CI) --omit=dev >/dev/null && cp package-lock.json node_modules/.lock; } \
	    || echo "make: npm could not install the chart library; the dashboard shows no charts" >&2

node-dev:
	@command -v npm >/dev/null || exit 0; \
	  cmp -s package-lock.json node_modules/.lock-with-dev \
	    || { $(NPM_CI) >/dev/null && cp package-lock.json node_modules/.lock-with-dev; }

install-evidence: install ## as well what Parquet, plots and statistics need: `coinex candles`, `replay`, `evidence`
	@cat requirements.txt requirements-evidence.txt | cmp -s - .venv/requirements-evidence.txt || { \
	  $(PIP) -r requirements-evidence.txt \
	    && cat requirements.txt requirements-evidence.txt > .venv/requirements-evidence.txt; }

CLUSTER_PINS := requirements.txt requirements-evidence.txt requirements-cluster.txt
install-cluster: install ## as well Ray: `coinex sweep --engine ray`, on several machines
	@cat $(CLUSTER_PINS) | cmp -s - .venv/requirements-cluster.txt || { \
	  $(PIP) -r requirements-cluster.txt && cat $(CLUSTER_PINS) > .venv/requirements-cluster.txt; }

DEV_PINS := $(CLUSTER_PINS) requirements-dev.txt
install-dev: install node-dev
	@cat $(DEV_PINS) | cmp -s - .venv/requirements-dev.txt || { \
	  $(PIP) -r requirements-dev.txt && cat $(DEV_PINS) > .venv/requirements-dev.txt; }

LOCK_VENV := .cache/lock
lock: venv ## pin what setup.cfg names, with hashes; ARGS='--upgrade-package NAME' for a newer one
	@cmp -s requirements-lock.txt $(LOCK_VENV)/requirements-lock.txt || { \
	  rm -rf $(LOCK_VENV) && "$(PYTHON)" -m venv $(LOCK_VENV) \
	    && $(LOCK_VENV)/bin/python $(PIP_INSTALL) -r requirements-lock.txt \
	    && cp requirements-lock.txt $(LOCK_VENV)/requirements-lock.txt; }
	@$(LOCK_VENV)/bin/python deploy/lock.py $(ARGS)

# Python itself starts with Ctrl-C blocked, else it ends in a traceback; supervisor.py unblocks it.
run: install ## start everything in the foreground; ARGS='--set key.path=value' is passed on
	@block='env --block-signal=INT'; $$block true 2>/dev/null || block=; \
	  exec $$block "$(PYTHON)" supervisor.py run $(ARGS)

# In CI one call that hangs must not keep the others from running.
LIMIT = $(if $(filter true,$(CI)),timeout --kill-after=30 1200)
PYTEST = $(LIMIT) "$(PYTHON)" -m pytest

# What the browser runs is checked by Node.js 20 or newer; a laptop without it goes on without.
NODE := if ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null; then \
	  echo "make: no Node.js 20 or newer: the page's JavaScript is not checked" >&2; \
	  test "$$CI" != true; exit; fi;

# The quick kinds first, so that a plain mistake shows in seconds. Each with the number of processes
# that run its tests: as many as there are cores where tests compute, more where they wait.
KINDS := unit:0 property:2 lockstep:2 integration:3 chaos:3 systemd:2 e2e:2
QUICK := unit:0 property:2
RUN_KINDS = @failed=; for kind in $(1); do \
	  set -- tests/$${kind%:*} -n $${kind\#*:}; echo "make: $$1"; \
	  { $(PYTEST) --dist loadgroup --durations=20 "$$@"; } \
	    || failed="$$failed $$1"; \
	done; \
	test -z "$$failed" || { echo "make: failed:$$failed" >&2; exit 1; }
JS = @$(NODE) node --test --test-reporter=dot $(wildcard tests/js/*.test.js)

test: install-dev ## every test
	$(JS)
	$(call RUN_KINDS,$(KINDS))

test-quick: install-dev ## those that take seconds: unit, property and the page's JavaScript
	$(JS)
	$(call RUN_KINDS,$(QUICK))

chaos: install-dev ## random faults over the whole demo; ARGS='--seed 1 --minutes 10'
	@"$(PYTHON)" -m tests.chaos.storm $(ARGS)

chaos-tests: install-dev ## only the tests that kill, freeze and starve
	@$(PYTEST) tests/chaos

lockstep: install-dev ## a recorded week of the trader as it is against its backtest, trade for trade
	@$(PYTEST) tests/lockstep/whole_week.py

mutants: install-dev ## change the code that decides, see whether tests notice; ARGS=sizing is quicker
	@"$(PYTHON)" -m tests.mutants $(ARGS)

soak: install-dev ## the demo for hours, few faults, what grows; ARGS='--hours 8'
	@"$(PYTHON)" -m tests.chaos.storm $(if $(ARGS),$(ARGS),--hours 8)

SCRIPTS := .ci/run deploy/coinex $(wildcard deploy/*.sh tests/support/*.sh)
lint: install-dev ## ruff, mypy --strict, shellcheck, tsc and eslint
	@"$(PYTHON)" -m ruff check .
	@"$(PYTHON)" -m ruff format --check .
	@"$(PYTHON)" -m mypy
	@if command -v shellcheck >/dev/null; then shellcheck $(SCRIPTS); \
	  else echo "make: no shellcheck: the shell scripts are not checked" >&2; test "$$CI" != true; fi
	@$(NODE) node_modules/.bin/tsc && node_modules/.bin/eslint --max-warnings=0 .

bench: install-dev ## every benchmark, into benchmarks/RESULTS.md; ARGS=--quick is faster
	@"$(PYTHON)" benchmarks/run_all.py $(ARGS)

bench-recovery: install ## time from kill -9 to the new process's first heartbeat
	@"$(PYTHON)" benchmarks/recovery.py $(ARGS)

bench-memory: install ## proportional set size of the whole system
	@"$(PYTHON)" benchmarks/memory.py $(ARGS)

bench-evidence: install-dev ## from candles to evidence: seconds, memory; ARGS=--quick, or '--candles DIR'
	@"$(PYTHON)" benchmarks/evidence.py $(ARGS)
