#!/usr/bin/env bash
# The demonstration checks itself; here it is run.
. "$(dirname "$0")/tap.sh.inc"
build=$(cd "$(dirname "$weir")" && pwd)
if [ ! -x "$build/fake-couchbase" ]; then
	skip "the demonstration on the simulated cluster" "there is no $build/fake-couchbase"
	finish
fi
run env PATH="$build:$PATH" timeout 400 "$(dirname "$0")/../../examples/demo-couchbase"
t "the stream tells what is lost, and misses nothing over a failover and a kill" gives 0 "the same: nothing is missing"
finish
