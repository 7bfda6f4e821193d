# What the Couchbase client adds: an event loop with TLS, and snappy (which has no pkg-config file).
PKGS_BUILD += libssl libevent libevent_openssl libevent_pthreads
DEPS_BUILD += libevent-dev libsnappy-dev
LIBS_PRIVATE += -lsnappy

# The benchmarks of dcp read the simulated cluster.
$(B)/bench/dcp $(B)/bench/dcp_group $(B)/bench/dcp_store: BENCH_LIBS += $(B)/fakecb.a $(B)/inside.a $(FAKECB_LIBS)
$(B)/bench/dcp $(B)/bench/dcp_group $(B)/bench/dcp_store: $(B)/fakecb.a
