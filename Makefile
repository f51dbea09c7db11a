# "make" alone lists the targets. Everything machine-made goes to .build/ and to the user's cache directory.
.DEFAULT_GOAL := help
.PHONY: help demo demo-local test laws check generate deny e2e test-mutations cluster cluster-down image wheel bench bench-burst bench-local bench-page bench-peer bench-rest clean
T ?=

help: ## list the targets
	@echo "Targets (CLUSTER=embedded|kind|current chooses the cluster; E2E=required fails where a test would be left out):"
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

demo-local: ## the samples on this machine, without Kubernetes, Docker or root, with a Python of ours where yours has no Dask
	@tests/demo-local.sh

demo: ## from nothing to two scheduled runs on a Dask cluster in Kubernetes; leaves the cluster up
	@tests/demo.sh

test: ## all tests: unit, integration, runner, end-to-end; says what it leaves out and why
	@tests/all.sh

laws: ## the laws over fifty times as many histories as in "make test": a search for rare faults, for hours
	DASKFLOW_LAWS=long cargo test --locked --test laws

check: ## format, lints, generated files up to date
	@tests/check.sh

generate: ## write the generated files anew: CRDs, rights, manifests, pages of docs
	@tests/generate.sh

e2e: ## end-to-end tests on a clean cluster; T=name: those whose names hold it, on the cluster that is up
	@tests/e2e/run.sh $(T)

test-mutations: ## each field of each kind changed on living objects, and back; twenty minutes; T=name: some of the bases
	@tests/e2e/mutations/run.sh $(T)

cluster: ## start the embedded Kubernetes and print how to use it
	@tests/cluster.sh up $(if $(wildcard .build/cluster/cluster.json),,--audit)
	@tests/cluster.sh env

cluster-down: ## stop the embedded Kubernetes and delete its data
	@tests/cluster.sh down

image: ## build the operator's image, its bill of materials and the images of the tests into .build/images
	@COMPILE=container tests/images/build.sh
	@tests/supply/sbom.sh

wheel: ## a Python wheel that holds the program (release build), into .build/wheels: pip install
	@tests/wheel/build.sh

deny: ## licences, banned crates, sources and advisories of the dependencies (cargo-deny)
	@tests/supply/deny.sh

bench: ## what deciding and asking a Dask scheduler cost (release build, no cluster)
	cargo bench --locked --bench planning
	@mkdir -p .build
	@tests/dask/venvs.sh .build/dask-venvs
	DASKFLOW_DASK_VENVS=$(CURDIR)/.build/dask-venvs cargo bench --locked --bench rpc

bench-burst: ## 1,000 Flows due at one instant, beside CronJob and a bare client, on an embedded cluster; an hour and a half
	@benches/burst/run.sh

bench-local: ## what daskflow local costs, beside Dask's LocalCluster (release build, no cluster); a quarter of an hour
	@benches/local/run.sh

bench-page: ## what daskflow ui costs with 10,000 runs and 50 tabs (release build, no cluster); ten minutes
	@benches/page/run.sh

bench-peer: ## measures beside dask-kubernetes, on an embedded cluster of its own; an hour
	@benches/peer/run.sh

bench-rest: ## memory and writes of an operator at rest, with 1,000 Flows and 100 DaskClusters; a quarter of an hour
	@benches/rest/run.sh

clean: cluster-down ## delete .build and target; the user's cache (~/.cache/daskflow) stays
	rm -rf .build target
