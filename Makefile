# All set-up starts here, from git, make and Python 3.11+ (and, for the tests of a real broker, JDK 17+ with Maven).
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= out/demo
LFW ?= $(FACELINE_TEST_DATA)/lfw

.PHONY: help install install-demo demo footage check test test-fast bench int8 evaluation precision worries sequences broker chaos throughput \
	sizing soak gpu-check schemas pictures lock clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

# uv installs in seconds and hard-links torch from its cache; it is brought along where it is missing.
$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Faceline needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) --version); try make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9

$(VENV)/.demo: $(BIN)/uv requirements/demo.lock pyproject.toml
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/demo.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

$(VENV)/.dev: $(BIN)/uv requirements/dev.lock requirements/tracking.lock pyproject.toml
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements/tracking.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@ $(VENV)/.demo

install: $(VENV)/.dev  ## everything for development into .venv, from a lock with hashes

install-demo: $(VENV)/.demo  ## what serving and the demo need into .venv

demo: install-demo  ## play the demo scene; results in out/demo
	$(BIN)/faceline demo --out $(OUT)

footage: install-demo  ## the demo's cameras and people as files in out/footage, for 'docker compose up'
	$(BIN)/faceline demo --footage out/footage

check: install  ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check  ## lint, types and all tests
	$(BIN)/faceline models pull
	$(BIN)/python -m tests.parts

test-fast: install  ## the quick tests only
	$(BIN)/faceline models pull
	$(BIN)/python -m pytest -q -m "not slow and not kafka"

bench: install  ## measure speed and memory, write benchmarks/pipeline.md
	$(BIN)/faceline models pull
	$(BIN)/faceline bench --out benchmarks

int8: install  ## calibrate the int8 embedder on LFW, write worker/data/models/sface.int8.json
	$(BIN)/faceline models pull
	$(BIN)/python -m worker.evaluation.precision.calibrate --data $${FACELINE_TEST_DATA:?names the folder of test data}/lfw --name LFW

evaluation: install  ## the whole study on LFW, about two hours; write benchmarks/recognition.md
	$(BIN)/faceline models pull
	$(BIN)/faceline evaluate --data $(LFW) --out out/evaluation
	$(BIN)/python -m worker.evaluation.summary out/evaluation/metrics.json --out benchmarks

precision: install  ## the accuracy guard of fp16 and int8, write benchmarks/precision.md
	$(BIN)/faceline models pull
	$(BIN)/python -m worker.evaluation.precision --data $${FACELINE_TEST_DATA:?names the folder of test data}/lfw \
		--footage $${FACELINE_TEST_DATA}/webcam --out benchmarks

sequences: install  ## the recognizers on real sequences, as they are and made harder, write benchmarks/real-sequences.md
	$(BIN)/faceline models pull
	$(BIN)/python -m worker.evaluation.real --data $${FACELINE_TEST_DATA:?names the folder of test data} \
		--train-on $(LFW) --seeds 1 --out benchmarks

worries: install  ## little data, little compute, explanation; write benchmarks/worries.json, docs/worries.md
	$(BIN)/faceline models pull
	$(BIN)/python -m worker.evaluation.worries --data $(LFW) --out benchmarks --docs docs

broker: install-demo  ## a Kafka on localhost:9092 to try things with (needs JDK 17+ and Maven)
	$(BIN)/python -m tests.broker.cluster

chaos: install  ## kill, freeze and restart workers and broker for half an hour, write benchmarks/reliability.md
	$(BIN)/faceline models pull
	$(BIN)/python -m tests.end_to_end.chaos --out benchmarks

throughput: install  ## measure rates, latencies, takeovers on a real broker, write benchmarks/kafka.md
	$(BIN)/faceline models pull
	$(BIN)/python -m tests.reliability.throughput --out benchmarks

sizing: install  ## what a frame costs a whole worker; write benchmarks/sizing.json and the tables of docs/sizing.md
	$(BIN)/faceline models pull
	$(BIN)/python -m tests.reliability.sizing --out benchmarks
	$(BIN)/python -m tests.deploy.pages

soak: install  ## 50,000 frames through one worker, its memory watched, write benchmarks/soak.md
	$(BIN)/faceline models pull
	$(BIN)/python -m tests.reliability.soak --frames 50000 --out benchmarks

gpu-check: install  ## on a GPU host: compile, contract, parity, speed; write benchmarks/gpu.md
	$(BIN)/faceline models pull
	$(BIN)/python -m tests.gpu.check --out benchmarks

schemas: install  ## write what is made of the code: schemas/, the chart's schema and README, dashboards, tables of the docs
	$(BIN)/faceline schemas --out schemas
	$(BIN)/python -m helm.values
	$(BIN)/python -m helm.dashboards
	$(BIN)/python -m tests.deploy.pages

# What images hold is pinned to what tests ran with: the development lock binds the locks after it.
IMAGE_LOCK = $(BIN)/uv pip compile --quiet --python-platform linux --generate-hashes --no-emit-index-url --no-header \
	--constraints requirements/dev.lock

pictures: install  ## run a small site for seven minutes, plot its dashboards into docs/images/
	$(BIN)/faceline models pull
	$(BIN)/python -m tests.deploy.pictures

lock: $(BIN)/uv  ## resolve the locks anew
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra demo -o requirements/demo.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra dev -o requirements/dev.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--no-deps -o requirements/tracking.lock requirements/tracking.in
	$(IMAGE_LOCK) --python-version 3.11 --extra tracing -o requirements/serve.lock pyproject.toml
	$(IMAGE_LOCK) --python-version 3.11 --extra tracing --extra cuda -o requirements/gpu.lock pyproject.toml
	$(IMAGE_LOCK) --python-version 3.11 -o requirements/build.lock requirements/build.in

clean:  ## remove what was built, fetched and installed here, and the data of 'make broker'
	rm -rf $(VENV) out .mypy_cache .ruff_cache .pytest_cache .hypothesis dist .cache .tools
