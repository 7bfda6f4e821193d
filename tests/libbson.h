/* libbson.h: libbson as the reference in tests and benchmarks. Two of its names are weir's too;
 * they are renamed while its header is read (and so cannot be called: use
 * bson_validate_with_error, bson_iter_init_from_data). */
#ifndef TESTS_LIBBSON_H
#define TESTS_LIBBSON_H

#define bson_iter_init libbson_iter_init
#define bson_validate  libbson_validate
#include <bson/bson.h>
#undef bson_iter_init
#undef bson_validate

#endif
