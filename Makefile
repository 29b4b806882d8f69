# Pomona: `make run` shows the whole chain, `make test` checks everything, `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What checks the machine: the environment's own Python once there is one.
FIRST = $(firstword $(wildcard $(BIN)/python) $(PYTHON))

# Where it is set (many containers), every process would compile Airflow and Spark's Python anew: 2 s each.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run demo up down check-settings serve score queue health history served rollback release tidy forget test test-heavy test-demo test-faults test-s3 test-arrivals test-compose test-emr test-spark35 lint bench ablation checked setup lock s3-jars package compose-env
help:  ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):[^#]*## /\1\t/' | expand -t 16

run: setup  ## the whole chain once; IMAGES=folder of pictures, KNOBS='{"n_words": 200}'
	@$(BIN)/python -m run.chain --images "$${IMAGES:-}" --knobs "$${KNOBS:-}"

demo: setup  ## a model's whole life in under ten minutes: images arrive, runs, a new kind, labels, a better model, a rollback; DEMO=folder
	@$(BIN)/python -m run.demo --folder="$${DEMO:-}"

up: setup  ## Airflow's and MLflow's pages on this machine
	@$(BIN)/python -m run.services up

down:  ## ends what `make up` started
	@test ! -x $(BIN)/python || $(BIN)/python -m run.services down

check-settings: setup  ## what the deployment still lacks: a line for each thing, and a tiny job through the engine
	@$(BIN)/python -m run.check_settings

serve: setup  ## the champion behind an address, as the alias moves: an image in, label and probabilities out; a page for people
	@$(BIN)/python -m serving

score: setup  ## what the champion says of the pictures in unlabelled/: label, probability, whether it knows such pictures
	@$(BIN)/python -m run.score

queue: setup  ## the images that are most worth a label, as a page to label on and as a CSV; IMAGES=100
	@$(BIN)/python -m run.queue --images="$${IMAGES:-}"

health: setup  ## the monitoring page, written anew: champions, images, scores and drift on one scale of time; one line says what to do
	@$(BIN)/python -m run.health

history: setup  ## Spark's own pages of past stages, from their event logs: every task, its times, its bytes
	@$(BIN)/python -m run.history

served: setup  ## which version is champion, since when and why; AT='2026-11-17 14:00' (UTC): which one was it then
	@$(BIN)/python -m run.champion served --at="$${AT:-}"

rollback: setup  ## an earlier version is checked, made champion and held there; REASON='…' TO=version, by default the one before
	@$(BIN)/python -m run.champion rollback --to="$${TO:-}" --reason="$${REASON:-}"

tidy: setup  ## removes runs, parts and logs that nobody needs any more, packs small parts together; DRY=1 only says what would go
	@$(BIN)/python -m run.tidy --dry="$${DRY:-}"

forget: setup  ## takes an image out of lake, reports and MLflow for good, names the versions that trained on it; SHA=… REASON='…'
	@$(BIN)/python -m run.forget --sha="$${SHA:-}" --reason="$${REASON:-}"

release: setup  ## ends the hold of a rollback: better models are promoted again
	@$(BIN)/python -m run.champion release --reason="$${REASON:-}"

test: setup lint  ## every check but the heavy ones, in under ten minutes
	@$(BIN)/python -m pytest -m "not heavy" -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# The heavier suites, each by its own name; what has no folder of its own here is test-heavy's.
HEAVY := $(BIN)/python -m pytest -m heavy --timeout 1800
APART := tests/demo tests/faults tests/cluster tests/s3 tests/arrivals tests/emr tests/compose
test-heavy: setup  ## thousands of photographs, the DAG from end to end, servers started for real
	@$(HEAVY) $(APART:%=--ignore=%)

test-demo: setup  ## `make demo` for real: to its end, killed, and after Ctrl-C
	@$(HEAVY) tests/demo

test-faults: setup s3-jars  ## jobs killed in the middle of any stage, workers of a cluster lost, secrets looked for
	@$(HEAVY) tests/faults tests/cluster

test-s3: setup s3-jars  ## lake and landing zone on a real S3 server, through a network that spoils a tenth of the requests
	@$(HEAVY) tests/s3

test-arrivals: setup  ## new images start runs of a real Airflow, whose triggerer is killed meanwhile
	@$(HEAVY) tests/arrivals

test-emr: setup s3-jars  ## the whole DAG and its faults on EMR and EMR Serverless, without AWS: jobs really run, by Spark 3.5
	@$(HEAVY) tests/emr

test-compose: setup  ## docker-compose.yaml brought up from nothing, a run on its cluster, a worker killed, down and up again
	@$(HEAVY) -s tests/compose

# What uses Spark, and what MLflow without its server and the packed libraries must be able to do.
JOB_TESTS := tests/jobs tests/vision tests/test_newness.py tests/test_run_stage.py tests/test_model.py tests/test_champion.py
test-spark35: setup s3-jars  ## the jobs' tests once more: PySpark 3.5, as on EMR, and the Python environment that `make package` packs
	@$(BIN)/python -m tests.spark35 -m pytest -m "not heavy" -p no:cacheprovider -W ignore::DeprecationWarning $(JOB_TESTS)

lint: setup  ## ruff over everything, mypy over all but demo/ and docker/
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check -q .
	@$(BIN)/mypy -p pomona -p pomona_airflow
	@$(BIN)/mypy run serving dags bench tests

bench: setup  ## figures beside their goals, into bench/RESULTS.md; ONLY='stages fruits10 threebody photographs memory growth peers'
	@$(BIN)/python -m bench $${ONLY:-}

ablation: setup  ## what each piece of the default recipe adds, by cross-validation on real photographs; writes docs/ablation.md
	@OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m bench.ablation

checked:
	@command -v $(FIRST) > /dev/null || { echo "Python 3.11 or 3.12 is needed, there is no $(FIRST): install python3.11-venv" >&2; exit 1; }
	@$(FIRST) run/check.py

setup: checked $(VENV)/ready  ## the virtual environment, from the hashed lock file

$(VENV)/ready: requirements.lock pyproject.toml | checked
	@echo "setting up $(VENV) from requirements.lock: a minute or two, once"
	@$(PYTHON) -m venv $(VENV)
	@sed -n '/^uv==/,/^[a-z].*==/p' requirements.lock | sed '$$d' > $(VENV)/uv.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --require-hashes -r $(VENV)/uv.lock
	@$(BIN)/uv pip sync -q --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

s3-jars: setup  ## the jars that Spark needs for event logs on s3://: 13 MB, once, each checked against conf/s3-jars.txt
	@$(BIN)/python -m pomona_airflow.spark.s3_jars

package: setup  ## what EMR is given: code and Python environment, proved, as root in a clean root file system, and put into POMONA_EMR_PACKAGES
	@$(BIN)/python -m run.package

compose-env:  ## .env with the secrets that docker compose asks for; drawn once, never overwritten
	@$(PYTHON) docker/compose_env.py

LOCKED := --generate-hashes --no-emit-index-url --no-emit-find-links --no-header
lock:  ## resolves requirements.lock and its subset for clusters, requirements-job.lock, anew from pyproject.toml
	$(BIN)/uv pip compile -q pyproject.toml --group dev --universal --python-version 3.11 $(LOCKED) -o requirements.lock
	$(BIN)/uv pip compile -q --group job -c requirements.lock --python-version 3.11 --python-platform x86_64-manylinux_2_34 \
	  --only-binary :all: $(LOCKED) -o requirements-job.lock
