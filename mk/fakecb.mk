# The simulated Couchbase cluster: a program, and objects for the tests that talk to it.
FAKECB_OBJ = $(patsubst %.c,$(B)/%.o,$(filter-out %/main.c,$(wildcard tests/fake/couchbase/*.c)))
FAKECB_LIBS = -lssl -lcrypto -lsnappy

$(B)/fakecb.a: $(FAKECB_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/fake-couchbase: $(B)/tests/fake/couchbase/main.o $(B)/fakecb.a $(B)/inside.a
	$(if $(V),,@echo "  LD    $@")
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(FAKECB_LIBS) $(LIBS)

# Tests named dcp_e2e_* and fakecb_* link the cluster.
$(B)/tests/dcp_e2e_% $(B)/tests/fakecb_%: TEST_LIBS += $(B)/fakecb.a $(B)/inside.a $(FAKECB_LIBS)
$(patsubst tests/unit/%_test.c,$(B)/tests/%,$(wildcard tests/unit/dcp_e2e_*_test.c tests/unit/fakecb_*_test.c)): $(B)/fakecb.a

# Clients that others wrote connect to it (tests/cli/couchbase_*.sh).
check-run: $(B)/fake-couchbase
