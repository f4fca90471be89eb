# The first Python that all packages are there for, with venv; PYTHON=... names another.
SUITS := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3 python; do \
	"$$name" -c '$(SUITS)' >/dev/null 2>&1 && { echo "$$name"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
CODE := setup.py dfdetect pipelines trainer serving beam_options tests benchmarks examples recipes requirements docs

BEAM := $(shell sed -n 's/^apache-beam[^=]*==\([0-9.]*\).*/\1/p' requirements/dev.lock)

.PHONY: demo web test test-browser test-install test-pages test-slow test-torch test-engines \
	prism flink-jar docs docs-screenshots lint lock clean

# An environment is exactly what the lock files name: what `make demo` and `make web` need, or with
# all that the tests and checks need. One of an earlier layout is made anew.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
$(VENV)/.python:
	@test -n "$(PYTHON)" && "$(PYTHON)" -c '$(SUITS)' 2>/dev/null || { echo \
		"$(or $(PYTHON:%='%' is),There is) no Python 3.11, 3.12 or 3.13 with venv$(if $(PYTHON),, on the PATH)." \
		"Install one (Debian, Ubuntu: apt-get install python3 python3-venv)," \
		"or name it: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	"$(PYTHON)" -m venv --clear $(VENV)
	touch $@

$(VENV)/.apps: requirements/train.lock requirements/serve.lock pyproject.toml | $(VENV)/.python
	$(INSTALL) --no-compile --requirement requirements/train.lock --requirement requirements/serve.lock
	$(BIN)/python requirements/trim.py
	$(INSTALL) --no-build-isolation --editable .
	touch $@

$(VENV)/.dev: requirements/dev.lock pyproject.toml | $(VENV)/.python
	$(INSTALL) --requirement requirements/dev.lock
	$(BIN)/python requirements/trim.py
	$(INSTALL) --no-build-isolation --editable .
	touch $(VENV)/.apps $(VENV)/.docs $@

demo: $(VENV)/.apps
	$(BIN)/dfdetect demo --overwrite --output runs/demo $(DEMO_FLAGS)

# The web application with the model that `make demo` left; WEB_FLAGS: of `dfdetect web`.
web: $(VENV)/.apps
	@test -d runs/demo/model || \
		{ echo "runs/demo/model: no model there. Run \`make demo\` first." >&2; exit 1; }
	$(BIN)/dfdetect web --model runs/demo/model $(WEB_FLAGS)

# Files in parallel, a process for every core; each computes with one thread: tests/conftest.py.
SIDE_BY_SIDE := --numprocesses logical --dist loadfile --no-loadscope-reorder
test: $(VENV)/.dev
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

# By itself: beside other tests Chromium now and then drives its processes into an endless loop. A
# test that is stuck ends them all, and the processor time of each browser process is limited.
test-browser: $(VENV)/.dev
	$(BIN)/python -m pytest -m "browser and not slow" --timeout=300 --timeout-method=thread

# Wheel and source package, each installed into environments that have nothing but a lock file.
test-install: $(VENV)/.dev
	$(BIN)/python -m pytest -m "install and not slow"

# PyTorch is no part of the environment; only the tests that compare with it install it.
$(VENV)/.torch: $(VENV)/.dev
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint requirements/dev.lock torch torchvision
	touch $@

test-torch: $(VENV)/.torch
	$(BIN)/python -m pytest -m torch

# Every command of README.md and docs/, the examples, and the site. With
# PAGES="pages or (install and not slow)" `test-install` runs beside them: what both need is then
# made once.
PAGES := pages
test-pages: $(VENV)/.dev
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "$(PAGES)"

test-slow: $(VENV)/.dev
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

test-engines: $(VENV)/.dev prism flink-jar
	$(BIN)/python -m pytest -m "prism or flink"

# The site of docs/, into build/site. A link that leads nowhere is an error.
$(VENV)/.docs: requirements/docs.lock $(VENV)/.apps
	$(INSTALL) --requirement requirements/docs.lock
	touch $@

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The pictures of the web application in docs/, from its pages, with the model that `make demo` left.
docs-screenshots: $(VENV)/.dev
	$(BIN)/python docs/screenshots.py --model runs/demo/model \
		--video "$(or $(VIDEO),$(firstword $(shell find runs/demo/videos -path '*manipulated*' -name '*.mp4' | sort)))"

lint: $(VENV)/.dev
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/hadolint $$(git ls-files '*Dockerfile')

# All versions are dev.lock's: what is new in pyproject.toml is added to it, then the parts are made
# of the same versions. gpu.lock is TensorFlow with CUDA, to be put in the place of tensorflow-cpu.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header
WHOLE := $(COMPILE) --overrides requirements/overrides.txt pyproject.toml
PART := $(WHOLE) --no-annotate --constraint requirements/dev.lock
lock: $(VENV)/.dev
	$(WHOLE) --extra dev --output-file requirements/dev.lock
	$(PART) --output-file requirements/run.lock
	$(PART) --extra serving --extra web --output-file requirements/serve.lock
	$(PART) --overrides requirements/overrides-apps.txt --extra train --output-file requirements/train.lock
	$(PART) --extra docs --output-file requirements/docs.lock
	sed -n 's/^tensorflow-cpu==\([0-9.]*\).*/tensorflow[and-cuda]==\1/p' requirements/dev.lock | \
		$(COMPILE) --no-annotate --constraint requirements/dev.lock --output-file requirements/gpu.lock -

clean:
	rm -rf $(VENV) build *.egg-info runs
