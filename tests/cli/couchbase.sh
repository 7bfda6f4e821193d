#!/usr/bin/env bash
# weir couchbase watch, against the simulated cluster.
. "$(dirname "$0")/tap.sh.inc"

lines() { [ "$(grep -c . "$dir/out")" -eq "$1" ] || { echo "# $(grep -c . "$dir/out") lines, not $1"; cat "$dir/err"; return 1; }; }
silent_about() { ! grep -q "$1" "$dir/err" "$dir/out"; }
. "$(dirname "$0")/cluster.sh.inc"
cluster main --nodes 2 --replicas 1 --vbuckets 64 --load 200
export COUCHBASE_PASSWORD=password
to=127.0.0.1:$port/default

run "$weir" couchbase watch --checkpoint "$dir/cp.json" $to
t "everything that is there comes out once" lines 200
run "$weir" couchbase watch --checkpoint "$dir/cp.json" $to
t "a second run has nothing left to show" lines 0
run "$weir" couchbase watch --limit 3 $to
t "--limit ends early" lines 3
run "$weir" couchbase watch --filter '{"documentKey._id":"key-7"}' $to
t "a filter leaves one" gives 0 '"operationType":"replace"'
run "$weir" couchbase watch --member 1/2 $to
first=$(grep -c . "$dir/out")
run "$weir" couchbase watch --member 2/2 $to
t "two members share everything" lines $((200 - first))
run "$weir" couchbase watch --filter '{"a":{"$nope":1}}' $to
t "a filter that is wrong is told" gives 2 '$nope'
run "$weir" couchbase watch nothing
t "an operand without a bucket is a usage error" gives 2 "HOST"
run env COUCHBASE_PASSWORD=wrong "$weir" couchbase watch $to
t "a wrong password has its own exit code" gives 4 "login"
run "$weir" couchbase watch --collections nope $to
t "a collection that is not there is told" gives 3 "nope"
run "$weir" couchbase watch http://127.0.0.1:$http/default
t "the management service is a way in" lines 200
run "$weir" couchbase watch http://127.0.0.1:$http
t "and needs a bucket, too" gives 2 "HOST"
run env COUCHBASE_PASSWORD=wrong "$weir" couchbase watch http://127.0.0.1:$http/default
t "where a wrong password is told, but not repeated" gives 4 "refused user"
t "nor anywhere else" silent_about wrong
run "$weir" couchbase watch --tls http://127.0.0.1:$http/default
t "with TLS on it is refused" gives 2 "without TLS"
run "$weir" couchbase watch 127.0.0.1:$http/default
t "its port taken for the data service's is told at once" gives 2 "speaks HTTP: use http://127.0.0.1:$http"
run "$weir" watch couchbases://127.0.0.1:$port/default
t "a port without TLS, too" gives 2 "without TLS: use couchbase://127.0.0.1:$port"
printf 'hosts: [http://127.0.0.1:%s]\nuser: Administrator\npassword: password\nbucket: default\ncheckpoint: {file: cp.json}\n' \
	$port >"$dir/wrong.yml"
run "$weir" couchbase status --config "$dir/wrong.yml"
t "and by the status" gives 2 "use couchbase://127.0.0.1:$port"

kill $fake_pid
cluster second --nodes 2 --vbuckets 64 --load 50 --external
for network in auto external; do
	printf 'hosts: [127.0.0.1:%s]\nuser: Administrator\npassword: password\nbucket: default\nnetwork: %s\n' \
		$port $network >"$dir/$network.yml"
	run "$weir" couchbase watch --config "$dir/$network.yml" --limit 50
	t "nodes are reached by their alternate addresses: network $network" lines 50
done

example=$(realpath "${WEIR_BUILD:-$(dirname "$weir")}/examples/couchbase_listener")
if [ -x "$example" ]; then
	cd "$dir" || exit 1
	run "$example" 127.0.0.1:$port default
	t "the example of a listener takes everything" gives 0 "50 events"
	t "and writes it out" test "$(wc -l <"$dir/sink.ndjson")" = 50
	run "$example" 127.0.0.1:$port default
	t "and goes on where it stopped" gives 0 "0 events"
else
	skip "the example of a listener" "there is no $example"
fi
finish
