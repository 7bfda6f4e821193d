# Kubernetes is asked over HTTPS with libcurl.
PKGS_BUILD += libcurl
DEPS_BUILD += libcurl4-openssl-dev

# Its test talks to a small Lease API.
$(B)/tests/dcp_membership_lease: $(B)/tests/fake/lease.o
$(B)/tests/dcp_membership_lease: TEST_LIBS += $(B)/inside.a -lssl -lcrypto
