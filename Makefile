# `make demo` and `make test` make the environment by themselves; nothing else has to be installed first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := demo

BENCHES := training kernels waiting compiled sweep protocol growth data inference
PERF := docs/results/perf
# samples of the made sets of `make bench-data`, 330 KB each, and where to put them
SAMPLES ?= 2857 22856
SCRATCH ?=

.PHONY: demo test results bench $(BENCHES:%=bench-%) clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[english,media,opensmile,onnx,dev]'
	touch $@

# the main job on made-up data: a data set, a trained MITR-DNet, a robustness report
demo: $(READY)
	rm -rf $(DEMO)
	$(BIN)/mitr data synth --out $(DEMO)/data
	$(BIN)/mitr train $(DEMO)/data --out $(DEMO)/run --train.max_epochs 20
	$(BIN)/mitr evaluate $(DEMO)/run --protocol auilc --out $(DEMO)/report
	@echo "The report: $(DEMO)/report/report.html"

# the models that find faces, from the user's cache or the network
ASSETS := $(BIN)/mitr assets fetch

test: $(READY)
	$(ASSETS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

# docs/results.md and its pictures, from the committed result files
results: $(READY)
	$(BIN)/python docs/results/architecture.py
	$(BIN)/python docs/results/protocol_pictures.py
	$(BIN)/python docs/results/feature_cards.py
	$(BIN)/python docs/results/model_options.py
	$(BIN)/python docs/results/face_picture.py
	$(BIN)/python docs/results/render.py
	$(BIN)/python docs/results/performance.py

# everything that docs/performance.md tells, on a machine that does nothing else
bench: $(READY)
	@set -e; for name in $(BENCHES); do $(MAKE) --no-print-directory bench-$$name; done

bench-data: OPTIONS = --samples $(SAMPLES) $(if $(SCRATCH),--scratch $(SCRATCH))
bench-inference: OPTIONS = --calls 150 --clips 256 --batches 1 16 64

$(BENCHES:%=bench-%): bench-%: $(READY)
	@mkdir -p $(PERF)
	$(BIN)/python benchmarks/$*.py --out $(PERF)/$*.json $(OPTIONS)
	$(BIN)/python benchmarks/history.py $(PERF)/$*.json
	$(BIN)/python docs/results/performance.py

clean:
	rm -rf $(VENV) $(DEMO)
