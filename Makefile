PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
CODE := dfdetect.py setup.py pipelines trainer serving beam_options tests benchmarks

.PHONY: demo test test-slow lint lock clean

# Everything else starts from an environment that is exactly the lock file's.
$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: $(VENV)/.installed
	$(BIN)/dfdetect demo --overwrite --output runs/demo $(DEMO_FLAGS)

test: $(VENV)/.installed
	$(BIN)/python -m pytest

test-slow: $(VENV)/.installed
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.installed
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy

lock:
	$(BIN)/uv pip compile --universal --python-version 3.11 --extra dev --no-header \
		pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info runs
