# Roundtable: the commands a person types. `make` alone lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help up build demo bench test api deps deps-test deps-bench

# Arguments for the program: make up ARGS='--listen 127.0.0.1:8080', make bench ARGS='chat --quick'
ARGS ?=
RELEASE := $(or $(CARGO_TARGET_DIR),target)/release

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: deps build ## Install what is missing, build, and run the whole stack; Ctrl-C stops it
	@exec $(RELEASE)/roundtable up $(ARGS)

build: ## Build what `make up` runs, in release mode
	cargo build --release --workspace --bins

demo: deps build ## Two people meet and talk, step by step, on a throw-away stack
	@exec $(RELEASE)/roundtable demo $(ARGS)

bench: deps build ## Measure: make bench ARGS='chat --json'
	@exec $(RELEASE)/roundtable bench $(or $(ARGS),chat)

test: deps-test ## Formatting, lints and all tests, on real servers
	@scripts/test

api: ## Write docs/openapi.json and docs/asyncapi.json anew, after a route or a command changed
	@ROUNDTABLE_WRITE_API=1 cargo test --quiet --package roundtable --test api

deps: ## Install PostgreSQL, Redis and NATS if they are missing (starts no services)
	@scripts/deps

deps-test: ## The same, and what the tests need
	@scripts/deps tests

deps-bench: ## The same, and Janus and Chromium, for `bench sfu`
	@scripts/deps bench
