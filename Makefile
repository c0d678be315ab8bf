# `make` lists the targets. Long commands are scripts with their own --help.
.DEFAULT_GOAL := help
.PHONY: help demo build image dist test test-unit test-integration hostile e2e gssapi soak bench bench-scaling bench-kafka measure lint deny crds figures clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Run Lagrange on a real Kafka and a real Kubernetes node, with a live screen (needs Docker, or root)
	demo/demo.sh

build: ## Build the operator for release: target/release/lagrange
	LAGRANGE_COMMIT=$$(git rev-parse HEAD) cargo build --release --locked --features vendored

image: ## Build the operator's image, localhost/lagrange:VERSION (minutes; needs Docker, or root)
	tests/env/operator-image.sh localhost/lagrange:$$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

dist: ## Make the files of a release for this machine in dist/ (minutes)
	release/dist.sh

test: ## Run every test: format, lint, unit, docs, chart, integration, end-to-end (at most 60 minutes on a new machine)
	tests/all.sh

test-unit: ## Run the unit and property tests (under a minute when all is compiled)
	tests/all.sh unit

test-integration: ## Run the tests against a real broker and a real API server
	tests/all.sh environment integration

hostile: ## Run the operator with the limits of the chart against a hostile user of one namespace (needs root)
	tests/all.sh environment hostile

e2e: ## Run the tests on a real Kubernetes node with real consumers (needs Docker, or root)
	tests/all.sh environment end-to-end

gssapi: ## Build with Kerberos and log in with a keytab, with a real KDC (builds librdkafka again; needs root or the packages krb5-kdc and krb5-admin-server)
	tests/all.sh environment gssapi

soak: ## Run a recorded day with real consumers, random faults of brokers and network, mangled input, killed operators, hand-overs of the leader, and the Kafka tests under Valgrind (two hours)
	tests/soak.sh

bench: ## Measure the cost of a decision, as ratios in one run (builds for release first)
	cargo bench --bench decide

bench-scaling: ## Compare Lagrange with ten other autoscalers in 27 scenarios, then by lag, then with kill -9 every half hour (minutes; builds for release first)
	cargo bench --package lagrange-benchmark --bench scaling -- --groups --page $(CURDIR)/docs/max-delay.md
	cargo bench --package lagrange-benchmark --bench scaling -- --objective lag --autoscalers clairvoyant,keda-tuned,lagrange --page $(CURDIR)/docs/max-delay.md
	cargo bench --package lagrange-benchmark --bench scaling -- --autoscalers lagrange --restart-every 1800 --cost-at-most 1.05

bench-kafka: ## Measure the cost of polls with up to 1,000 groups on 1 and 3 real brokers, with and without TLS (9 minutes; builds for release first)
	cargo bench --bench kafka

measure: ## Measure the operator at rest, its reaction time, and the time until it uses a changed Secret (14 minutes; builds for release first)
	cargo bench --bench operator

lint: ## Check format, clippy, shell scripts, and licences where cargo-deny is installed
	tests/all.sh format lint

deny: ## Install cargo-deny (minutes) and check licences, bans and sources of all dependencies
	cargo deny --version || cargo install --locked cargo-deny@0.20.2
	cargo deny check bans licenses sources

crds: ## Generate crds/ and docs/reference/ from crates/core/src/api and crates/core/src/scaling/tuning
	UPDATE=1 cargo test --workspace --lib -- committed_definitions committed_reference page_of_the_parameters
	UPDATE=1 cargo test --test chart -- chart_brings_the_committed_definitions readme_has_the_table_of_values

figures: ## Update the figures of README.md and docs/simulate.md from the output of their examples (minutes)
	UPDATE=1 cargo test --test simulate -- the_pages_print

clean: ## Delete build output; downloads and the built Kubernetes stay in ~/.cache/lagrange
	cargo clean
	rm -rf .state
