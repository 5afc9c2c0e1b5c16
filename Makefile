# Thin wrappers around deploy/local.py, which works without make just as well.
# A line `## text` after a target is its help; `##@ text` begins a group.

PYTHON ?= python3
LOCAL := $(PYTHON) deploy/local.py

.DEFAULT_GOAL := help
.PHONY: help demo up down test lint check bench audit sbom env clean crash test-simulation mutants chaos simulate

##@ Run

demo: ## start everything, watch renewals being charged, end everything
	@$(LOCAL) demo

up: ## keep everything running on data that lasts (Ctrl-C or `make down` ends it)
	@$(LOCAL) up

down: ## end what `make up` keeps running
	@$(LOCAL) down

##@ Check

test: ## run the tests; ARGS="-k name" passes arguments to pytest
	@$(LOCAL) test $(ARGS)

lint: ## style, types, import contracts, spelling, YAML and locks
	@$(LOCAL) lint

check: ## lint, then test
	@$(LOCAL) check $(ARGS)

bench: ## measure against the plain design; ARGS="..." passes arguments on
	@$(LOCAL) bench $(ARGS)

audit: ## ask for known vulnerabilities of what is locked (exit status 75: nobody answered)
	@$(LOCAL) audit $(ARGS)

sbom: ## write what the image is made of to .dalmada/artefacts/sbom.cdx.json
	@$(LOCAL) sbom $(ARGS)

##@ Prove

crash: ## let a process die at every point and pair of points; ARGS="..."
	@$(LOCAL) crash $(ARGS)

test-simulation: ## live through 10,000 subscription-years; ARGS="--seed 7"
	@$(LOCAL) simulation $(ARGS)

mutants: ## plant faults in the code: each must be caught; ARGS="..."
	@$(LOCAL) mutants $(ARGS)

chaos: ## break real processes under load; SECONDS=60 SEED=1
	@$(LOCAL) chaos $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

simulate: ## live a merchant's years in a minute; YEARS=2 SUBSCRIPTIONS=1000 SEED=1
	@$(LOCAL) simulate $(if $(YEARS),--years $(YEARS)) \
		$(if $(SUBSCRIPTIONS),--subscriptions $(SUBSCRIPTIONS)) \
		$(if $(SEED),--seed $(SEED)) $(ARGS)

##@ Keep

env: ## make or refresh .venv and nothing else
	@$(LOCAL) env

clean: ## remove .venv, caches and what `make up` has stored
	@$(LOCAL) clean

help: ## show this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
