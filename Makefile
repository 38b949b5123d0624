# Every target works on a fresh clone: it makes the virtual environment and installs what is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where it is set, as in many images, each process would compile torch and transformers anew: 14 s of CPU.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all test-matrices test-durations test-leaks fuzz check reports bench train lock audit sbom clean

demo: packages $(VENV)/.installed  ## start everything, analyze six films, two pictures and two sounds, print the verdicts, stop everything
	@$(BIN)/python -m examples.demo

# In the order of their folders the slow files come first and the unit tests last: no process is left with a long one.
PYTEST := $(BIN)/pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder

test: test-packages $(VENV)/.installed  ## all that a change could break, with a fixed sample of each matrix
	$(PYTEST)

test-all: test-packages $(VENV)/.installed  ## the same, with every case of every matrix (tests/matrices.toml)
	$(PYTEST) --matrix all

# `make test-matrices MATRICES="formats faults"`; without names those that the changes since the base call for.
test-matrices: test-packages $(VENV)/.installed  ## only these matrices (MATRICES), or those that the changes call for
	@names="$(MATRICES)"; test -n "$$names" || names=$$($(BIN)/python -m tests.matrix) || exit 1; \
	if [ -z "$$names" ]; then echo "The changes call for no matrix."; else \
	echo "Matrices: $$names"; $(PYTEST) --only-matrix $$(for name in $$names; do echo --matrix=$$name; done); fi

test-durations: test-packages $(VENV)/.installed  ## `make test`, with the slowest tests and each folder's CPU seconds
	$(PYTEST) -p tests.durations --durations 30

test-leaks: test-packages $(VENV)/.installed  ## `make test` and the faults, then a search for secrets in all that it wrote
	rm -rf .sentinel/leaks && mkdir -p .sentinel/leaks
	-$(PYTEST) -rA --matrix faults --basetemp .sentinel/leaks/run >.sentinel/leaks/output.log 2>&1
	$(BIN)/python -m tests.leaks .sentinel/leaks

# `make fuzz FUZZ='--seed 6 --only 12'` sends one file again; `python -m tests.fuzz --help` lists the rest.
FUZZ ?= --files 10000

fuzz: packages $(VENV)/.installed  ## mutated media through the decoding children: 6 to 24 minutes for 10,000 files
	$(BIN)/python -m tests.fuzz $(FUZZ)

check: $(VENV)/.installed  ## format, linters, types, import floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml

REPORTS := tests.rights tests.contract tests.integration.database.versions tests.integration.people \
	tests.integration.players tests.integration.splices tests.acceptance

reports: test-packages $(VENV)/.installed  ## print what is promised, and whether it holds; all of it, then red if any was
	@red=; \
	for report in $(REPORTS); do \
		echo "$(BIN)/python -m $$report"; $(BIN)/python -m $$report || red="$$red $$report"; \
	done; \
	test -z "$$red" || { echo "red:$$red"; exit 1; }

# The queue is compared with what PyPI has of its peers; where that cannot be reached, they are left out, and it says so.
bench: packages $(VENV)/.installed  ## print this machine's figures
	$(BIN)/python -m bench.start
	$(BIN)/python -m bench.latency
	$(BIN)/python -m bench.realtime
	$(BIN)/python -m bench.memory
	$(BIN)/python -m bench.long_video
	$(BIN)/python -m bench.scan
	$(BIN)/python -m bench.queue
	$(BIN)/python -m bench.queue_cost --finished 200000
	$(BIN)/python -m bench.workers
	$(BIN)/python -m bench.bloat --cycles 180000
	$(BIN)/python -m bench.soak
	$(BIN)/python -m bench.fairness
	$(BIN)/python -m bench.idle
	$(BIN)/python -m bench.insert

train: packages $(VENV)/.installed  ## make the demo checkpoints again, in .sentinel/train (an hour and a half; needs Debian's opencv-doc)
	$(BIN)/python -m examples.demo_checkpoint.train .sentinel/train/first --steps 3000 --cache .sentinel/train/cache
	$(BIN)/python -m examples.demo_checkpoint.train .sentinel/train/second --start-from .sentinel/train/first \
		--steps 4000 --learning-rate 1.2e-3 --seed 1 --cache .sentinel/train/cache
	$(BIN)/python -m examples.demo_checkpoint.evaluate --folder .sentinel/train/second
	$(BIN)/python -m examples.demo_image_checkpoint.train .sentinel/train/image
	$(BIN)/python -m examples.demo_image_checkpoint.evaluate --folder .sentinel/train/image
	$(BIN)/python -m examples.demo_audio_checkpoint.train .sentinel/train/audio
	$(BIN)/python -m examples.demo_audio_checkpoint.evaluate --folder .sentinel/train/audio

lock: $(VENV)/.installed  ## requirements*.lock from pyproject.toml, with hashes; what is locked stays where it still fits
	$(BIN)/python -m deploy.lock

audit: $(VENV)/.installed  ## look for known vulnerabilities in what is locked; says so where it cannot be asked
	$(BIN)/python -m deploy.audit

sbom: $(VENV)/.installed  ## write dist/sbom.cdx.json: every part of the image, as CycloneDX
	$(BIN)/python -m deploy.sbom dist/sbom.cdx.json

# Before the virtual environment, which takes minutes; its Python is the one that will make it, until it is there.
PACKAGES = @sh deploy/debian.sh
FOR_PYTHON = $(or $(wildcard $(BIN)/python),$(PYTHON))

.PHONY: packages test-packages
packages:
	$(PACKAGES) demo $(FOR_PYTHON)

test-packages:
	$(PACKAGES) test $(FOR_PYTHON)

# Python compiles a module when it is first imported: all of them would take a minute more than those that are.
$(VENV)/.installed: pyproject.toml local_supabase/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-compile --editable ./local_supabase --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .sentinel
