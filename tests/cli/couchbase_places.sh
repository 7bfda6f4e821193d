#!/usr/bin/env bash
# Where checkpoints are kept, through the command line: watch keeps them there, status finds them there.
. "$(dirname "$0")/tap.sh.inc"
cd "$(dirname "$0")/../.." || exit 1
. tests/cli/cluster.sh.inc
cluster main --nodes 2 --replicas 1 --vbuckets 16 --load 200

# place NAME WHERE...: a configuration
place() {
	cat >"$dir/$1.yml" <<YML
hosts: 127.0.0.1:$port
user: Administrator
password: password
bucket: default
group: {name: $1}
stream: {mode: finite}
checkpoint: {$2}
YML
	chmod 600 "$dir/$1.yml"
}

place file "file: $dir/cp.json"
place log "log: $dir/cplog"
for kind in file log; do
	run timeout 200 "$weir" couchbase status -c "$dir/$kind.yml"
	t "$kind: nothing is there yet" gives 0 "16 vBuckets, 0 with a checkpoint, 16 behind"
	run timeout 200 "$weir" couchbase watch --config "$dir/$kind.yml"
	t "$kind: everything comes" test "$(grep -c . "$dir/out")" = 200
	run timeout 200 "$weir" couchbase status -c "$dir/$kind.yml"
	t "$kind: and is kept" gives 0 "16 vBuckets, 16 with a checkpoint, 0 behind"
	run timeout 200 "$weir" couchbase watch --config "$dir/$kind.yml"
	t "$kind: and does not come again" test "$code" = 0 -a ! -s "$dir/out"
done

place none "none: true"
run timeout 200 "$weir" couchbase watch --config "$dir/none.yml"
run timeout 200 "$weir" couchbase watch --config "$dir/none.yml"
t "none: everything comes again" test "$(grep -c . "$dir/out")" = 200

# The documents are changes of the bucket themselves; they are not shown, and only the last one of each is ahead of it.
place bucket "bucket: default"
run timeout 200 "$weir" couchbase status -c "$dir/bucket.yml"
t "bucket: nothing is there yet" gives 0 "16 vBuckets, 0 with a checkpoint, 16 behind"
run timeout 200 "$weir" couchbase watch --config "$dir/bucket.yml"
t "bucket: everything comes" test "$(grep -c . "$dir/out")" = 200
run timeout 200 "$weir" couchbase status -c "$dir/bucket.yml"
t "bucket: and is kept in documents" gives 0 "16 vBuckets, 16 with a checkpoint"
run timeout 200 "$weir" couchbase watch --config "$dir/bucket.yml"
t "bucket: and does not come again" test "$code" = 0 -a ! -s "$dir/out"

sed -i '/"3": /s/"seqno":[0-9]*/"seqno":1/' "$dir/cp.json"
run timeout 200 "$weir" couchbase status -c "$dir/file.yml"
t "a checkpoint that somebody changed is damaged" gives 6 "1 that cannot be read"
run timeout 200 "$weir" couchbase watch --config "$dir/file.yml"
t "its vBucket does not start" gives 6 "the checkpoint of vBucket 3 is damaged"
place file "file: $dir/cp.json, damaged: restart"
run timeout 200 "$weir" couchbase watch --config "$dir/file.yml"
t "or begins anew when told" test "$code" = 0 -a -s "$dir/out" -a "$(grep -c . "$dir/out")" -lt 200

run timeout 200 "$weir" couchbase watch --config "$dir/log.yml" --checkpoint "$dir/other.json"
t "--checkpoint takes the place of what the file says" test "$code" = 0 -a "$(grep -c . "$dir/out")" = 200
finish
