# `make` without arguments lists the targets.
#
# They need Go 1.26 and make. `make test` also needs a C compiler, for the race
# detector. After the Go modules are downloaded, only the first `make lint` and the first
# `make docs` need the network, to install the linter and tfplugindocs.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

GO       ?= go
RACE     ?= -race
# The timeout of the tests of one package. On a slow machine, killing the engine at
# each of its calls takes more than the default of go test, ten minutes.
TIMEOUT  ?= 30m
FUZZTIME ?= 60s
TOOLS    ?= $(CURDIR)/bin/tools

GOLANGCI_VERSION := v2.15.0
GOLANGCI         := $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION)

# The root module and the nested modules.
MODULES := $(patsubst %/,%,$(dir $(shell find . -name go.mod -not -path '*/testdata/*' -not -path './bin/*' | sort)))

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: ## check, plan, apply and status against a simulator: no hardware, no root, half a minute; the first build takes some minutes
	@echo "building; the first time this takes some minutes"
	@$(GO) run ./cmd/gpuworker demo

.PHONY: build
build: ## build all programs into bin/ and print their sizes; the first build takes some minutes
	@echo "building into bin/; the first time this takes some minutes"
	flags="$$(GO='$(GO)' hack/guests bin)" && $(GO) build -trimpath -ldflags "$$flags" -o bin/ ./cmd/...
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/ ./cmd/gpuworker-host ./cmd/gpuworker-guest
	@ls -lh $(patsubst cmd/%/main.go,bin/%,$(wildcard cmd/*/main.go)) bin/gpuworker-guest-linux-*

.PHONY: release
release: ## build the archives of a release into dist/, and print the sizes: make release VERSION=v0.1.0
	@GO='$(GO)' hack/release '$(VERSION)'

.PHONY: test
# With less frequent garbage collection the tests are ten percent faster.
test e2e-terraform e2e-opentofu: export GOGC ?= 400
test: ## run all tests of all modules with the race detector, then all cut points without it
	@if [ -n "$(RACE)" ] && ! command -v "$$($(GO) env CC)" >/dev/null; then \
		echo "the race detector needs a C compiler ($$($(GO) env CC)): apt-get install gcc, or run without it: make test RACE=" >&2; exit 1; \
	fi
	@for module in $(MODULES); do (cd $$module && $(GO) test $(RACE) -timeout $(TIMEOUT) ./...) || exit 1; done
	@[ -z "$(RACE)" ] || $(GO) test -timeout $(TIMEOUT) $$(grep -rl --include='*_test.go' internal/thorough\" ./cmd ./internal ./sim | xargs -n 1 dirname | sort -u)
	@command -v qemu-ga >/dev/null || echo "not run: our client with a real guest agent; it needs qemu-ga: apt-get install --no-install-recommends qemu-guest-agent"
	@command -v genisoimage >/dev/null || echo "not run: images of genisoimage in pvesim: apt-get install --no-install-recommends genisoimage"
	@echo "not run: gpuworker-host in a real kernel; it needs QEMU (apt-get) and a minute: make e2e-host"
	@echo "not run: a real guest; it needs QEMU and mmdebstrap (apt-get) and some minutes: make e2e-guest"
	@echo "not run: the Terraform provider with the real terraform; it needs five minutes: make e2e-terraform"

.PHONY: lint
lint: $(GOLANGCI) ## run the linter at a fixed version, with the import rules
	@for module in $(MODULES); do (cd $$module && $(GOLANGCI) run --allow-parallel-runners --config $(CURDIR)/.golangci.yml ./...) || exit 1; done

$(GOLANGCI):
	@echo "installing golangci-lint $(GOLANGCI_VERSION) into $(TOOLS) (only once)"
	@mkdir -p $(TOOLS)/install
	@GOBIN=$(TOOLS)/install CGO_ENABLED=0 $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	@mv $(TOOLS)/install/golangci-lint $@

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (60s)
	@GO='$(GO)' hack/fuzz $(FUZZTIME)

.PHONY: bench
bench: ## run all benchmarks
	$(GO) test -run '^$$' -bench . -benchmem ./...

.PHONY: e2e-recordings
e2e-recordings: ## compare the simulator with recordings of a real Proxmox VE, if there are any
	@$(GO) run ./hack/recordings

.PHONY: e2e-host
e2e-host: ## run gpuworker-host in a real Linux kernel under QEMU: with an Intel IOMMU, an AMD IOMMU, none
	@lab=$$(e2e/host/prepare) && { system=$$(e2e/host/prepare-system $$lab) || echo "NOT TESTED: a real initramfs; the reason is above"; } && \
		GPUWORKER_E2E_HOST=$$lab GPUWORKER_E2E_SYSTEM=$$system $(GO) test -count=1 -v ./e2e/host

.PHONY: e2e-guest
e2e-guest: ## boot a real Debian guest under QEMU from our ISO and make it a worker; the first time makes its disk in five minutes
	@lab=$$(e2e/guest/prepare) && GPUWORKER_E2E_GUEST=$$lab $(GO) test -count=1 -timeout $(TIMEOUT) -v $(E2E_GUEST) ./e2e/guest

.PHONY: e2e-terraform
e2e-terraform: ## run the Terraform provider, modules and examples with the real terraform; the first time builds it in ten minutes, if there is none
	@$(call test_terraform,terraform)

.PHONY: e2e-opentofu
e2e-opentofu: ## the same with OpenTofu
	@$(call test_terraform,opentofu)

# Tests of the provider that do not need the program are not left out: they are fast.
test_terraform = program=$$(terraform/provider/e2e/prepare $(1)) && cd terraform/provider && \
	TF_ACC_TERRAFORM_PATH="$$program" $(GO) test -count=1 -timeout $(TIMEOUT) $(E2E_TERRAFORM) ./...

.PHONY: ledger
ledger: ## run e2e-recordings and write the results into the ledger, sim/pvesim/ledger.txt
	$(GO) run ./hack/recordings -ledger sim/pvesim/ledger.txt
	$(GO) run ./hack/pvesimledger

.PHONY: generate
generate: ## generate files from the code, such as the JSON Schema
	$(GO) generate ./...

.PHONY: docs
docs: ## generate docs/reference, the list of simulated calls in docs/pvesim.md, and terraform/provider/docs
	$(GO) run ./hack/gendocs
	$(GO) run ./hack/pvesimledger
	cd terraform/provider && $(GO) run ./internal/gendocs

.PHONY: clean
clean: ## remove the built files
	rm -rf bin dist
