# Every target works from a clean clone. `make` alone lists them.
.DEFAULT_GOAL := help

# A clone without tags, or a source archive without git, still builds: the version is "dev".
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

# Tools live in .cache, outside of go.mod: their dependencies are not ours.
TOOLS := $(CURDIR)/.cache/bin
GOLANGCI_VERSION := v2.15.0
GOLANGCI := $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION)

FUZZTIME ?= 10s
GOTESTFLAGS ?=

.PHONY: help
help: ## list the targets
	@echo 'usage: make TARGET'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/cardworker
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/cardworker ./cmd/cardworker

.PHONY: demo
demo: build ## see it work: Redis, Payblr sandbox and worker in one process, nothing else needed
	bin/cardworker demo

# The last lines are go test's own: what reads them needs nothing else.
.PHONY: test
test: deps ## run every test with the race detector, against a real redis-server
	go test -race $(GOTESTFLAGS) ./...

.PHONY: check
check: fmt-check vet lint test ## what has to pass before a commit: format, vet, lint, test

.PHONY: fmt
fmt: $(GOLANGCI) ## format the code
	$(GOLANGCI) fmt

.PHONY: fmt-check
fmt-check: $(GOLANGCI) ## fail if the code is not formatted
	$(GOLANGCI) fmt --diff

.PHONY: vet
vet: ## run go vet
	go vet ./...

.PHONY: lint
lint: $(GOLANGCI) ## run golangci-lint (the first time it is built, which takes some minutes)
	$(GOLANGCI) run

# The race detector finds nothing more here, and costs four fifths of the time.
.PHONY: model
model: ## play all schedules of the model test, of which make test plays some
	MODEL_EVERY=1 go test -count=1 -v -run TestModel ./worker ./internal/model

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (default 10s)
	scripts/fuzz.sh $(FUZZTIME)

.PHONY: docs
docs: ## write the parts of the documents that are generated from the code
	UPDATE_DOCS=1 go test -count=1 -run 'DiagramIsTheTable|TablesAreWhatWasMeasured' ./internal/docstest/...

# FAULT_SEED=n repeats a run, FAULTS=name,name plays some scenarios only.
.PHONY: faults
faults: deps ## break Redis, network, API and workers on purpose, and audit what comes of it (about 18 minutes)
	FAULTS=$${FAULTS:-full} go test -count=1 -timeout 30m -v -run '^TestFaults$$' ./internal/faults

# BENCH="--only drain --runs 3" takes a part of it, BENCH=--quick all of it for a moment; neither writes.
.PHONY: bench
bench: build deps ## measure against stock asynq, side by side, and write docs/PERFORMANCE.md (about 20 minutes)
	bin/cardworker bench $${BENCH:---out docs}

.PHONY: screenshot
screenshot: deps ## take the README's picture of the monitor again
	UPDATE_SCREENSHOT=1 go test -count=1 -run Browser ./internal/monitor/...

.PHONY: deps
deps: ## install what the tests need from the system's packages, if it is missing
	@scripts/deps.sh

.PHONY: clean
clean: ## remove what was built, the tools included
	rm -rf bin dist .cache

# One build per version: a changed version has another file name.
$(GOLANGCI):
	@echo 'building golangci-lint $(GOLANGCI_VERSION) into .cache/bin, once' >&2
	@mkdir -p $(TOOLS)
	GOBIN=$(TOOLS) GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	@mv $(TOOLS)/golangci-lint $@
