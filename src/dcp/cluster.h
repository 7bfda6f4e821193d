/* cluster.h: which node serves which vBucket, out of the JSON maps that nodes hand out (terse and full, over
 * GET_CLUSTER_CONFIG, not-my-vbucket bodies, notifications and HTTP: the text is the same).
 *
 * A map is newer when (revEpoch, rev) is greater; equal and older ones are ignored. "$HOST" and a missing host name
 * mean "the host that I asked".
 *
 * Thread: any; maps do not change once parsed.
 */
#ifndef DCP_CLUSTER_H
#define DCP_CLUSTER_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define CLUSTER_NODES_MAX    1024u
#define CLUSTER_REPLICAS_MAX 3u
#define CLUSTER_HOST_MAX     255u
#define CLUSTER_JSON_MAX     (8u << 20)

struct cluster_node {
	char host[CLUSTER_HOST_MAX + 1];
	uint16_t kv, kv_tls, mgmt, mgmt_tls; /* 0: does not have the service */
	char external_host[CLUSTER_HOST_MAX + 1];
	uint16_t external_kv, external_kv_tls, external_mgmt, external_mgmt_tls;
	bool has_external;
	bool this_node;
};

struct cluster_map {
	int64_t epoch, rev;
	char uuid[64]; /* of the bucket */
	char name[101];
	struct cluster_node *node;
	uint32_t n_nodes;
	uint32_t n_vbuckets, n_replicas;
	int16_t *
		owner; /* owner[vb * (1 + CLUSTER_REPLICAS_MAX) + copy]: index into node, -1 absent */
	bool collections; /* capability */
};

/* asked: the host that the map came from. */
int cluster_map_parse(struct slice json, const char *asked, struct cluster_map **out,
		      struct err *e);
void cluster_map_free(struct cluster_map *m);

static inline bool cluster_map_newer(const struct cluster_map *a, const struct cluster_map *than)
{
	if (!than)
		return true;
	return a->epoch != than->epoch ? a->epoch > than->epoch : a->rev > than->rev;
}

/* Copy 0 is the active one. -1: nobody. */
static inline int cluster_owner(const struct cluster_map *m, uint32_t vb, uint32_t copy)
{
	ASSERT(vb < m->n_vbuckets);
	return copy > CLUSTER_REPLICAS_MAX ? -1 : m->owner[vb * (1 + CLUSTER_REPLICAS_MAX) + copy];
}

enum cluster_network { NETWORK_AUTO, NETWORK_DEFAULT, NETWORK_EXTERNAL };

/* auto: default when a seed is one of the default addresses, else external where every node has it. */
enum cluster_network cluster_choose_network(const struct cluster_map *m, enum cluster_network wish,
					    const char *seed_host, uint16_t seed_port);

/* Where to connect. false: the node has no such service there. */
bool cluster_address(const struct cluster_map *m, uint32_t node, enum cluster_network network,
		     bool tls, const char **host, uint16_t *port);

/* The same for the management service. */
bool cluster_mgmt_address(const struct cluster_map *m, uint32_t node, enum cluster_network network,
			  bool tls, const char **host, uint16_t *port);

/* "/pools/default/UNDER/BUCKET", percent-encoded, for the management service. */
void cluster_http_path(const char *under, const char *bucket, struct buf *out);

/* What the service's HTTP status means: ERR_AUTH, ERR_NOTFOUND (bucket), ERR_NET. user: NULL or "" with a certificate. */
int cluster_http_refusal(int status, const char *host, uint16_t port, const char *user,
			 const char *bucket, struct err *e);

/* What /pools/default/buckets/<bucket> says of the bucket's kind. false: nothing. */
bool cluster_bucket_ephemeral(struct slice json, bool *ephemeral);

/* The contiguous share of member n (1..total) of n_vbuckets: [*first, *first + *count). Members beyond the number of
 * vBuckets get none. */
void cluster_share(uint32_t n_vbuckets, uint32_t member, uint32_t total, uint32_t *first,
		   uint32_t *count);

/* The member number of a pod of a Kubernetes StatefulSet: its host name ends in "-N", counted from 0; member N + 1.
 * ERR_INVALID. A domain behind the first dot is ignored. */
int cluster_member_of_host(const char *host_name, uint32_t *member, struct err *e);

#endif
