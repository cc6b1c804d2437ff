# Thin names for what this repository can do; each sets up by itself what it needs (git, make and python3-venv given).
# What is run and tested is always the built wheel, installed in .venv, never the checkout.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WHEELS := build/wheel
CODEC := build/codec
SOURCES := $(shell find agent/sls_siem -name '*.py' -o -name '*.toml' -o -name py.typed)
NATIVE := $(shell find agent/native -path agent/native/target -prune -o -type f -print)
DEMO ?=
BENCH ?=
SCHEDULES ?= 100
# Most tests wait for something, so more of them than there are processors run side by side.
JOBS ?= 4

# The developer's own settings must not lead past the wheel, nor pip out of the virtual environment.
unexport PYTHONPATH PYTHONHOME
export PIP_USER := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo docs test coverage lint format bench faults clean deb rpm apt-repo fleet

help:
	@echo 'make demo      logs through the real agent, on servers it starts itself; DEMO="--output syslog" and the like'
	@echo 'make test      everything: linters, tests with coverage, unit tests on other Pythons'
	@echo 'make coverage  coverage on the oldest and the newest Python that are here'
	@echo 'make lint      linters alone;   make format   what they can mend'
	@echo 'make docs      the documentation as a site, in build/docs'
	@echo 'make bench     throughput per CPU-second'
	@echo 'make faults    random fault schedules, going on where they stopped; SCHEDULES=n'
	@echo 'make fleet     three booted hosts: Ansible, failover, upgrades under load'
	@echo 'make deb       the Debian package, in dist/; make rpm the other one; make apt-repo a signed repository'
	@echo 'make venv      the virtual environment $(VENV) with the built wheel and all tools'

# --- the virtual environment ------------------------------------------------------------------------------------------

$(VENV)/.created: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet 'hatchling>=1.26' wheel
	@touch $@

$(WHEELS)/.built: $(VENV)/.created README.md LICENSE $(SOURCES)
	@rm -rf $(WHEELS)
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir $(WHEELS) .
	@touch $@

# The compiled codec, where cargo is; without it, or with one that is too old, everything works in plain Python.
$(CODEC)/.built: $(VENV)/.created $(NATIVE)
	@rm -rf $(CODEC) && mkdir -p $(CODEC)
	@if ! command -v cargo >/dev/null; then \
	    echo 'no cargo here: the codec in plain Python is used'; \
	elif ! { $(BIN)/python -m pip install --quiet 'maturin>=1.9,<2' && \
	    $(BIN)/maturin build --quiet --release --manifest-path agent/native/Cargo.toml --out $(CODEC); }; then \
	    echo 'the compiled codec was not built: the one in plain Python is used'; \
	    test "$$CI" != true; \
	fi
	@touch $@

$(VENV)/.installed: $(WHEELS)/.built $(CODEC)/.built
	@for wheel in $(CODEC)/*.whl; do \
	    test ! -e "$$wheel" || $(BIN)/python -m pip install --quiet --force-reinstall --no-deps "$$wheel"; \
	done
	$(BIN)/python -m pip install --quiet $(WHEELS)/*.whl
	@# Once more, for what is new in a wheel of the same version.
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps $(WHEELS)/*.whl
	@touch $@

$(VENV)/.tools: $(VENV)/.installed pyproject.toml
	$(BIN)/python -m pip install --quiet "$$(echo $(WHEELS)/*.whl)[test,lint,fleet,docs]"
	@touch $@

venv: $(VENV)/.tools

# --- what people want -------------------------------------------------------------------------------------------------

demo: $(VENV)/.installed
	$(BIN)/sls-siem demo $(DEMO)

# A test that fails is run once more, with nothing beside it: most are about time, and the machine is shared. Both
# failures are in the log; what fails twice fails the run, and so does whatever else ended pytest. The last lines name
# what failed once, so that a test which often does is seen.
FAILED_ONCE = build/failed-once
NOTE_FAILED = { grep -o '".*::.*"' .pytest_cache/v/cache/lastfailed || true; } >> $(FAILED_ONCE)
MEASURED_PYTEST = SLS_SIEM_TEST_WHEEL=1 $(BIN)/python -m coverage run -m pytest
AGAIN = --last-failed --last-failed-no-failures none --maxfail 1

test: venv
	$(BIN)/python -m coverage erase
	@rm -f $(FAILED_ONCE)
	$(MEASURED_PYTEST) -n $(JOBS) --dist loadfile -m 'not alone' \
	    || { $(NOTE_FAILED); $(MEASURED_PYTEST) $(AGAIN) -m 'not alone'; }
	$(MEASURED_PYTEST) -m alone || { $(NOTE_FAILED); $(MEASURED_PYTEST) $(AGAIN) -m alone; }
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report
	$(BIN)/python tests/branch_coverage.py
	$(BIN)/python tests/other_pythons.py $(WHEELS)/*.whl
	@test ! -s $(FAILED_ONCE) || { echo "Failed once and passed when run again, alone:"; cat $(FAILED_ONCE); }

# On the oldest and the newest Python that are here; `make test` measures the usual one.
coverage: venv
	$(BIN)/python tests/other_pythons.py --coverage $(WHEELS)/*.whl

lint: venv
	$(BIN)/python -m pytest -q tests/test_linters.py

format: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: venv
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/.installed
	$(BIN)/python -m tests.bench $(BENCH)

# Stop it when you like: it goes on where it stopped. FIRST is the first seed; build/faults has results and report. Once,
# before the schedules, the receiver stalls for STALL_S, with the window full and ten shards, and memory is watched.
FIRST ?= 1
STALL_S ?= 600
faults: venv
	@mkdir -p build/faults
	test -e build/faults/.stalled || \
	    { SLS_SIEM_TEST_STALL_S=$(STALL_S) $(BIN)/python -m pytest -q tests/faults/test_invariants.py -k invariant_4 && \
	    touch build/faults/.stalled; }
	$(BIN)/python -m tests.faults --first $(FIRST) --campaign $(SCHEDULES) --results build/faults/results.jsonl \
	    --keep build/faults/failed --report build/faults/report.md

clean:
	rm -rf build dist .venv .venv-* .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis

# --- packages ---------------------------------------------------------------------------------------------------------
# ARCH is amd64 or arm64, this machine's unless said; PACKAGED_CODEC is auto (compiled where cargo is), none or required;
# APT_KEY a gpg key of yours, APT_URL where users find the repository, APT_REPO its folder: one that `make clean` does not
# remove, for hosts that shall be able to go back to an older version.

ARCH ?=
PACKAGED_CODEC ?= auto
APT_URL ?=
APT_REPO ?= dist/apt
PACKAGE = $(if $(ARCH),--arch $(ARCH)) --codec $(PACKAGED_CODEC)

deb: $(VENV)/.created
	$(BIN)/python packaging/build_deb.py $(PACKAGE)

rpm: $(VENV)/.created
	$(BIN)/python packaging/build_rpm.py $(PACKAGE)

apt-repo: deb
	$(BIN)/python packaging/apt_repo.py --out $(APT_REPO) $(if $(APT_URL),--url $(APT_URL))

# --- the fleet --------------------------------------------------------------------------------------------------------
# Three hosts booted with systemd-nspawn and rolled out to by Ansible; needs root.

fleet: venv
	SLS_SIEM_TEST_WHEEL=1 SLS_SIEM_TEST_FLEET=full $(BIN)/python -m pytest tests/ansible tests/fleet
