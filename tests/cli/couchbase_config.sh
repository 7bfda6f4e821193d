#!/usr/bin/env bash
# Configuration files of the couchbase commands: translating, checking, and status against the simulated cluster.
. "$(dirname "$0")/tap.sh.inc"
cd "$(dirname "$0")/../.." || exit 1

t "the manual's tables are those of the option table" tools/manual-tables --check "$weir" docs/manual/couchbase.md

cat >"$dir/go.yml" <<'YML'
hosts: [127.0.0.1:8091]
username: Administrator
password: password
bucketName: default
maxQueueSize: 100
dcp: {mode: finite, group: {name: g, membership: {type: static}}}
metadata: {type: file, config: {fileName: cp.json}}
YML
run "$weir" couchbase import-config "$dir/go.yml"
t "go-dcp's file is translated, with what has no counterpart" gives 0 "# line 5: maxQueueSize: there is no such buffer"
cp "$dir/out" "$dir/weir.yml"
run "$weir" couchbase check-config "$dir/weir.yml"
t "and the translation is good" gives 0 "group g, member 1 of 1"
run "$weir" couchbase import-config "$dir/none.yml"
t "a file that is not there has its own exit code" gives 3 "none.yml"
run "$weir" couchbase check-config "$dir"
t "a directory is told" gives 1 "directory"
run timeout 60 "$weir" couchbase check-config /dev/zero
t "a file without an end is told" gives 1 "not a configuration"
printf 'hosts: [a]\nuser: u\npasword: p\n' >"$dir/bad.yml"
run "$weir" couchbase check-config "$dir/bad.yml"
t "a misspelt key is told with its place and a suggestion" gives 2 "bad.yml:3:1: unknown key 'pasword'; did you mean password?"
printf 'hosts: [a]\nuser: u\npassword: secret\nbucket: b\n' >"$dir/open.yml"
chmod 644 "$dir/open.yml"
run "$weir" couchbase check-config "$dir/open.yml"
t "a password that anybody may read gets a warning" gives 0 "anybody may read it"
chmod 600 "$dir/open.yml"
run "$weir" couchbase check-config "$dir/open.yml"
t "one that nobody else may read does not" test ! -s "$dir/err"

for wrong in "filter: '{\"\$foo\": 1}'" "filter: '{'" "pipeline: '{}'"; do
	{ cat "$dir/open.yml"; printf 'stream: {%s}\n' "$wrong"; } >"$dir/wrong.yml"
	chmod 600 "$dir/wrong.yml"
	run "$weir" couchbase check-config "$dir/wrong.yml"
	t "stream.$wrong is told" gives 2 "wrong.yml: stream.${wrong%%:*}: "
done

. tests/cli/cluster.sh.inc
cluster main --nodes 2 --replicas 1 --vbuckets 16 --load 200
cat >"$dir/s.yml" <<YML
hosts: 127.0.0.1:$port
user: Administrator
password: \${COUCHBASE_PASSWORD}
bucket: default
stream: {mode: finite}
checkpoint: {file: $dir/cp.json}
YML
run "$weir" couchbase status -c "$dir/s.yml"
t "a variable that is not set is told with its place" gives 2 "s.yml:3:11: the variable COUCHBASE_PASSWORD is not set"
export COUCHBASE_PASSWORD=password
run "$weir" couchbase status -c "$dir/s.yml"
t "without checkpoints everything is lag" gives 0 "16 vBuckets, 0 with a checkpoint, 16 behind"
run "$weir" couchbase status -c "$dir/s.yml" --max-lag 100
t "--max-lag makes a check of it" gives 1 "200 seqnos behind"
run "$weir" couchbase status -c "$dir/s.yml" --max-lag 200
t "that passes when it is not further behind" gives 0
run "$weir" couchbase watch --config "$dir/s.yml"
t "watch takes the configuration" test "$(grep -c . "$dir/out")" = 200
run "$weir" couchbase status -c "$dir/s.yml" --format json
t "and then nothing is behind" gives 0 '"vbuckets":16,"checkpoints":16,"behind":0,"ahead":0,"foreign":0,"seqno":200,"high":200,"lag":0'
cp "$dir/out" "$dir/status.json"
run "$weir" query "$dir/status.json" --filter '{"places":{"$size":16},"places.lag":0}'
t "which is JSON" test -s "$dir/out"
run "$weir" couchbase status -c "$dir/s.yml" --format metrics
t "or Prometheus's text" gives 0 "weir_dcp_total_lag_seqnos 0"
t "with a sample for each vBucket" test "$(grep -c '^weir_dcp_checkpoint_seqno{vbucket="' "$dir/out")" = 16
sed 's/"seqno":1/"seqno":2/' "$dir/cp.json" >"$dir/other.json"
sed "s|cp.json|other.json|" "$dir/s.yml" >"$dir/o.yml"
run "$weir" couchbase status -c "$dir/o.yml"
t "checkpoints that somebody changed have their own exit code" gives 6 "checkpoints cannot be used"
run "$weir" couchbase watch --config "$dir/o.yml"
t "and a watch says so and ends" gives 6 "damaged"
run "$weir" watch "couchbase://Administrator@127.0.0.1:$port/default"
t "weir watch couchbase:// is a door to the same stream" test "$(grep -c . "$dir/out")" = 200
run "$weir" watch "couchbase://Administrator@127.0.0.1:$port/default" --filter '{"documentKey._id":"key-7"}'
t "with filters" test "$(grep -c key-7 "$dir/out")" = 1
run "$weir" watch "couchbase://127.0.0.1:$port/default" --token "$dir/token" --limit 150
run "$weir" watch "couchbase://127.0.0.1:$port/default" --token "$dir/token"
t "with a token the second run shows the rest" test "$(grep -c . "$dir/out")" = 50
run "$weir" watch "couchbase://127.0.0.1:$port"
t "an address without a bucket is a usage error" gives 2 "couchbase://"
kill $fake_pid
wait $fake_pid 2>/dev/null
run "$weir" couchbase status -c "$dir/s.yml" --timeout 1s
t "servers that are gone are told" test "$code" -ne 0 -a ! -s "$dir/out"
finish
