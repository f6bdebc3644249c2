# The front door for whoever changes Aviso; `make` alone says what there is.
# Users need none of it: go run and go test are enough.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
TOOL := go tool -modfile=tools/go.mod
MODULES := . tools interop bench

# How long each fuzz target runs.
FUZZTIME ?= 5s
# SHORT=1 shortens `make stress` to a few minutes.
SHORT ?=
# The tests of `make interop` to run, as a regular expression.
RUN ?= .
# QUICK=1 shortens `make bench` to a few minutes; ONLY=one,far measures some of its
# series, WHO=aviso-batch,h2load some of its clients, and both leave
# docs/performance.md alone.
QUICK ?=
ONLY ?=
WHO ?=

.DEFAULT_GOAL := help

.PHONY: help
help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: ## run the tests
	go test ./...

.PHONY: race
race: ## run the tests under the race detector
	go test -race ./...

.PHONY: stress
stress: ## run the tests three times beside two busy loops, and with one core (SHORT=1: once)
	SHORT=$(SHORT) tools/stress

.PHONY: lint
lint: ## go vet and staticcheck, for all modules
	go vet ./...
	$(TOOL) staticcheck ./...
	cd interop && go vet ./... && go tool -modfile=../tools/go.mod staticcheck ./...
	cd bench && go vet ./... && go tool -modfile=../tools/go.mod staticcheck ./...

.PHONY: fmt
fmt: ## format all files
	$(TOOL) gofumpt -w .

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (5s)
	tools/fuzz $(FUZZTIME)

.PHONY: model
model: ## play 400 random stories on the engine, kills included (ten minutes)
	go test -count=1 -timeout=30m -run 'TestModel$$' ./engine -rapid.checks=400 -rapid.steps=20

.PHONY: year
year: ## let two servers live DAYS (150), in virtual time (an hour; YEAR_SEED=7 DAYS=20 plays one story, SHORT=1: a minute)
	$(if $(SHORT),YEAR_NEW_ONLY=1) tools/year $(or $(DAYS),$(if $(SHORT),3,150)) $(if $(SHORT),60s,60m) $(YEAR_SEED)

.PHONY: interop
interop: ## install other people's servers and clients and run against them (RUN=HAProxy for some)
	interop/install
	cd interop && go test -count=1 -timeout=10m -v -run '$(RUN)' .

.PHONY: bench
bench: ## measure against other people's clients, into docs/performance.md (QUICK=1, ONLY=one)
	cd bench && go run . $(if $(QUICK),-quick) $(if $(ONLY),-only=$(ONLY)) $(if $(WHO),-who=$(WHO)) $(if $(ONLY)$(WHO),,-out=../docs/performance.md)

.PHONY: bench-serve
bench-serve: ## measure the push server, into docs/server-performance.md (QUICK=1, GORUSH=path of a built gorush)
	cd bench && go run ./serve $(if $(QUICK),-quick,-o=../docs/server-performance.md) $(if $(GORUSH),-gorush=$(GORUSH))

.PHONY: bench-gateway
bench-gateway: ## measure the gateway for old programs, into docs/gateway-performance.md (QUICK=1: half a minute, writes nothing)
	cd bench && go run ./gateway $(if $(QUICK),-quick,-o=../docs/gateway-performance.md)

.PHONY: bench-passes
bench-passes: ## measure signing passes beside passkit-generator, into docs/wallet-performance.md (a minute; QUICK=1: seconds, writes nothing)
	cd bench && go run ./passes $(if $(QUICK),-quick,-o=../docs/wallet-performance.md)

.PHONY: tidy
tidy: ## tidy go.mod and go.sum of all modules
	for module in $(MODULES); do (cd $$module && go mod tidy); done

.PHONY: ci
ci: ## run what has to pass before a change is taken
	.ci/run

.PHONY: faults
faults: ## run the fault matrix, into docs/reliability.md (SHORT=1: half a minute, writes nothing; SEED=2)
	cd bench && go run ./faults $(if $(SEED),-seed=$(SEED)) $(if $(SHORT),-short,-o=../docs/reliability.md)

.PHONY: soak
soak: ## send ten million notifications through faults, into docs/reliability.md (SHORT=1: 200,000)
	cd bench && go run ./faults -soak $(if $(SEED),-seed=$(SEED)) $(if $(SHORT),-short,-o=../docs/reliability.md)

.PHONY: crash
crash: ## kill servers under load, fill, tear and damage their log, into docs/durability.md (SHORT=1: five minutes, writes nothing; SEED=2)
	cd bench && go run ./crash $(if $(SEED),-seed=$(SEED)) $(if $(SHORT),-short,-o=../docs/durability.md)

.PHONY: cluster
cluster: ## the same with two servers on a cluster of three, into docs/durability.md (SHORT=1: two minutes, writes nothing)
	cd bench && go run ./crash -cluster $(if $(SEED),-seed=$(SEED)) $(if $(SHORT),-short,-o=../docs/durability.md)
