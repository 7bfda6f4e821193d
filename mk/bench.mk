# The peers that benchmarks run beside the log, where they are installed.
BENCH_HAVE = $(foreach h,lmdb.h:LMDB sqlite3.h:SQLITE rocksdb/c.h:ROCKSDB,\
               $(if $(wildcard /usr/include/$(firstword $(subst :, ,$(h))) /usr/local/include/$(firstword $(subst :, ,$(h)))),\
                 $(lastword $(subst :, ,$(h)))))
BENCH_LIBS = $(if $(filter LMDB,$(BENCH_HAVE)),-llmdb) $(if $(filter SQLITE,$(BENCH_HAVE)),-lsqlite3) \
             $(if $(filter ROCKSDB,$(BENCH_HAVE)),-lrocksdb)

$(B)/bench/log_bench.o: private CFLAGS_EXTRA = $(addprefix -DHAVE_,$(BENCH_HAVE))
