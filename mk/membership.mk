# Kubernetes is asked over HTTPS with libcurl.
PKGS_BUILD += libcurl
DEPS_BUILD += libcurl4-openssl-dev

# Its tests talk to a small Lease API.
$(B)/tests/dcp_membership_lease $(B)/tests/dcp_e2e_members_kill $(B)/tests/dcp_e2e_membership: $(B)/tests/fake/lease.o
$(B)/tests/dcp_membership_lease: TEST_LIBS += $(B)/inside.a -lssl -lcrypto
