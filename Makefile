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
DEPS_TEST  := libcmocka-dev libbson-dev
DEPS_BENCH := liblmdb-dev libsqlite3-dev librocksdb-dev
PKGS_BUILD := libpcre2-8 libcrypto
PKGS_TEST  := cmocka libbson-1.0

WARN   := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wwrite-strings -Wundef \
          -Wconversion -Wno-sign-conversion -Wswitch $(if $(WERROR),-Werror)
HARDEN := -fstack-protector-strong -fstack-clash-protection $(if $(filter x86_64,$(shell uname -m)),-fcf-protection)
FORTIFY := $(if $(SAN),,-D_FORTIFY_SOURCE=2)
OPT    ?= -O2 -g
CFLAGS_ALL := -std=gnu17 $(OPT) $(WARN) $(HARDEN) $(FORTIFY) -fPIC -fvisibility=hidden -fno-common -pthread \
              -D_GNU_SOURCE -Isrc -Iinclude -I. $(SAN) $(CFLAGS)
LDFLAGS_ALL := -pthread -Wl,-z,relro,-z,now $(SAN) $(LDFLAGS)
LIBS       = $(shell pkg-config --libs $(PKGS_BUILD)) -lm
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

# Rewritten only when compiler or flags change; every object depends on it.
$(B)/settings: FORCE
	@mkdir -p $(B)
	@echo '$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) $(PREFIX) $(LIBDIR)' | cmp -s - $@ || \
	 echo '$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) $(PREFIX) $(LIBDIR)' > $@
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

$(B)/weir: $(CLI_OBJ) $(B)/libweir.a
	$(if $(V),,@echo "  LD    $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

# Unit tests link the plain objects: they may call what the library hides.
$(B)/tests/%: $(B)/tests/unit/%_test.o $(TEST_SUPPORT) $(OBJ)
	$(if $(V),,@echo "  LD    $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(TEST_LIBS) $(LIBS)

$(B)/torture/%: $(B)/tests/torture/%.o $(TEST_SUPPORT) $(OBJ)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD    $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(TEST_LIBS) $(LIBS)

$(B)/bench/%: $(B)/bench/%_bench.o $(OBJ)
	$(if $(V),,@echo "  LD    $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(TEST_LIBS) $(BENCH_LIBS) $(LIBS)

# Examples see what a user sees: the public headers and the library.
$(B)/examples/%: examples/%.c $(B)/libweir.a
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC    $<")
	$(Q)$(CC) -std=c99 -D_POSIX_C_SOURCE=200809L -O2 -g -Wall -Wextra $(SAN) -Iinclude -pthread -o $@ $^ $(LIBS)

# fuzz/NAME_fuzz.c defines LLVMFuzzerTestOneInput; fuzz/replay.c is a main() that feeds it files.
$(B)/replay/%: $(B)/fuzz/%_fuzz.o $(B)/fuzz/replay.o $(OBJ)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

clean:
	rm -rf build

.PHONY: all clean FORCE
