# `make demo` shows flaggate at work; `make test` runs all tests.
.DEFAULT_GOAL := help
.PHONY: help setup test lint ci

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: ## install what building and testing needs
	@scripts/setup build test

test: setup ## run all tests
	cargo test --locked

lint: setup ## check format and lints
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings

ci: lint test ## what continuous integration runs
