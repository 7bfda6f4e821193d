/* scarce.h: memory that is counted, and runs out where a test says: an allocator for base/mem.h. */
#ifndef TESTS_SCARCE_H
#define TESTS_SCARCE_H

#include <stdbool.h>

/* From here on calls that allocate are counted; none fails. */
void scarce_begin(void);

/* Counts anew: the nth call (from 1; 0: none) fails, and with for_ever all behind it. */
void scarce_fail(long nth, bool for_ever);

/* Calls since. */
long scarce_calls(void);

/* Memory is as always again. */
void scarce_end(void);

#endif
