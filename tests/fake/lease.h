/* lease.h: as much of a Kubernetes API server as Leases need: get, list by label, create, merge-patch, delete; bearer
 * token; resourceVersion checked; HTTP or HTTPS on loopback. One request a connection, a thread for each: a client that
 * stands still keeps nobody waiting. Scripted from any thread. */
#ifndef TESTS_FAKE_LEASE_H
#define TESTS_FAKE_LEASE_H

#include <stdbool.h>
#include <stddef.h>

struct lease_fake;

/* cert_file: HTTPS with a certificate for 127.0.0.1 made now, written there; NULL: plain HTTP. NULL on failure. */
struct lease_fake *lease_fake_start(const char *token, const char *cert_file);
void lease_fake_stop(struct lease_fake *f);
const char *lease_fake_url(const struct lease_fake *f);

/* The next `count` requests of the method ("" any) are answered with the status; nothing is done. */
void lease_fake_fail(struct lease_fake *f, const char *method, int status, unsigned count);
void lease_fake_delay(struct lease_fake *f, unsigned ms); /* before each answer */
void lease_fake_token(struct lease_fake *f, const char *token);
bool lease_fake_holder(struct lease_fake *f, const char *name, char *out, size_t room);
unsigned lease_fake_leases(struct lease_fake *f);

#endif
