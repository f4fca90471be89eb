PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
CODE := setup.py dfdetect pipelines trainer serving beam_options tests benchmarks examples recipes

BEAM := $(shell sed -n 's/^apache-beam[^=]*==\([0-9.]*\).*/\1/p' requirements.lock)

.PHONY: demo web test test-browser test-pages test-slow test-torch test-engines prism flink-jar lint lock clean

# Everything else starts from an environment that is exactly the lock file's.
$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: $(VENV)/.installed
	$(BIN)/dfdetect demo --overwrite --output runs/demo $(DEMO_FLAGS)

# The web application with the model that `make demo` left; WEB_FLAGS: of `dfdetect web`.
web: $(VENV)/.installed
	@test -d runs/demo/model || \
		{ echo "runs/demo/model: no model there. Run \`make demo\` first." >&2; exit 1; }
	$(BIN)/dfdetect web --model runs/demo/model $(WEB_FLAGS)

# Files in parallel, a process for every core; each computes with one thread: tests/conftest.py.
SIDE_BY_SIDE := --numprocesses logical --dist loadfile --no-loadscope-reorder
test: $(VENV)/.installed
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

# By itself: beside other tests Chromium now and then drives its processes into an endless loop. A
# test that is stuck ends them all, and the processor time of each browser process is limited.
test-browser: $(VENV)/.installed
	$(BIN)/python -m pytest -m "browser and not slow" --timeout=300 --timeout-method=thread

# PyTorch is no part of the environment; only the tests that compare with it install it.
$(VENV)/.torch: $(VENV)/.installed
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint requirements.lock torch torchvision
	touch $@

test-torch: $(VENV)/.torch
	$(BIN)/python -m pytest -m torch

# Every command of README.md and docs/, and the examples.
test-pages: $(VENV)/.installed
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m pages

test-slow: $(VENV)/.installed
	$(BIN)/python -m pytest -m slow

# Engines that are built, not installed: Go and Maven are needed. The options name what is in build/.
prism: build/prism
build/prism:
	GOBIN=$(CURDIR)/build go install github.com/apache/beam/sdks/v2/go/cmd/prism@v$(BEAM)

flink-jar: build/beam-flink-job-server.jar
build/beam-flink-job-server.jar: $(shell find pipelines/deploy/flink -type f)
	mvn -B -q -f pipelines/deploy/flink package
	mkdir -p build/flink-conf
	cp pipelines/deploy/flink/flink-conf.yaml build/flink-conf/

test-engines: $(VENV)/.installed prism flink-jar
	$(BIN)/python -m pytest -m "prism or flink"

lint: $(VENV)/.installed
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

lock:
	$(BIN)/uv pip compile --universal --python-version 3.11 --extra dev --no-header \
		pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info runs
