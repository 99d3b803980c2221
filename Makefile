# make demo: from a fresh clone to a sheet of handwritten digits.   make test: the same set-up, then the tests.
PYTHON ?= python3
TORCH  ?= torch
IMAGES ?= 400000
OUT    ?= runs/demo
BIN    := .venv/bin

.PHONY: demo test check clean

# one thread: a second one is a third quicker at most for networks so small, and several times slower on a busy machine
demo: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/mulligan train dcgan --data digits --size 16 --width 32 --batch 64 --lr 1e-3 \
		--stabilize.r1 1 --stabilize.lazy 4 --images $(IMAGES) --out $(OUT)

# one thread per process: the tests run side by side
test: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile tests

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# torch-fidelity by itself: only its Inception is used, and the torchvision that it asks for may not fit the torch build
.venv/ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt "$(TORCH)"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev,tensorboard]"
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-deps torch-fidelity
	touch $@

clean:
	rm -rf .venv runs
