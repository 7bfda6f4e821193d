/* env_sim.h: a simulated world: a disk in memory that can lose power, and a clock that goes only when told.
 *
 * A struct sim is a struct env (sim_env). Code under test runs on it unchanged; the test then asks for what a power
 * loss at this moment could leave behind (sim_crash), as often as it likes and from the same moment, opens the result
 * and compares it with what was acknowledged. Everything follows from the seeds: the same seed gives the same state.
 *
 *	struct sim *s = sim_new(&(struct sim_options){ .seed = 1 }), *after = sim_new(NULL);
 *	... run on sim_env(s) ...
 *	sim_crash(s, seed, after);      // s goes on as if nothing had happened
 *	... open and check on sim_env(after) ...
 *
 * The model is harsher than most disks and file systems, on purpose: sim_disk.h has it.
 *
 * Thread: the env and its files from any thread; everything below while no other thread uses the sim.
 */
#ifndef OS_ENV_SIM_H
#define OS_ENV_SIM_H

#include "os/env.h"

#define SIM_FILE_BYTES (64u << 20) /* the default of file_bytes */
#define SIM_NAME_BYTES 256

struct sim;

struct sim_options {
	uint64_t seed;
	uint64_t disk_bytes; /* all files together; beyond it ERR_NOSPACE; 0: no limit */
	size_t file_bytes; /* the largest file, reserved as address space for each; 0: SIM_FILE_BYTES */
	bool ignore_sync; /* sync and sync_dir do nothing: for the control that must fail */
};

struct sim *sim_new(const struct sim_options *o); /* NULL when out of memory; o may be NULL */
void sim_free(struct sim *s);                     /* every file must be closed */
struct env *sim_env(struct sim *s);

/* Empties the disk and sets the clock back to the start. Every file must be closed. ERR_NOMEM or 0. */
int sim_reset(struct sim *s, uint64_t seed);

/* What a power loss now could leave, into another sim, which is emptied first and must have no open file.
 * ERR_NOMEM or 0. */
int sim_crash(struct sim *from, uint64_t seed, struct sim *into);

/* A copy, as a killed process leaves it to the next: nothing is lost, and what was not durable is not. */
int sim_copy(struct sim *from, struct sim *into);

/* What the kernel does behind everybody's back: some of the dirty sectors become durable. */
void sim_writeback(struct sim *s, uint64_t seed);

/* The bytes of a file as readers see them, to look at or to damage; NULL when there is none. The damage is durable
 * once the file is synced or untouched since a crash. Valid until the file is resized or removed. */
uint8_t *sim_bytes(struct sim *s, const char *path, uint64_t *size);

/* What a failed flush does to a Linux file: the dirty sectors stay readable but count as clean, so that no later
 * flush makes them durable. For env_fault's hook. */
void sim_drop_dirty(struct file *f);

/* The clock. Every look at it moves it by a microsecond, a wait moves it to its deadline. */
void sim_advance(struct sim *s, nsec by);
void sim_set_wall_ms(struct sim *s, int64_t wall_ms); /* a jump of the wall clock only */

/* For leak checks. */
size_t sim_open_files(struct sim *s);
size_t sim_open_maps(struct sim *s);
uint64_t sim_disk_used(struct sim *s);

/* The generator of the seeds (splitmix64), for tests that need one too. */
struct sim_rng {
	uint64_t state;
};
static inline uint64_t sim_rand(struct sim_rng *r)
{
	uint64_t x = r->state += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static inline uint64_t sim_below(struct sim_rng *r, uint64_t n) /* in [0, n), 0 for n == 0 */
{
	return n ? (uint64_t)(((unsigned __int128)sim_rand(r) * n) >> 64) : 0;
}

#endif
