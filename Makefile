# `make run` runs the gateway; `make test` runs all tests.
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-redis run release bench bench-instructions bench-peers soak measure-upstream measure-slow measure-lifecycle measure-redis measure-live measure-events measure-takeover measure-metrics simulate-judge test test-onnx test-clients test-clients-all test-api ui ui-types ui-screenshots test-ui lint lint-deploy ci

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: ## install what building and testing needs
	@scripts/setup build test

# npm and Vite run again only when what they read has changed.
ui/node_modules/.package-lock.json: ui/package.json ui/package-lock.json
	@scripts/setup ui
	cd ui && npm ci && touch node_modules/.package-lock.json

ui/dist/index.html: ui/node_modules/.package-lock.json $(shell find ui/src ui/public ui/index.html ui/*.js ui/*.ts -type f)
	cd ui && npm run build

ui: ui/dist/index.html ## build the dashboard into ui/dist, from where it is embedded (needs Node 20.19 or newer)

ui-types: ui/node_modules/.package-lock.json ## write the dashboard's types anew, from what /openapi.json says
	cargo run --locked --quiet -- openapi | (cd ui && node types.mjs)

demo: setup ui ## build and run the demo: dashboard and admin on 9090, gateway on 8080, five upstreams, simulated users
	cargo run --locked --release -- demo --traffic --open

demo-redis: setup ui ## build and run two gateways over one Redis: a change at one is served by both
	cargo build --locked --release
	@scripts/demo-redis $(or $(CARGO_TARGET_DIR),target)/release/flaggate

run: setup ui ## build and run the gateway with config/flaggate.toml
	cargo run --locked --release -- run

release: ui ## build the distributed binary, target/distributed/flaggate, with profile-guided optimisation (about half an hour)
	@scripts/setup build release
	@scripts/release

bench-peers: ## measure the distributed binary beside nginx, HAProxy and Envoy, and with many flags (about ten minutes; nothing else may run)
	@scripts/setup build release peers
	@scripts/bench-peers

bench: setup ## measure evaluation, compilation and prediction
	cargo bench --locked --bench evaluation --bench prediction

measure-redis: setup ## measure propagation, storms and losses over real Redis servers (about 15 minutes)
	FLAGGATE_MEASURE=full cargo test --locked --release --test redis measured:: -- --nocapture --test-threads 1

bench-instructions: ## count the instructions of a request and of an evaluation; fails above what is written in the benchmark
	@scripts/setup build instructions
	@scripts/bench-instructions

measure-slow: setup ## attack a debug build with slowhttptest: 1 000 slow headers, bodies and readers (about a minute)
	@scripts/setup build slow
	@cargo build --locked
	@benches/slow $(or $(CARGO_TARGET_DIR),target)/debug/flaggate

soak: ## run the distributed binary under load for MINUTES (120), while flags change, and tell whether its memory grows
	@scripts/setup build release
	@[ -x $(or $(CARGO_TARGET_DIR),target)/distributed/flaggate ] || scripts/release
	@benches/soak $(or $(CARGO_TARGET_DIR),target)/distributed/flaggate --minutes $(or $(MINUTES),120)

measure-upstream: setup ## attack a gateway with 1 000 slow clients of each kind, cut answers off, reset connections (about 5 minutes)
	FLAGGATE_MEASURE=full cargo test --locked --test upstream -- faults:: resets:: slow:: retries:: --nocapture --test-threads 1

measure-lifecycle: setup ## stop a gateway 50 times and upgrade it 20 times under load (about 2 minutes)
	FLAGGATE_MEASURE=full cargo test --locked --test lifecycle -- --nocapture --test-threads 1

measure-live: setup ## measure the live feed: 1 000 WebSocket clients, and 50 that never read (about 2 minutes)
	FLAGGATE_MEASURE=full cargo test --locked --release --test live measured:: -- --nocapture --test-threads 1

measure-takeover: setup ## stop conductors 200 times and kill them 50 times at each fail point (about an hour; a debug build)
	FLAGGATE_CYCLES=200 cargo test --locked --test delivery takeover::a_leader_that_sleeps -- --nocapture
	FLAGGATE_CYCLES=50 cargo test --locked --test delivery takeover::a_leader_that_dies -- --nocapture

measure-metrics: setup ## count 100 000 requests, ask for 1 000 000 users and paths, and flood the log (about 10 minutes)
	FLAGGATE_MEASURE=full cargo test --locked --release --test metrics -- --nocapture --test-threads 1

measure-events: setup ## read each exposure of 20 000 users by a consumer group, and take its Redis away for five minutes (about 6 minutes)
	FLAGGATE_MEASURE=full cargo test --locked --release --test redis events:: -- --nocapture --test-threads 1

simulate-judge: ## print what the judge does in simulated rollouts, the table of docs/delivery.md (some minutes)
	FLAGGATE_MEASURE=full cargo test --locked --lib judge::simulation::table -- --nocapture

test: setup ## run all tests
	cargo test --locked

test-onnx: setup ## run the tests of models exported to ONNX, and the lints of what reads them (tract takes minutes to build)
	cargo clippy --locked --features onnx --lib -- -D warnings
	cargo test --locked --features onnx --test models --test cli_models

test-api: setup ## send what /openapi.json allows, and more, to a demo gateway (about a minute; needs Python)
	cargo build --locked
	@scripts/test-api $(or $(CARGO_TARGET_DIR),target)/debug/flaggate

test-ui: setup ui ## check the dashboard, and run it in a browser against the demo; pictures go to target/ui-screenshots
	@scripts/setup ui-test
	cd ui && npm run check
	cargo build --locked
	node --test tests/ui/*.test.mjs

ui-screenshots: test-ui ## renew the pictures of the README
	cp target/ui-screenshots/home.png target/ui-screenshots/flag.png docs/images/

test-clients: setup ## run OpenFeature's Python and Node clients against the gateway (installs them below target/clients)
	@tests/clients/run python node

test-clients-all: setup ## the same, and the Rust client, which takes a minute or two to build
	@tests/clients/run python node rust

lint: setup ## check format and lints
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings

lint-deploy: ## check what is in deploy/
	@deploy/lint

ci: lint test test-onnx test-ui ## what continuous integration runs
