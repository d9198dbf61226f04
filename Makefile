# Gatehouse. `make` lists what there is.
SHELL       := /bin/bash
GO          ?= go
STATICCHECK  = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK  = golang.org/x/vuln/cmd/govulncheck@v1.9.0
NODE_DIRS    = $(patsubst %/package.json,%,$(wildcard integration/*/package.json))
# A copy of the vulnerability database beside the checkout serves machines without a network.
VULNDB      ?= $(firstword $(wildcard ../*/vulndb))
DEMO         = $(CURDIR)/.run
DEMO_ENV     = XDG_DATA_HOME=$(DEMO)/data XDG_CONFIG_HOME=$(DEMO)/config

.PHONY: help run build test unit integration bench lint vet licences vulnerabilities screenshots tools clean

help:
	@echo "make run          build Caddy with Gatehouse and start the demo"
	@echo "make build        build ./caddy"
	@echo "make test         install what the tests need, then run them all"
	@echo "make bench        the gate beside bare proxying, as a ratio"
	@echo "make lint         vet, staticcheck, vulnerabilities, licences"
	@echo "make screenshots  take docs/screenshots anew"
	@echo "make clean        remove the binary and the demo's state"

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o caddy ./xcaddy

run: build $(DEMO)/demo-client-secret
	@DEMO=$(DEMO) xcaddy/demo.sh
	@cd $(CURDIR) && $(DEMO_ENV) exec ./caddy run --config Caddyfile.example --adapter caddyfile

# The demo's machine client needs a secret that nobody has to invent.
$(DEMO)/demo-client-secret:
	@mkdir -p $(DEMO) && chmod 700 $(DEMO)
	@umask 077 && head -c 32 /dev/urandom | base64 | tr -d '=\n' | tr '+/' '-_' > $@

test: tools vet unit integration

# Race detector on everything that runs in the test's own process.
unit:
	$(GO) test -race -timeout 20m $$($(GO) list ./... | grep -v /integration/)

# Against the built binary, in real browsers, with real clients; one package
# at a time, since they measure and share two cores.
integration:
	$(GO) test -count=1 -p 1 -timeout 30m ./integration/...
	$(GO) test -count=1 -timeout 15m -run TestEveryWayLeadsOn ./authcore -states 5000

tools:
	@missing=; for t in chromium:chromium strace:strace node:nodejs npm:npm curl:curl jq:jq openssl:openssl; do command -v $${t%:*} >/dev/null || missing="$$missing $${t#*:}"; done; \
	if [ -n "$$missing" ] && command -v apt-get >/dev/null; then apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi
	@for d in $(NODE_DIRS); do \
		(cd $$d && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund --loglevel=error) || exit 1; done

bench:
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 30m ./integration/bench

lint: vet licences vulnerabilities

vet:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "run gofmt"; exit 1; }
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

licences:
	$(GO) test -count=1 -run TestLicences ./integration/archtest

vulnerabilities:
	$(GO) run $(GOVULNCHECK) $(if $(VULNDB),-db file://$(abspath $(VULNDB))) ./...

screenshots: build tools
	cd integration/browser && GATEHOUSE_BINARY=$(CURDIR)/caddy npm run --silent screenshots

clean:
	rm -rf caddy $(DEMO)
