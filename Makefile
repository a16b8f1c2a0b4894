# Set-up is implied: a target installs what it needs into .venv, once for each content of its lock. `make help` lists all.
#
# One environment with three levels, serve < demo < dev. A stamp's name holds a checksum of what decides its content, so a
# changed lock installs again and a second run costs nothing.

.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := /bin/sh

PYTHON ?=
ARGS ?=
LEVELS := serve demo dev
BIN := .venv/bin

checksum = $(shell cat $(1) 2>/dev/null | cksum | tr ' ' '-')

# grpcurl and MinIO's server, where .ci/run has put them.
export PATH := $(CURDIR)/.cache/bin:$(PATH)

# The scripts in an environment hold its absolute path: a checkout that was moved gets a new one.
PLACE := $(shell pwd | cksum | tr ' ' '-')
DISTRIBUTIONS := clients/python/pyproject.toml server/pyproject.toml
VENV := .venv/.stamps/python-$(PLACE)
SERVE := .venv/.stamps/serve-$(call checksum,requirements/serve.txt requirements/uv.txt $(DISTRIBUTIONS))
DEMO := .venv/.stamps/demo-$(call checksum,requirements/demo.txt requirements/uv.txt $(DISTRIBUTIONS))
DEV := .venv/.stamps/dev-$(call checksum,requirements/dev.txt requirements/uv.txt $(DISTRIBUTIONS))
GENERATE := .venv-generate/.stamps/generate-$(PLACE)-$(call checksum,requirements/generate.txt requirements/uv.txt)
LOCK := .venv-lock/.stamps/lock-$(PLACE)-$(call checksum,requirements/uv.txt)

# An environment whose interpreter is gone is made anew.
ifneq ($(shell $(BIN)/python -c 'print("runs")' 2>/dev/null),runs)
$(VENV): anew
endif

.PHONY: help serve demo test check lint types generate bench bench-reads bench-bytes lock clean anew

help: ## Say what the targets do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  ARGS="…" is handed on, PYTHON=… names another interpreter (3.11 or newer).'

serve: $(SERVE) ## Run the registry on 127.0.0.1:50051, everything embedded (ARGS="--data DIR --listen HOST:PORT")
	@exec $(BIN)/registrar serve $(ARGS)

demo: $(DEMO) ## Do the registry's main job on real models, against a fresh server of its own
	@$(BIN)/python demo/run.py $(ARGS)

# Two at once, since most of a test's time is waiting; the tests of a file stay together, and share what they start.
test: $(DEV) ## Run all tests (ARGS="-k name tests/unit")
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: lint types ## Linters, types, import rules, the contract, and that what is generated is current

lint: $(DEV) $(GENERATE) ## The part of `make check` that needs no types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/python tools/check_house_rules.py
	$(BIN)/buf lint
	@BUF=$(BIN)/buf sh tools/check_breaking.sh
	.venv-generate/bin/python tools/generate.py --check
	@if [ -e tools/make_errors_page.py ]; then set -x; $(BIN)/python tools/make_errors_page.py --check; fi
	$(BIN)/python tools/make_rights_page.py --check
	$(BIN)/yamllint --strict .
	$(BIN)/shellcheck .ci/run tools/*.sh
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml

types: $(DEV) ## mypy --strict over everything that a person wrote
	$(BIN)/mypy

generate: $(GENERATE) ## Make the Python code of the contract from protos/
	@.venv-generate/bin/python tools/generate.py

bench: $(DEV) ## Run the benchmarks, each against its peer (ARGS="name …")
	@$(BIN)/python -m benchmarks $(ARGS)

bench-reads: $(DEV) ## Call what reads, at up to 100,000 versions, and MLflow beside it (ARGS="--small"; all of it takes an hour)
	@$(BIN)/python -m benchmarks.reads $(ARGS)

bench-bytes: $(DEV) ## Move the same files by every way there is (ARGS="--small"; all of it takes hours)
	@$(BIN)/python -m benchmarks.bytes $(ARGS)

# Each lock is constrained by the one before, so that a level only ever adds.
lock: $(LOCK) ## Write requirements/*.txt anew from requirements/*.in (ARGS="--upgrade")
	@for name in uv generate serve demo dev; do \
		.venv-lock/bin/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
			--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' \
			--no-emit-package registrar-client --no-emit-package registrar-server \
			--no-emit-package grpc-stubs \
			$(ARGS) --output-file requirements/$$name.txt requirements/$$name.in || exit 1; \
		echo "requirements/$$name.txt"; \
	done

clean: ## Remove the environments and every cache (a server's data stays)
	rm -rf .venv .venv-generate .venv-lock .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find clients server tests tools benchmarks demo -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# Runs $(python) with the arguments that follow: PYTHON, or the newest on the path that has venv and pip.
define python
	set -e; for python in $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3.14 python3); do \
		"$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		"$$python" $(1); exit 0; \
	done; \
	echo 'make: found no Python that will do$(if $(PYTHON), ("$(PYTHON)" will not)): it must be 3.11 or newer, and have venv and ensurepip.' >&2; \
	echo 'make: Debian and Ubuntu ship those as python3-venv. PYTHON=/path/to/python3 names one.' >&2; \
	exit 1
endef

$(VENV):
	@echo 'setting up .venv'
	@$(call python,-m venv --clear .venv)
	@mkdir -p .venv/.stamps
	@touch $@

anew:

install = @echo 'setting up .venv for make $(1)' && $(BIN)/python tools/install.py $(2) \
	--editable clients/python --editable server

$(SERVE): $(VENV)
	$(call install,serve,requirements/serve.txt)
	@touch $(SERVE)

$(DEMO): $(VENV)
	$(call install,demo,requirements/demo.txt)
	@touch $(SERVE) $(DEMO)

$(DEV): $(VENV)
	$(call install,test,requirements/dev.txt)
	@touch $(SERVE) $(DEMO) $(DEV)

$(GENERATE):
	@echo 'setting up .venv-generate'
	@$(call python,-m venv --clear .venv-generate)
	@.venv-generate/bin/python tools/install.py requirements/generate.txt
	@mkdir -p .venv-generate/.stamps
	@touch $@

$(LOCK):
	@echo 'setting up .venv-lock'
	@$(call python,-m venv --clear .venv-lock)
	@.venv-lock/bin/python tools/install.py requirements/uv.txt
	@mkdir -p .venv-lock/.stamps
	@touch $@
