# pg_activate: the build (PGXS), and the targets that check it.
#
#   make, make install, make installcheck   as for any extension
#   make test | demo | chaos | bench        in a private copy of the server
#   make lint                               what a reviewer should not have to say
#
# Objects are built in build/release and build/test, so that the test build
# (-DACT_TEST: fault points, settable clock) never gets near what is installed.

EXTENSION = pg_activate
MODULE_big = pg_activate
DATA_built = pg_activate--1.0.sql
DOCS = doc/connectors.md doc/connector.schema.json
EXTRA_CLEAN = build

SOURCES = $(sort $(wildcard src/*.c))
OBJS = $(SOURCES:src/%.c=build/release/%.o)
TEST_OBJS = $(SOURCES:src/%.c=build/test/%.o)

WARNINGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers
LIBRARIES = -lcurl -lcjson -lcrypto -lz

PG_CPPFLAGS = -Isrc
PG_CFLAGS = $(WARNINGS)
SHLIB_LINK = $(LIBRARIES) -Wl,--version-script=build/release/exports.map
SHLIB_PREREQS = build/release/exports.map

NO_INSTALLCHECK = 1			# ours needs a destination: see below

PG_CONFIG ?= pg_config
PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))

all:

ifneq ($(PGXS),)

# Bitcode would only serve to inline functions that do I/O.
override with_llvm = no
include $(PGXS)

ifdef TEST_BUILD
.DEFAULT_GOAL := test-build
endif

COMPILE.object = $(CC) $(CFLAGS) $(CPPFLAGS) -MMD -MP -c -o $@ $<

build/release/%.o: src/%.c
	@$(MKDIR_P) $(@D)
	$(COMPILE.object)

build/test/%.o: src/%.c
	@$(MKDIR_P) $(@D)
	$(COMPILE.object) -DACT_TEST

-include $(OBJS:.o=.d) $(TEST_OBJS:.o=.d)

# What PostgreSQL looks up by name is exported, nothing else.
build/release/exports.map: $(OBJS) src/install/exports.sh
	src/install/exports.sh $(OBJS) >$@

build/test/exports.map: $(TEST_OBJS) src/install/exports.sh
	src/install/exports.sh $(TEST_OBJS) >$@

build/test/pg_activate$(DLSUFFIX): $(TEST_OBJS) build/test/exports.map
	$(LINK.shared) -o $@ $(TEST_OBJS) $(LDFLAGS) $(LDFLAGS_SL) $(LIBRARIES) -Wl,--version-script=build/test/exports.map

test-build: build/test/pg_activate$(DLSUFFIX) $(DATA_built)

# The test build under AddressSanitizer and UndefinedBehaviorSanitizer, for
# test/t/192_fuzz.pl.
ASAN_OBJS = $(SOURCES:src/%.c=build/asan/%.o)
ASAN_FLAGS = -fsanitize=address,undefined -fno-sanitize=alignment -fno-omit-frame-pointer -O1

build/asan/%.o: src/%.c
	@$(MKDIR_P) $(@D)
	$(COMPILE.object) -DACT_TEST $(ASAN_FLAGS)

-include $(ASAN_OBJS:.o=.d)

build/asan/exports.map: $(ASAN_OBJS) src/install/exports.sh
	src/install/exports.sh $(ASAN_OBJS) >$@

build/asan/pg_activate$(DLSUFFIX): $(ASAN_OBJS) build/asan/exports.map
	$(LINK.shared) $(ASAN_FLAGS) -o $@ $(ASAN_OBJS) $(LDFLAGS) $(LDFLAGS_SL) $(LIBRARIES) -Wl,--version-script=build/asan/exports.map

asan-build: build/asan/pg_activate$(DLSUFFIX)

installcheck:
	@test/installcheck.sh $(PG_CONFIG) $(REGRESS)

else # a machine without PostgreSQL's server headers

all install installcheck test-build:
	@test/lib/packages.sh report

clean:
	rm -rf $(EXTRA_CLEAN) $(DATA_built) *.so

endif

INSTALL_PARTS = $(sort $(wildcard src/install/*.sql src/connectors/*.json))

$(DATA_built): src/install/build.sh src/install $(wildcard src/connectors) $(INSTALL_PARTS)
	src/install/build.sh $(INSTALL_PARTS) >$@.new
	mv $@.new $@

# Programs the tests need; no PostgreSQL in them.
TOOLS = build/tools/destination build/tools/ask build/tools/shim.so
TOOL_FLAGS = -std=gnu11 -g -O2 $(WARNINGS) -Wshadow -Wmissing-prototypes

test-tools: $(TOOLS)

build/tools/shim.so: test/shim/shim.c
	@mkdir -p $(@D)
	$(CC) $(TOOL_FLAGS) -fPIC -shared -o $@ $< -ldl

DESTINATION_SOURCES = $(addprefix test/destination/, destination.c wire.c webhook.c control.c crm.c jobs.c json.c log.c lookup.c script.c store.c)

build/tools/destination: $(DESTINATION_SOURCES) $(wildcard test/destination/*.h)
	@mkdir -p $(@D)
	$(CC) $(TOOL_FLAGS) -o $@ $(DESTINATION_SOURCES)

build/tools/ask: test/destination/ask.c
	@mkdir -p $(@D)
	$(CC) $(TOOL_FLAGS) -o $@ $<

# Subsets: make test REGRESS="a b", ISOLATION="c", TAP="t/001_x.pl"
test:
	@test/run.sh test $(REGRESS:%=--regress %) $(ISOLATION:%=--isolation %) $(TAP:%=--tap %)

chaos:
	@test/run.sh chaos $(TAP:%=--tap %)

bench:
	@test/run.sh bench

demo:
	@test/run.sh demo

lint:
	@test/run.sh lint

.PHONY: all test-build test-tools test chaos bench demo lint
