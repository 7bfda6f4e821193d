/* seeds.h: one test over many seeds, several of them at once.
 *
 * A seed's time goes into waiting, not into the processor, so the seeds are shared out among worker processes: this
 * program once more, started with the test's name. A failure names its seed; WEIR_SEED=n runs that one alone, in this
 * process, where a debugger sees it.
 *
 *	int main(int argc, char **argv)
 *	{
 *		static const struct seeded rows[] = { { "chaos", run_chaos }, { 0 } };
 *		if (argc > 1)
 *			return seeds_worker(argc, argv, rows);
 *		...
 *	}
 */
#ifndef TESTS_SEEDS_H
#define TESTS_SEEDS_H

struct seeded {
	const char *name;
	void (*run)(unsigned seed);
};

/* Runs seeds 1 to n of the row, or the one that WEIR_SEED names; fails the test with the first seed that fails. */
void seeds_run(const struct seeded *row, long n);

/* What main returns when it was started as a worker. */
int seeds_worker(int argc, char **argv, const struct seeded *rows);

/* The seed that runs; 0 none. For messages. */
unsigned seeds_current(void);

#endif
