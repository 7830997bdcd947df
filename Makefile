# `make run` runs the gateway; `make test` runs all tests.
.DEFAULT_GOAL := help
.PHONY: help setup demo run bench test lint lint-deploy ci

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: ## install what building and testing needs
	@scripts/setup build test

demo: setup ## build and run the demo: gateway on 8080, admin on 9090, five upstreams, simulated users
	cargo run --locked --release -- demo --traffic

run: setup ## build and run the gateway with config/flaggate.toml
	cargo run --locked --release -- run

bench: setup ## measure evaluation and compilation
	cargo bench --locked --bench evaluation

test: setup ## run all tests
	cargo test --locked

lint: setup ## check format and lints
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings

lint-deploy: ## check what is in deploy/
	@deploy/lint

ci: lint test ## what continuous integration runs
