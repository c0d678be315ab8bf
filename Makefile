# `make` lists what there is. Long things are scripts with a --help of their own; this file only names them.
.DEFAULT_GOAL := help
.PHONY: help demo build test test-unit test-integration hostile e2e gssapi soak bench bench-law bench-kafka measure lint deny crds figures clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Show Lagrange at work on a real Kafka and a real Kubernetes node, on one screen (needs root or Docker)
	demo/demo.sh

build: ## Build the operator for release: target/release/lagrange
	cargo build --release --locked

test: ## Run every test: format, lint, unit, docs, chart, integration, end-to-end (60 minutes at most from nothing)
	tests/all.sh

test-unit: ## Run the unit and property tests (under a minute on a warm tree)
	tests/all.sh unit

test-integration: ## Run the tests against a real broker and a real API server
	tests/all.sh environment integration

hostile: ## Run the operator under the chart's limits against a user who does the worst that one namespace allows (needs root)
	tests/all.sh environment hostile

e2e: ## Run the tests on a real Kubernetes node with real consumers (needs root or Docker)
	tests/all.sh environment end-to-end

gssapi: ## Build with Kerberos and log in by a keytab, with a real KDC (librdkafka is built anew; root or the packages krb5-kdc and krb5-admin-server)
	tests/all.sh environment gssapi

soak: ## Play twelve hours of a recorded day to real consumers, break three real brokers and the way to them at random, mangle what is parsed, kill operators, then run the tests of Kafka under Valgrind (two hours in all)
	tests/soak.sh

bench: ## Measure what a decision costs, as ratios in one run (builds for release first)
	cargo bench --bench decide

bench-law: ## Judge the law beside nine others on 27 scenarios in one run, then its figures and what kill -9 costs (15 minutes; needs python3; builds for release first)
	cargo build --release --locked
	python3 tests/law/run.py --jobs 2 --reuse tests/law/results/pub.json --out target/law.json \
	  --policies 'clairvoyant,static-max,keda-default,keda-tuned,hpa-cpu-70,hpa-cpu-50,flink-default,flink-docs,brandwatch-kpa,numaflow,cmd:target/release/lagrange decide --stream'
	python3 tests/law/tables.py target/law.json --groups
	python3 tests/law/judge.py --jobs 2 --command "target/release/lagrange decide --stream"
	python3 tests/law/judge.py --jobs 2 --command "target/release/lagrange decide --stream" --objective lag
	python3 tests/law/judge.py --jobs 2 --command "target/release/lagrange decide --stream" --restart-every 1800 --cost-at-most 1.05

bench-kafka: ## Measure what looks cost with up to 1,000 groups on 1 and 3 real brokers, with and without TLS (9 minutes; builds for release first)
	cargo bench --bench kafka

measure: ## Measure the operator at rest, its reaction, and how soon it uses a changed Secret (14 minutes; builds for release first)
	cargo bench --bench operator

lint: ## Check format, clippy, shell scripts, and licences where cargo-deny is installed
	tests/all.sh format lint

deny: ## Install cargo-deny (minutes) and check licences, bans and sources of all dependencies
	cargo deny --version || cargo install --locked cargo-deny@0.20.2
	cargo deny check bans licenses sources

crds: ## Write crds/ and docs/reference/ anew from crates/core/src/api and crates/core/src/scaling/tuning
	UPDATE=1 cargo test --workspace --lib -- committed_definitions committed_reference page_of_the_parameters
	UPDATE=1 cargo test --test chart -- chart_brings_the_committed_definitions readme_has_the_table_of_values

figures: ## Write the figures of README.md and docs/simulate.md anew from what their examples print (minutes)
	UPDATE=1 cargo test --test simulate -- the_pages_print

clean: ## Delete what was built here; downloads and the built Kubernetes stay in ~/.cache/lagrange
	cargo clean
	rm -rf .state
