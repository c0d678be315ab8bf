test:
	cargo test --workspace

crds: ## Write crds/ and docs/reference/ anew from src/api
	UPDATE=1 cargo test --lib -- committed_definitions committed_reference
