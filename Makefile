# Slipway's commands. Each sets itself up from nothing; `make help` (or just `make`) lists them.
SHELL := /bin/sh
SETUP := python3 -m workers.setup
PY := .venv/bin/python
export PATH := $(CURDIR)/.venv/bin:$(PATH)
.DEFAULT_GOAL := help
.PHONY: help up down purge install uninstall doctor status check test test-fast test-apps attack fuzz chaos bench soak test-vm format python

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

up: python ## Install what is missing, start the platform, deploy the first app; Ctrl-C stops it, apps keep running
	@exec $(SETUP) up

down: python ## Stop the platform and all apps; leave no mount, namespace, cgroup, bridge or firewall rule
	@exec $(SETUP) down

purge: python ## `make down`, then delete the state: every app, image, log and account (asks; YES=1 does not)
	@YES=$(YES) exec $(SETUP) purge

install: python ## Like `make up`, but as systemd units that start at boot
	@exec $(SETUP) install

uninstall: python ## Stop platform and apps, remove the systemd units; keep the state
	@exec $(SETUP) uninstall

doctor: python ## Report what this machine lacks; change nothing
	@exec $(SETUP) doctor

status: ## List the platform's own processes
	@exec $(SETUP) status

check: python ## Lint, types, layers, templates, prose, links in the docs
	@$(SETUP) check
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports --no-logo
	$(PY) -m djlint templates --lint --quiet
	$(PY) -m pytest -q tests/architecture

test: python ## Run all tests in two lanes (as root: they make real containers), failed ones once more alone; ARGS=...
	@$(SETUP) test
	$(PY) -m tests $(ARGS)

test-fast: python ## Run the tests that need neither root nor a service, in under a minute; ARGS=...
	@$(SETUP) check
	$(PY) -m pytest -q -p tests.fast -n 2 $(or $(ARGS),tests/architecture tests/runtime tests/portal tests/workers)

test-apps: python ## Deploy apps of many frameworks, most of them made by the frameworks' own generators; ARGS=...
	@$(SETUP) test
	APPS=all $(PY) -m pytest -q --durations=0 --durations-min=1 tests/system/test_apps.py $(ARGS)

attack: python ## Attack a platform from its apps, builds, uploads and pushes, next to a victim; safe during `make up`; ONLY=word,word TABLE=file
	@$(SETUP) test
	$(PY) -m bench.attack "only=$(ONLY)" "table=$(TABLE)"

fuzz: python ## Change inputs by chance and see what breaks, in a throw-away root; MINUTES=n TARGET=name, or TARGET=name INPUT=file
	@$(SETUP) test
	$(PY) -m tests.fuzz "minutes=$(MINUTES)" "target=$(TARGET)" "input=$(INPUT)"

chaos: python ## Kill random processes under load and deploys, during `make up` or alone; SECONDS=600 KILLS=150 SEED=n
	@$(SETUP) test
	$(PY) -m bench.chaos seconds=$(SECONDS) kills=$(KILLS) seed=$(SEED)

bench: python ## Measure against peers and print medians
	@$(SETUP) test
	$(PY) -m bench
	$(PY) -m bench.pages

soak: python ## Roll out, scale, restart the router and sleep under load, during `make up`; SOAK="rollouts=20 sleeps=10" is shorter
	@$(SETUP) test
	$(PY) -m bench.soak $(SOAK)

test-vm: ## Run the container, network and converge tests in a Debian guest with systemd and cgroup v2
	@tests/vm/run.sh $(ARGS)

format: ## Put the code in its one format
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

python:
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || sh .ci/python
