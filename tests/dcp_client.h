/* dcp_client.h: how a program of the tests logs in to the simulated cluster, through the public interface. */
#ifndef TESTS_DCP_CLIENT_H
#define TESTS_DCP_CLIENT_H

#include "tests/test.h"

#include "weir/weir.h"

static inline weir_dcp_options client_options(const char *hosts)
{
	return (weir_dcp_options){ .size = sizeof(weir_dcp_options),
				   .hosts = hosts,
				   .user = "Administrator",
				   .password = "password",
				   .bucket = "default",
				   .group = "g",
				   .connect_timeout_ms = PATIENCE_MS };
}

#endif
