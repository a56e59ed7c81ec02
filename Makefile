# Everything that is done with a checkout; `make help` prints what there is.
# Needs Python 3.11 or newer, make and a package registry. All else goes into .venv and .venv-gen.

PYTHON ?= python3
ARGS ?=

# Where `make run` and `make serve` keep the database and the weights of the embedded model: here, not in your home.
export SENDOFF_DATA_DIR ?= $(CURDIR)/.data

# Many containers set this. Here hundreds of processes are started, and each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-input --no-compile
READY := .venv/.ready
GEN_READY := .venv-gen/.ready
OLDEST_LETTA := .venv/oldest-letta
JAVASCRIPT := .venv/javascript

.DEFAULT_GOAL := help
SHELL := /bin/bash
MAKEFLAGS += --no-print-directory

#: Use it

.PHONY: run
run: $(READY) ## Start the server on the embedded model and watch it answer (ARGS=--once: then stop)
	@exec $(BIN)/sendoff-server demo $(ARGS)

.PHONY: serve
serve: $(READY) ## Start the server (ARGS='--log-format json': any of its flags)
	@exec $(BIN)/sendoff-server serve $(ARGS)

#: Develop

.PHONY: test
test: $(READY) $(GEN_READY) $(OLDEST_LETTA)/.ready $(JAVASCRIPT)/.ready weights ## Run the tests (ARGS='tests/unit -k retry': some of them)
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal $(ARGS)

.PHONY: test-clients
test-clients: $(READY) $(GEN_READY) ## Build the examples of every language that is here, and test them (ARGS='-k rust')
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup tests/languages $(ARGS)

CHECKS := check-format check-lint check-types check-floors \
	check-proto-lint check-proto-format check-proto-breaking check-proto-generated

.PHONY: check
check: $(READY) $(GEN_READY) ## All but the tests: format, lint, types, floors, contract; says how to mend what fails
	@$(MAKE) --keep-going --jobs=2 --output-sync=target $(CHECKS) && echo "All checks passed."

.PHONY: format
format: $(READY) ## Format Python and protos, and mend what the linter can mend
	@$(BIN)/ruff check --quiet --fix-only
	@$(BIN)/ruff format --quiet
	@$(BIN)/buf format --write protos

.PHONY: bench
bench: $(READY) ## Measure against the ceilings (ARGS=--write-readme: and put the table into the README)
	@$(BIN)/python -m bench $(ARGS)

.PHONY: overload
overload: $(READY) ## Offer a server five times what it can do while quiet tenants go on (ARGS='--seconds 10')
	@$(BIN)/python -m bench.overload $(ARGS)

.PHONY: chaos
chaos: $(READY) ## Break three replicas and their database under load, then check every promise (ARGS='--minutes 4 --seed 7')
	@$(BIN)/python -m tests.chaos $(ARGS)

.PHONY: clean
clean: ## Remove environments, caches and build results; the data in .data stays
	@rm -rf examples/*/{.venv,gen,build,target,node_modules,dist}
	@rm -rf .venv .venv-gen dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find client server tests bench protos release -name __pycache__ -type d -prune -exec rm -rf {} +

#: Make what is committed

.PHONY: proto
proto: $(READY) $(GEN_READY) ## Generate client/sendoff/v1 from protos/
	@$(BIN)/python protos/generate.py

.PHONY: snapshot
snapshot: $(READY) ## Write down the contract's rules, REST paths, defaults and what may be repeated, as they are now
	@SENDOFF_UPDATE_SNAPSHOTS=1 $(BIN)/python -m pytest -q tests/unit/contract_snapshot tests/deploy/test_drain.py \
	  -k 'contract_snapshot or may_repeat'

.PHONY: baseline
baseline: $(READY) ## At a release: make today's contract the one that must not be broken
	@$(BIN)/buf build protos --exclude-source-info --output protos/baseline.binpb

UV_COMPILE = "$$scratch"/bin/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 \
	--custom-compile-command "make lock" --no-emit-index-url --no-emit-find-links $(ARGS)

.PHONY: lock
lock: ## Resolve requirements/*.txt (ARGS=--upgrade: to the newest versions that fit)
	@echo "Resolving requirements (about 1 min)..."
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT \
	  && $(PYTHON) -m venv "$$scratch" && "$$scratch"/bin/python $(PIP_INSTALL) uv \
	  && $(UV_COMPILE) pyproject.toml requirements/build.in --extra dev -o requirements/dev.txt \
	  && $(UV_COMPILE) pyproject.toml --extra server --extra postgres --extra otel --constraints requirements/dev.txt -o requirements/server.txt \
	  && $(UV_COMPILE) requirements/gen.in -o requirements/gen.txt

#: Make what is released

.PHONY: bundle
bundle: $(READY) ## Write the contract into dist/, for callers without this checkout: full, and lean
	@$(BIN)/python release/bundle.py

.PHONY: wheel
wheel: $(READY) ## Build the wheel and the source distribution into dist/
	@$(BIN)/python -m hatchling build --directory dist

.PHONY: release
release: $(READY) ## Say what this commit lacks for a release, or write all that is released into dist/
	@$(BIN)/python release/checks.py
	@rm -rf dist
	@$(MAKE) bundle wheel
	@cd dist && sha256sum *.tar.gz *.whl > SHA256SUMS && cat SHA256SUMS

# ---- set-up, done once and again when its inputs change ----

# venv DIRECTORY: an environment of its own, or what to install so that there can be one.
define venv
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
  || { echo "$(PYTHON) is older than 3.11 or missing: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
@$(PYTHON) -m venv $(1) >/dev/null \
  || { echo "No environment could be made: on Debian, apt-get install python3-venv (and python3-pip)." >&2; exit 1; }
endef

.venv/.locked: requirements/dev.txt
	@echo "Setting up .venv (once; 1 to 2 min)..."
	$(call venv,.venv)
	@.venv/bin/python $(PIP_INSTALL) --require-hashes -r $<
	@touch $@

$(READY): .venv/.locked pyproject.toml
	@.venv/bin/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(GEN_READY): requirements/gen.txt
	@echo "Setting up .venv-gen, for generated code (once; about 10 s)..."
	$(call venv,.venv-gen)
	@.venv-gen/bin/python $(PIP_INSTALL) --require-hashes -r $<
	@touch $@

$(OLDEST_LETTA)/.ready: requirements/oldest-letta.txt .venv/.locked
	@rm -rf $(OLDEST_LETTA)
	@.venv/bin/python $(PIP_INSTALL) --require-hashes --no-deps --target $(OLDEST_LETTA) -r $<
	@touch $@

# Node and npm come with the environment. What npm fetches it holds to the lock file's hashes, and runs none of it.
$(JAVASCRIPT)/.ready: requirements/javascript/package.json requirements/javascript/package-lock.json .venv/.locked
	@rm -rf $(JAVASCRIPT) && mkdir $(JAVASCRIPT) && cp $(filter %.json,$^) $(JAVASCRIPT)
	@cd $(JAVASCRIPT) && $(CURDIR)/$(BIN)/npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@

.PHONY: weights
weights: $(READY)
	@$(BIN)/sendoff-server models pull

# ---- the checks, each of which can be run alone ----

# step NAME, COMMAND, HOW TO MEND: silent when all is well.
define step
@printf '%-34s' '$(1)'; \
if told=$$($(2) 2>&1); then echo ok; else echo FAILED; printf '%s\n' "$$told" '-> $(3)'; exit 1; fi
endef

.PHONY: $(CHECKS)
check-format: $(READY)
	$(call step,Python is formatted,$(BIN)/ruff format --check,make format)

check-lint: $(READY)
	$(call step,Python lints,$(BIN)/ruff check,make format mends some; the rest is for you)

check-types: $(READY)
	$(call step,types fit (mypy --strict),$(BIN)/mypy,mend the types; a `type: ignore` needs its reason beside it)

check-floors: $(READY)
	$(call step,imports keep to the floors,$(BIN)/lint-imports --no-logo,see [tool.importlinter] in pyproject.toml: import \
	downwards only or wire it in app.py)

check-proto-lint: $(READY)
	$(call step,protos lint,$(BIN)/buf lint protos,mend the protos; protos/README.md has the rules)

check-proto-format: $(READY)
	$(call step,protos are formatted,$(BIN)/buf format --diff --exit-code protos,make format)

check-proto-breaking: $(READY)
	$(call step,contract breaks no client,$(BIN)/buf breaking protos --against protos/baseline.binpb,undo the \
	break: reserve instead of removing and add instead of changing (protos/README.md))

check-proto-generated: $(READY) $(GEN_READY)
	$(call step,generated code is fresh,$(BIN)/python protos/generate.py --check,make proto)

.PHONY: help
help: ## Print this
	@awk -F ':.*## ' '/^#: / { printf "\n%s\n", substr($$0, 4) } /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' \
	  $(MAKEFILE_LIST)
