# Every target works on a fresh clone: it makes the virtual environment and installs what is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where it is set, as in many images, each process would compile torch and transformers anew: 14 s of CPU.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-faults test-leaks test-models fuzz check reports bench train lock audit sbom clean

demo: $(VENV)/.installed ffmpeg  ## start everything, analyze six real clips, print the verdicts, stop everything
	@$(BIN)/python -m examples.demo

# In the order of their folders the slow files come first and the unit tests last: no process is left with a long one.
SUITE := --numprocesses 3 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.installed ffmpeg chromium  ## the whole test suite, with a sample of the faults
	$(BIN)/pytest $(SUITE)

test-faults: $(VENV)/.installed ffmpeg  ## Supabase, its database and workers break in every way (docs/reliability.md)
	$(BIN)/pytest --numprocesses 3 --dist worksteal --matrix faults tests/faults

test-leaks: $(VENV)/.installed ffmpeg chromium  ## the whole suite and the faults again, then a search for secrets in all that it wrote
	rm -rf .sentinel/leaks && mkdir -p .sentinel/leaks
	-$(BIN)/pytest -rA $(SUITE) --basetemp .sentinel/leaks/run \
		>.sentinel/leaks/output.log 2>&1
	-$(BIN)/pytest -rA --numprocesses 3 --dist worksteal --matrix faults --only-matrix tests/faults --basetemp .sentinel/leaks/faults \
		>.sentinel/leaks/faults.log 2>&1
	$(BIN)/python -m tests.leaks .sentinel/leaks

# `make test-models MODELS='-k large'` checks one of them.
test-models: $(VENV)/.installed ffmpeg  ## checkpoints of full size with random weights: minutes, 3 GB of memory
	$(BIN)/pytest -s tests/models/check_full_size.py $(MODELS)

# `make fuzz FUZZ='--seed 6 --only 12'` sends one file again; `python -m tests.fuzz --help` lists the rest.
FUZZ ?= --files 10000

fuzz: $(VENV)/.installed ffmpeg  ## mutated media through the decoding children: 6 to 24 minutes for 10,000 files
	$(BIN)/python -m tests.fuzz $(FUZZ)

check: $(VENV)/.installed  ## format, linters, types, import floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

REPORTS := tests.rights tests.contract tests.integration.database.versions tests.acceptance

reports: $(VENV)/.installed ffmpeg chromium  ## print what is promised, and whether it holds; all of it, then red if any was
	@red=; \
	for report in $(REPORTS); do \
		echo "$(BIN)/python -m $$report"; $(BIN)/python -m $$report || red="$$red $$report"; \
	done; \
	test -z "$$red" || { echo "red:$$red"; exit 1; }

# The queue is compared with what PyPI has of its peers; where that cannot be reached, they are left out, and it says so.
bench: $(VENV)/.installed ffmpeg  ## print this machine's figures
	$(BIN)/python -m bench.start
	$(BIN)/python -m bench.latency
	$(BIN)/python -m bench.realtime
	$(BIN)/python -m bench.memory
	$(BIN)/python -m bench.long_video
	$(BIN)/python -m bench.queue
	$(BIN)/python -m bench.workers
	$(BIN)/python -m bench.bloat --cycles 180000
	$(BIN)/python -m bench.soak
	$(BIN)/python -m bench.idle
	$(BIN)/python -m bench.insert

train: $(VENV)/.installed ffmpeg  ## make the demo checkpoint again, in .sentinel/train (an hour; needs Debian's opencv-doc)
	$(BIN)/python -m examples.demo_checkpoint.train .sentinel/train/first --steps 3000 --cache .sentinel/train/cache
	$(BIN)/python -m examples.demo_checkpoint.train .sentinel/train/second --start-from .sentinel/train/first \
		--steps 4000 --learning-rate 1.2e-3 --seed 1 --cache .sentinel/train/cache
	$(BIN)/python -m examples.demo_checkpoint.evaluate --folder .sentinel/train/second

lock: $(VENV)/.installed  ## requirements*.lock from pyproject.toml, with hashes; what is locked stays where it still fits
	$(BIN)/python -m deploy.lock

audit: $(VENV)/.installed  ## look for known vulnerabilities in what is locked; says so where it cannot be asked
	$(BIN)/python -m deploy.audit

sbom: $(VENV)/.installed  ## write dist/sbom.cdx.json: every part of the image, as CycloneDX
	$(BIN)/python -m deploy.sbom dist/sbom.cdx.json

.PHONY: ffmpeg chromium
ffmpeg:
	@sh deploy/debian.sh ffmpeg

# Without it the tests in a browser are skipped, and say so.
chromium:
	-@sh deploy/debian.sh chromium

# Python compiles a module when it is first imported: all of them would take a minute more than those that are.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .sentinel
