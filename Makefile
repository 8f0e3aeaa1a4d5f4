# What each target does is one line here; logic lives in Go programs and tests.

GO ?= go

.PHONY: build test check demo demo-once lab fuzz golden clean

build: ## the programs, for this machine, in bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -o bin/enjambre-server ./server
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -o bin/enjambre-agent ./agent

test: check ## everything: checks, unit tests, and the real programs with the stock agent
	sh e2e/prepare.sh
	$(GO) test -race -count=1 -timeout 30m ./... # the cache does not see the programs that tests build and run

check: ## format, vet, staticcheck, tidy modules, and builds for the other systems
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not gofmt-ed: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool -modfile=tools.mod staticcheck ./...
	$(GO) mod tidy -diff
	GOOS=windows CGO_ENABLED=0 $(GO) vet ./server/... ./agent/...
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 $(GO) vet ./server/... ./agent/...

demo: ## a server, three sites of agents and a stock agent on this machine; stays up
	@sh e2e/prepare.sh
	@$(GO) run ./e2e/demo $(ARGS)

demo-once: ## the same, and ends; exit 0 only if all succeeded and went into each site once; ARGS=--json: one line says so
	@sh e2e/prepare.sh
	@$(GO) run ./e2e/demo --once $(ARGS)

lab: ## the swarm's promises in namespaces, as root, an hour at most; writes the table of docs/swarm-measured.md
	$(GO) test ./e2e/lab/cases -count=1 -v -timeout 90m -lab

fuzz: ## every fuzz target for ten seconds
	sh e2e/fuzz.sh 10s

golden: ## write the golden files anew; read the difference before you commit it
	$(GO) test ./core/info ./core/ocs ./agent/internal/inventory ./e2e/lab/cases -update
	cp agent/internal/inventory/testdata/inventory.xml server/internal/ocsapi/testdata/agent-inventory.xml

clean:
	rm -rf bin
