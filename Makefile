# Two commands from a bare Python 3.11: both set up what they need in .venv and then do their work.
#   make demo    the whole story on video that it renders itself
#   make test    format check, lint, types, tests, doctests

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= netwarp-demo
# uv, itself from the registry, fetches the full torch and torchvision: they belong together, and where pip finds a
# CPU-only build of torch, torchvision's wheel does not import with it.
UV := VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --constraint constraints.txt

.PHONY: demo test format constraints clean

demo: $(VENV)/.demo
	$(BIN)/netwarp demo --out $(OUT)

test: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist loadfile

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# After a change of dependencies: the versions that everything is tested with, for every supported Python.
constraints: $(VENV)/.uv
	$(BIN)/uv pip compile --quiet pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
		--no-annotate --no-header --no-emit-index-url --output-file constraints.txt

$(VENV)/.uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "netwarp needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	touch $@

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/.uv
	$(UV) --editable '.[report]'
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/.uv
	$(UV) --editable '.[models,report,train,cityscapes]' --group dev
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
