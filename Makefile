# Commands from a bare Python 3.11: each sets up what it needs in .venv and then does its work.
#   make demo      the whole story on video that it renders itself
#   make test      format check, lint, types, tests, doctests
#   make wheel     build wheel and sdist into dist/, and test them in an empty environment
#   make fuzz      damaged files of every kind, for a quarter of an hour
#   make docs      the documentation as a site, in site/
#   make lowest    try the oldest versions that pyproject.toml allows (a download of 3 GB)
#   make camvid    the experiment on real video: make camvid DATA=FOLDER, which holds camvid/ and espnet/
#   make camvid-enet  the same with another network: DATA holds camvid/ and enet/
#   make streets   the same experiment on rendered video, whose true flow is known
#   make reproduce the paper's tables and figures on rendered video, into runs/reproduce

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= netwarp-demo
DATA ?= ../shared/data
SEEDS ?= 3
# uv, itself from the registry, fetches the full torch and torchvision: they belong together, and where pip finds a
# CPU-only build of torch, torchvision's wheel does not import with it.
UV := VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --constraint constraints.txt

# Python keeps compiled code beside its source: tests start many processes, of which each would compile torch anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test wheel docs fuzz lowest camvid camvid-enet streets reproduce format constraints clean

demo: $(VENV)/.demo
	$(BIN)/netwarp demo --out $(OUT)

test: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist loadfile

wheel: $(VENV)/.test
	rm -rf dist
	$(BIN)/uv build --quiet
	$(BIN)/pytest supply

lowest: $(VENV)/.uv
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)/lowest
	$(BIN)/uv pip compile --quiet pyproject.toml --all-extras --group dev --resolution lowest-direct \
		--no-annotate --no-header --no-emit-index-url --output-file $(VENV)/lowest/versions.txt
	VIRTUAL_ENV=$(CURDIR)/$(VENV)/lowest $(BIN)/uv pip install --quiet --requirements $(VENV)/lowest/versions.txt
	VIRTUAL_ENV=$(CURDIR)/$(VENV)/lowest $(BIN)/uv pip install --quiet --no-deps --editable .
	$(VENV)/lowest/bin/pytest -n 2 --dist loadfile tests/test_import.py tests/test_weights.py tests/video tests/flow tests/bases \
		tests/datasets tests/convert tests/export tests/live/test_live.py tests/cli/test_segment.py tests/cli/test_train.py

# Other damaged files each time; what fails is named by its seed: make fuzz TRIES=1 FIRST=SEED
TRIES ?= 300
FIRST ?= $$(date +%j%H%M)
fuzz: $(VENV)/.test
	NETWARP_FUZZ=$(TRIES) NETWARP_FUZZ_FIRST=$(FIRST) $(BIN)/pytest -n 2 tests/fuzz

docs: $(VENV)/.test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

camvid: $(VENV)/.experiment
	$(BIN)/netwarp experiment --data camvid:$(DATA) --split val --seeds $(SEEDS) --out runs/camvid_15hz \
		--base netwarp:espnet --weights $(DATA)/espnet/espnet_p_2_q_8_camvid.pth \
		--depths encoder.b2,encoder.b3,output --train-from encoder.b3

camvid-enet: $(VENV)/.experiment
	$(BIN)/netwarp experiment --data camvid:$(DATA) --split val --seeds $(SEEDS) --out runs/camvid_15hz_enet \
		--base netwarp:enet --weights $(DATA)/enet/enet_camvid.pth \
		--depths b28,b38,output --train-from b38

streets: $(VENV)/.experiment
	$(BIN)/netwarp experiment --data streets:clips=12,frames=16 --split val --out runs/streets \
		--base netwarp:streetnet --train-base streets:clips=64,frames=4 \
		--depths at_quarter,at_eighth,output --train-from at_eighth

# What they share is done once: Table 5 and Figures 4 and 6 are made from what Table 4 trained, Figure 5 from Table 1's.
reproduce: $(VENV)/.experiment
	for name in table1 table2 table3 table4 table5 fig4 fig5 fig6; do $(BIN)/netwarp reproduce $$name || exit 2; done

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
	$(UV) --editable '.[report,train]'
	touch $@

$(VENV)/.experiment: pyproject.toml constraints.txt | $(VENV)/.uv
	$(UV) --editable '.[report,train]'
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/.uv
	$(UV) --editable '.[models,report,train,cityscapes,cluster,coco,convert,crf,export,openvino,live,hub,docs]' --group dev
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis
