# The one door. `make help` lists what is behind it.

SHELL := /bin/bash
SEEDS ?= 1000
ROUNDS ?= 200
PREFIX ?= /usr/local
CARGO ?= cargo

# Where each shell looks for completions.
define COMPLETIONS
bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/mesos
zsh $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_mesos
fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/mesos.fish
endef
export COMPLETIONS

# The web pages: built from what is below assets/ into assets/dist, which the binary holds.
PAGES := assets/dist/index.html
PAGES_OF := $(shell find assets/src assets/public -type f) $(wildcard assets/index.html assets/*.json assets/*.ts)
MODULES := assets/node_modules/.package-lock.json

.PHONY: help deps build demo test check fmt lint tidy pages webui sim kills uml conformance bench install units proto bless clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

deps: ## install what building and testing need and this machine lacks (Debian)
	@tests/deps

build: deps pages ## the release binary with its web pages, and libmesos.so beside it: target/release/mesos
	$(CARGO) build --release --bin mesos
	$(CARGO) build --release -p libmesos

demo: deps pages ## a whole cluster in one process, a task on it, its output; ends on Ctrl-C or Enter
	$(CARGO) build --bin mesos
	@tests/demo "$${CARGO_TARGET_DIR:-target}/debug/mesos"

test: deps pages check ## everything: unit, integration, bad input, simulation, real clients, web pages in a browser
	$(CARGO) test --lib --bins
	$(MAKE) tidy
	$(CARGO) build -p libmesos
	$(CARGO) test --test integration --test conformance
	$(MAKE) webui
	$(MAKE) sim

pages: $(PAGES) ## the web pages, assets/dist

$(PAGES): $(PAGES_OF) $(MODULES)
	cd assets && npm run --silent build

$(MODULES): assets/package.json assets/package-lock.json assets/.npmrc
	cd assets && npm ci && touch node_modules/.package-lock.json

webui: deps pages ## the web pages: unit tests, then in Chromium against real clusters: ONLY=large AGENTS=10000 EACH=10
	cd assets && npm test
	AGENTS=$(AGENTS) EACH=$(EACH) ONLY=$(ONLY) $(CARGO) test --test webui -- --nocapture

check: ## format and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

tidy: ## the laws of the tree: layers, pure cores, short files
	$(CARGO) test --test tidy

sim: ## whole clusters in one thread from a seed: SEEDS=1000 FIRST=0, MINUTES=60, or SEED=n to play one again
	SEEDS=$(SEEDS) FIRST=$(FIRST) MINUTES=$(MINUTES) SEED=$(SEED) $(CARGO) test --profile sim --test sim -- --nocapture

kills: ## an agent killed with -9 at random moments, while tasks are launched: ROUNDS=200, five tasks each
	MESOS_RECOVERY_ROUNDS=$(ROUNDS) $(CARGO) test --test integration -- --nocapture again_and_again

uml: deps ## isolation once more, on a Linux in a process (Debian's user-mode-linux) that has control groups of version 2 only
	@program=$$($(CARGO) test --no-run --test integration 2>&1 | tee /dev/stderr | sed -n 's/.*Executable.*(\(.*\))/\1/p') && \
	  tests/version-two "$$program" isolation:: confinement::

conformance: deps ## real clients, unmodified, against our binary
	$(CARGO) build -p libmesos
	$(CARGO) test --test conformance

bench: deps ## figures beside the real Apache Mesos 1.11.0 and ZooKeeper 3.8: AGENTS=10000 EACH=5 MANY=50000 READS=10 FOLLOWERS=2000 ONLY=ours DRILLS=20 TASKS=500 SINGLE=200 FOR=5 SESSIONS=1000
	$(CARGO) bench --bench cluster --bench failover --bench agent --bench zookeeper
	$(MAKE) pages
	ONLY=large MESOS_IDLE=60 AGENTS=$(or $(AGENTS),10000) EACH=10 $(CARGO) test --release --test webui -- --nocapture

install: build units ## mesos and its names (mesos-master, …), libmesos.so, man pages, shell completions, systemd units into PREFIX=/usr/local
	install -D "$${CARGO_TARGET_DIR:-target}/release/mesos" "$(DESTDIR)$(PREFIX)/bin/mesos"
	install -D "$${CARGO_TARGET_DIR:-target}/release/libmesos.so" "$(DESTDIR)$(PREFIX)/lib/libmesos.so"
	install -D -m 644 libmesos/include/mesos.h "$(DESTDIR)$(PREFIX)/include/mesos.h"
	@for name in mesos-master mesos-slave mesos-agent mesos-local mesos-execute mesos-ctl mesos-zk; do \
	  ln -sfv mesos "$(DESTDIR)$(PREFIX)/bin/$$name"; done
	"$(DESTDIR)$(PREFIX)/bin/mesos" man --dir="$(DESTDIR)$(PREFIX)/share/man/man1"
	@while read -r shell file; do mkdir -p "$$(dirname "$$file")"; \
	  "$(DESTDIR)$(PREFIX)/bin/mesos" completions "$$shell" >"$$file"; \
	  if [ $$shell != zsh ]; then for name in master slave agent local execute ctl zk; do \
	    ln -sf "$${file##*/}" "$${file/%mesos*/mesos-$$name}$$([ $$shell = fish ] && echo .fish)"; done; fi; \
	  done <<< "$$COMPLETIONS"

units: # systemd units for mesos-master and mesos-slave, which find the binary where `install` puts it
	@for unit in packaging/systemd/*; do file="$(DESTDIR)$(PREFIX)/lib/systemd/system/$${unit##*/}"; \
	  mkdir -p "$${file%/*}"; sed 's|@PREFIX@|$(PREFIX)|g' "$$unit" >"$$file"; echo "$$file"; done

proto: ## src/proto/gen anew from src/proto/defs
	$(CARGO) run -q -p protogen
	git diff --stat -- src/proto/gen

bless: ## rewrite golden files; read the diff
	MESOS_BLESS=1 $(CARGO) test --lib --bins --test integration
	git diff --stat -- tests/fixtures

clean: ## remove what was built
	$(CARGO) clean
	rm -rf assets/node_modules assets/shots assets/dist/app assets/dist/assets assets/dist/index.html
