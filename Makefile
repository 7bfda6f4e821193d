# weir: one GNU Makefile, no configure step.
#
#   make                 build the library and the binary into build/
#   make demo            install what is missing, build, run the main job on real input
#   make check           install what is missing, build, run every test; last line: N passed, N failed
#   make install         PREFIX=/usr/local DESTDIR= : binary, libraries, headers, pkg-config file, man page, completions
#   make uninstall       the same paths, removed
#   make asan tsan       the tests under the sanitizers
#   make valgrind        the unit tests under valgrind
#   make fuzz            libFuzzer on every fuzz/*_fuzz.c, FUZZ_SECONDS=60 each
#   make fuzz-replay     the corpora through the same targets, without libFuzzer
#   make bench           the benchmarks, with peers beside them where they are installed
#   make torture         the long forms of the crash and fault tests
#   make lint            layers, exported names, formatting, other habits
#   make format          clang-format over the tree
#   make docs            the generated pages of docs/manual
#   make deps            print the Debian packages the build needs
#   make clean           remove build/
#
# Options: CC=clang  B=build/other  WERROR=1  SAN="-fsanitize=..."  V=1
#
# Sources come by wildcard: adding a file is adding a file.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

B        ?= build/release
CC       := $(if $(filter default undefined,$(origin CC)),gcc,$(CC))
PREFIX   ?= /usr/local
LIBDIR   ?= $(PREFIX)/lib
VERSION  := $(shell sed -n 's/^\#define WEIR_VERSION "\(.*\)"/\1/p' include/weir/version.h)
SOVERSION := 0
Q        := $(if $(V),,@)

# What the build needs, and what only tests and benchmarks use.
DEPS_BUILD := gcc make pkg-config libc6-dev libpcre2-dev libssl-dev
DEPS_TEST  := libcmocka-dev libbson-dev json-schema-test-suite
DEPS_BENCH := liblmdb-dev libsqlite3-dev librocksdb-dev
PKGS_BUILD := libpcre2-8 libcrypto
PKGS_TEST  := cmocka libbson-1.0

WARN   := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wwrite-strings -Wundef -Wno-missing-field-initializers \
          -Wconversion -Wno-sign-conversion -Wswitch $(if $(WERROR),-Werror)
HARDEN := -fstack-protector-strong -fstack-clash-protection $(if $(filter x86_64,$(shell uname -m)),-fcf-protection)
FORTIFY := $(if $(SAN),,-D_FORTIFY_SOURCE=2)
OPT    ?= -O2 -g
CFLAGS_ALL := -std=gnu17 $(OPT) $(WARN) $(HARDEN) $(FORTIFY) -fPIC -fvisibility=hidden -fno-common -pthread \
              -D_GNU_SOURCE -Isrc -Iinclude -I. $(SAN) $(CFLAGS)
LDFLAGS_ALL := -pthread -Wl,-z,relro,-z,now $(SAN) $(LDFLAGS)
LIBS       = $(shell pkg-config --libs $(PKGS_BUILD)) $(LIBS_PRIVATE) -lm
TEST_CFLAGS = $(shell pkg-config --cflags $(PKGS_TEST))
TEST_LIBS   = $(shell pkg-config --libs $(PKGS_TEST))

SRC      := $(filter-out src/cli/%,$(wildcard src/*/*.c))
CLI_SRC  := $(wildcard src/cli/*.c)
OBJ      := $(SRC:%.c=$(B)/%.o)
CLI_OBJ  := $(CLI_SRC:%.c=$(B)/%.o)
TESTS    := $(patsubst tests/unit/%_test.c,$(B)/tests/%,$(wildcard tests/unit/*_test.c))
TEST_SUPPORT := $(patsubst %.c,$(B)/%.o,$(wildcard tests/*.c))
FUZZ     := $(patsubst fuzz/%_fuzz.c,%,$(wildcard fuzz/*_fuzz.c))
BENCH    := $(patsubst bench/%_bench.c,$(B)/bench/%,$(wildcard bench/*_bench.c))
EXAMPLES := $(patsubst examples/%.c,$(B)/examples/%,$(wildcard examples/*.c))
TORTURE  := $(patsubst tests/torture/%.c,$(B)/torture/%,$(wildcard tests/torture/*.c))

-include mk/*.mk

all: $(B)/weir $(B)/libweir.a $(B)/libweir.so

# ---- compiling ----

# Each is rewritten only when what it holds changes: objects depend on the compiler and its flags (but for -Werror,
# which changes nothing in them), the pkg-config file on where things go.
define stamp
	@mkdir -p $(B)
	@echo '$(1)' | cmp -s - $@ || echo '$(1)' > $@
endef
$(B)/settings: FORCE
	$(call stamp,$(filter-out -Werror,$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL)))
$(B)/places: FORCE
	$(call stamp,$(PREFIX) $(LIBDIR) $(VERSION) $(PKGS_BUILD) $(LIBS_PRIVATE))
FORCE:

$(B)/tests/%.o: CFLAGS_EXTRA = $(TEST_CFLAGS)
$(B)/bench/%.o: CFLAGS_EXTRA = $(TEST_CFLAGS)

$(B)/%.o: %.c $(B)/settings
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC    $<")
	$(Q)$(CC) $(CFLAGS_ALL) $(CFLAGS_EXTRA) -MMD -MP -c -o $@ $<

-include $(shell find $(B) -name '*.d' 2>/dev/null)

# One relocatable object whose hidden names are made local: nothing but weir_* can clash.
$(B)/libweir.o: $(OBJ)
	$(if $(V),,@echo "  LD    $@")
	$(Q)$(CC) -r -nostdlib -o $@.tmp $^ && objcopy --localize-hidden $@.tmp $@ && rm $@.tmp

$(B)/libweir.a: $(B)/libweir.o
	$(Q)rm -f $@ && ar rcs $@ $<

$(B)/libweir.so: $(OBJ)
	$(if $(V),,@echo "  LD    $@")
	$(Q)$(CC) -shared $(LDFLAGS_ALL) -Wl,-soname,libweir.so.$(SOVERSION) -o $@ $^ $(LIBS)

# The binary is a user of the library; base/ it has for itself, since the library hides its own.
$(B)/base.a: $(filter $(B)/src/base/%,$(OBJ))
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/weir: $(CLI_OBJ) $(B)/libweir.a $(B)/base.a
	$(if $(V),,@echo "  LD    $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

# Tests and benchmarks link the plain objects, as an archive: they may call what the library hides.
$(B)/inside.a: $(OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/tests/%: $(B)/tests/unit/%_test.o $(TEST_SUPPORT) $(B)/inside.a
	$(if $(V),,@echo "  LD    $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(TEST_LIBS) $(LIBS)

$(B)/torture/%: $(B)/tests/torture/%.o $(TEST_SUPPORT) $(B)/inside.a
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD    $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(TEST_LIBS) $(LIBS)

$(B)/bench/%: $(B)/bench/%_bench.o $(B)/inside.a
	$(if $(V),,@echo "  LD    $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(TEST_LIBS) $(BENCH_LIBS) $(LIBS)

# Examples see what a user sees: the public headers and the library.
$(B)/examples/%: examples/%.c $(B)/libweir.a
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC    $<")
	$(Q)$(CC) -std=c99 -D_POSIX_C_SOURCE=200809L -O2 -g -Wall -Wextra $(SAN) -Iinclude -pthread -o $@ $^ $(LIBS)

# fuzz/NAME_fuzz.c defines LLVMFuzzerTestOneInput; fuzz/replay.c is a main() that feeds it files.
$(B)/replay/%: $(B)/fuzz/%_fuzz.o $(B)/fuzz/replay.o $(B)/inside.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

# ---- what people run ----

deps:
	@echo $(DEPS_BUILD)

install-deps:
	@tools/install-deps $(DEPS_BUILD)

install-deps-test:
	@tools/install-deps $(DEPS_BUILD) $(DEPS_TEST)

demo: install-deps
	@$(MAKE) --no-print-directory -s all
	@PATH="$(abspath $(B)):$$PATH" examples/demo

check: install-deps-test
	@$(MAKE) --no-print-directory check-run

# Builds and runs everything that can say ok or not ok.
check-run: all $(TESTS) $(EXAMPLES) $(BENCH)
	@WEIR=$(abspath $(B)/weir) WEIR_BUILD=$(abspath $(B)) tools/test-all $(B)/logs \
		$(TESTS) $(wildcard tests/cli/*.sh)

check-summary:
	@cat $(B)/logs/*.count | awk '{p += $$1; f += $$2; s += $$3} \
		END {printf "%d passed, %d failed", p, f; if (s) printf ", %d skipped", s; print ""; exit f > 0}'

SAN_OPTIONS = ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
	TSAN_OPTIONS=halt_on_error=0:exitcode=66

asan: install-deps-test
	@$(SAN_OPTIONS) WEIR_SANITIZED=1 $(MAKE) --no-print-directory check-run B=build/asan OPT="-O1 -g" \
		SAN="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"

tsan: install-deps-test
	@$(SAN_OPTIONS) WEIR_SANITIZED=1 $(MAKE) --no-print-directory check-run B=build/tsan OPT="-O1 -g" \
		SAN="-fsanitize=thread"

valgrind: install-deps-test
	@tools/install-deps valgrind
	@$(MAKE) --no-print-directory $(TESTS)
	@for t in $(TESTS); do echo "$$t"; \
		WEIR_SANITIZED=1 valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite \
			$$t >/dev/null 2>$(B)/valgrind.log || { cat $(B)/valgrind.log; exit 1; }; done

# The long forms of the crash and fault tests.
torture: install-deps-test
	@$(MAKE) --no-print-directory all $(TESTS)
	@WEIR_TORTURE=1 WEIR_TEST_SECONDS=7200 WEIR=$(abspath $(B)/weir) WEIR_BUILD=$(abspath $(B)) \
		tools/test-all $(B)/torture-logs $(TORTURE_TESTS)
# Those that say so by their names, and all others with a long form; the long forms of doc_* are no faults but patience.
TORTURE_TESTS = $(sort $(foreach t,$(TESTS),$(if $(strip $(foreach w,_sim _faults _kill _chaos,$(findstring $(w),$(t)))),$(t))) \
	$(patsubst tests/unit/%_test.c,$(B)/tests/%,$(filter-out tests/unit/doc_%, \
		$(shell grep -lE 'test_count|WEIR_TORTURE' tests/unit/*_test.c))))

bench: install-deps
	@tools/install-deps $(DEPS_TEST) $(DEPS_BENCH)
	@$(MAKE) --no-print-directory -s bench-run

bench-run: $(BENCH)
	@for b in $(BENCH); do echo "== $$(basename $$b)"; $$b || exit 1; done

# ---- fuzzing ----

FUZZ_SECONDS ?= 60
FUZZ_SAN := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined

fuzz: install-deps
	@tools/install-deps clang libclang-rt-14-dev
	@for f in $(FUZZ); do \
		$(MAKE) --no-print-directory -s CC=clang B=build/fuzz OPT="-O1 -g" SAN="$(FUZZ_SAN)" build/fuzz/fuzzer/$$f || exit 1; \
		mkdir -p build/fuzz/found/$$f; \
		echo "== $$f: $(FUZZ_SECONDS) s"; \
		build/fuzz/fuzzer/$$f -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
			-artifact_prefix=build/fuzz/found/$$f/ build/fuzz/found/$$f fuzz/corpus/$$f 2>&1 | \
			grep -E 'ERROR|SUMMARY|Test unit|stat::(number_of_executed_units|average_exec)' ; \
		[ $${PIPESTATUS[0]} -eq 0 ] || exit 1; done

$(B)/fuzzer/%: $(B)/fuzz/%_fuzz.o $(B)/inside.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $^ $(LIBS)

fuzz-replay: install-deps
	@$(MAKE) --no-print-directory -s B=build/asan OPT="-O1 -g" \
		SAN="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer" \
		$(FUZZ:%=build/asan/replay/%)
	@for f in $(FUZZ); do build/asan/replay/$$f fuzz/corpus/$$f || exit 1; done

# ---- habits ----

lint: all
	@tools/lint $(B)

format:
	@cf=$$(command -v clang-format-14 || command -v clang-format) || \
		{ echo "clang-format is not installed"; exit 1; }; \
	$$cf -i $(wildcard src/*/*.c tests/*.c tests/*.h tests/unit/*.c bench/*.c bench/*.h fuzz/*.c examples/*.c)

# ---- generated pages ----

docs: all
	@$(B)/weir query --list-markdown > docs/manual/operators.md

# ---- installing ----

$(B)/weir.pc: $(B)/places Makefile
	@printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$(LIBDIR)' 'includedir=$${prefix}/include' '' \
		'Name: weir' 'Description: change streams over a durable log, and a Couchbase DCP client' \
		'Version: $(VERSION)' 'Requires.private: $(PKGS_BUILD)' \
		'Libs: -L$${libdir} -lweir' 'Libs.private: $(LIBS_PRIVATE) -lm -pthread' 'Cflags: -I$${includedir}' > $@

$(B)/weir.1: $(B)/weir
	@$(B)/weir help --man > $@

D = $(DESTDIR)$(PREFIX)
install: all $(B)/weir.pc $(B)/weir.1
	install -d $(D)/bin $(DESTDIR)$(LIBDIR)/pkgconfig $(D)/include/weir $(D)/share/man/man1 \
		$(D)/share/bash-completion/completions $(D)/share/zsh/site-functions $(D)/share/fish/vendor_completions.d
	install -m 755 $(B)/weir $(D)/bin/weir
	install -m 644 $(B)/libweir.a $(DESTDIR)$(LIBDIR)/libweir.a
	install -m 755 $(B)/libweir.so $(DESTDIR)$(LIBDIR)/libweir.so.$(VERSION)
	ln -sf libweir.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libweir.so.$(SOVERSION)
	ln -sf libweir.so.$(SOVERSION) $(DESTDIR)$(LIBDIR)/libweir.so
	install -m 644 include/weir/*.h $(D)/include/weir
	install -m 644 $(B)/weir.pc $(DESTDIR)$(LIBDIR)/pkgconfig/weir.pc
	install -m 644 $(B)/weir.1 $(D)/share/man/man1/weir.1
	$(B)/weir completion bash > $(D)/share/bash-completion/completions/weir
	$(B)/weir completion zsh > $(D)/share/zsh/site-functions/_weir
	$(B)/weir completion fish > $(D)/share/fish/vendor_completions.d/weir.fish

uninstall:
	rm -f $(D)/bin/weir $(DESTDIR)$(LIBDIR)/libweir.a $(DESTDIR)$(LIBDIR)/libweir.so* \
		$(DESTDIR)$(LIBDIR)/pkgconfig/weir.pc $(D)/share/man/man1/weir.1 \
		$(D)/share/bash-completion/completions/weir $(D)/share/zsh/site-functions/_weir \
		$(D)/share/fish/vendor_completions.d/weir.fish
	rm -rf $(D)/include/weir

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

clean:
	rm -rf build

.PHONY: all deps install-deps install-deps-test demo check check-run check-summary asan tsan valgrind torture \
	bench bench-run fuzz fuzz-replay lint format docs install uninstall help clean FORCE
