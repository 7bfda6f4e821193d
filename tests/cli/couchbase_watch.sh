#!/usr/bin/env bash
# weir watch couchbase:// and weir couchbase watch: the options, what is refused, what is said when something is wrong,
# and kills.
. "$(dirname "$0")/tap.sh.inc"
. "$(dirname "$0")/cluster.sh.inc"
cluster main --nodes 2 --replicas 1 --vbuckets 64 --load 40000 --reader bob:bobpw
export COUCHBASE_PASSWORD=password
host=127.0.0.1:$port
to=couchbase://$host/default

lines() { [ "$(wc -l <"$1")" -eq "$2" ] || { echo "# $(wc -l <"$1") lines, not $2"; cat "$dir/err"; return 1; }; }
saved() { [ -s "$1" ] || { echo "# $1 is not there"; return 1; }; }

# ---- exactly once ----

killed=0
for _ in 1 2 3 4 5; do
	"$weir" watch "$to" -f --from oldest --token "$dir/token" --out "$dir/seen" 2>/dev/null &
	pid=$!
	sleep "0.$((RANDOM % 30 + 15))"
	kill -9 $pid 2>/dev/null && killed=$((killed + 1))
	wait $pid 2>/dev/null
done
"$weir" watch "$to" --token "$dir/token" --out "$dir/seen"
t "the watch was killed $killed times" test "$killed" -gt 0
t "no event is missing and none came twice" lines "$dir/seen" 40000
sort -u "$dir/seen" >"$dir/unique"
t "they are all different" lines "$dir/unique" 40000
run "$weir" watch "$to" --token "$dir/token" --out "$dir/seen"
t "another run adds nothing" lines "$dir/seen" 40000
: >"$dir/short"
run "$weir" watch "$to" --token "$dir/token" --out "$dir/short"
t "an output file shorter than the token remembers is refused" gives 2 "shorter"

# ---- where to start ----

run "$weir" watch "$to" --limit 39990 --token "$dir/t2"
run "$weir" watch "$to" --resume-after "$(head -1 "$dir/t2")"
t "--resume-after goes on behind a token" lines "$dir/out" 10
run "$weir" watch "$to" --resume-after nonsense
t "a token that is none is refused" gives 2 "token"
run "$weir" watch "$to" --since 2100-01-01
t "--since passes over what is older" lines "$dir/out" 0
run "$weir" watch "$to" --since 2000-01-01 --limit 5
t "--since lets through what is newer" lines "$dir/out" 5
run "$weir" watch "$to" --since yesterday
t "--since takes a time" gives 2 "2026-01-31T10:00:00Z"
run "$weir" watch "$to" --since -5m --from now
t "two ways to start exclude each other" gives 2 "exclude"
run "$weir" couchbase watch $host/default --token "$dir/t2" --checkpoint "$dir/cp"
t "so do a token and checkpoints" gives 2 "exclude"
run "$weir" couchbase watch $host/default --member 4294967297/4294967298
t "a member number that no 32 bits hold is refused" gives 2 "N/TOTAL"
run "$weir" couchbase watch $host/default --password-file "$dir"
t "a password file that is a directory is told as one" gives 1 "directory"
closed() { run bash -c 'exec >&-; exec "$@"' closed "$@"; }
closed "$weir" couchbase watch $host/default
t "a standard output that is closed is told, and no file takes its place" gives 1 "standard output: Bad file"
run "$weir" couchbase watch $host/default --token "$dir/t3" --out /dev/full
t "an output that cannot be cut back takes no token" gives 2 "not a regular file"

# A management port that is taken for the data service's: it waits for a line that never comes.
printf 'hosts: [127.0.0.1:%s]\nuser: Administrator\npassword: "%s"\nbucket: default\nconnect_timeout: 300ms\n' "$http" password >"$dir/http.yml"
run "$weir" couchbase watch -c "$dir/http.yml"
t "a host that says nothing is named" gives 7 "nothing came from 127.0.0.1:$http"

# ---- a place for checkpoints that cannot be written ----

# Its saves go through unsaved.new, where a directory is in the way.
mkdir "$dir/unsaved.new"
"$weir" couchbase watch $host/default --checkpoint "$dir/unsaved" >"$dir/held" 2>"$dir/why" &
pid=$!
until_true grep -qs 'cannot be saved' "$dir/why"
t "checkpoints that cannot be saved are told, with the reason" grep -q 'cannot be saved, trying again: .*unsaved.new' "$dir/why"
t "and nothing is handed out before they can" lines "$dir/held" 0
rmdir "$dir/unsaved.new"
wait $pid
t "then all comes" lines "$dir/held" 40000
run "$weir" couchbase watch $host/default --checkpoint "$dir/last" --limit 10
mkdir "$dir/last.new"
run "$weir" couchbase watch $host/default --checkpoint "$dir/last"
t "a last save that fails is told, and is no success" gives 2 "weir: the last save failed: saving checkpoints to $dir/last: $dir/last.new"
t "after all that came was printed" lines "$dir/out" 39990
printf 'hosts: [%s]\nuser: Administrator\npassword: "%s"\nbucket: default\ncheckpoint: {file: %s}\n' $host password "$dir/unsaved" >"$dir/c.yml"
echo nonsense >"$dir/unsaved"
run "$weir" couchbase status -c "$dir/c.yml"
t "damaged checkpoints are told" gives 6 "no list of checkpoints"
hints() { grep 'oplog repair' "$dir/err"; }
t "without advice about logs" eval '! hints'

# ---- how it is printed, when it ends ----

run "$weir" watch "$to" --format table --limit 3
t "--format table has a heading and a row for each" lines "$dir/out" 4
t "with the key and the document" gives 0 '{"n":'
run "$weir" watch "$to" --format canonical --limit 1
t "--format canonical writes types out" gives 0 '$numberLong'
run "$weir" watch "$to" --format pretty --limit 1
t "--format pretty takes lines" gives 0 '  "operationType": "replace"'
admin() { # METHOD PATH BODY, of the management port
	exec 3<>"/dev/tcp/127.0.0.1/$http" || return 1
	printf '%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Basic QWRtaW5pc3RyYXRvcjpwYXNzd29yZA==\r\n' "$1" "$2" >&3
	printf 'Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s' ${#3} "$3" >&3
	read -r _ status _ <&3
	exec 3<&- 3>&-
	[ "$status" = 200 ]
}
scopes=/pools/default/buckets/default/scopes
admin POST $scopes name=shop
admin POST $scopes/shop/collections name=orders
run "$weir" couchbase watch $host/default --scope shop --system-events --format table
t "an event that has no time is shown without one" gives 0 "                         create"
t "and its operation whole" gives 0 "createCollection"
"$weir" couchbase watch -f --scope shop --collections orders --system-events $host/default >"$dir/out" 2>"$dir/err" &
pid=$!
for _ in $(seq 100); do [ "$(wc -l <"$dir/out")" -ge 64 ] && break; sleep 0.05; done # every vBucket told of its beginning
admin DELETE $scopes/shop/collections/orders ""
wait $pid
code=$?
t "who follows a collection that is dropped is told" gives 3 "nothing is left to follow"
run bash -c 'ulimit -f 8; exec "$@"' limited "$weir" watch "$to" --out "$dir/limited"
t "so is who may write no larger files" gives 1 "File too large"
run "$weir" watch "$to" -f --from now --timeout 300ms
t "--timeout ends a follow with its own exit code" gives 7 "no event for 300ms"
for option in "--written" "--noops" "--full-document required"; do
	# shellcheck disable=SC2086
	run "$weir" watch "$to" $option
	t "$option is refused with a reason" gives 2 "does not go with couchbase://: "
done

"$weir" couchbase watch -f --checkpoint "$dir/cp.json" $host/default >"$dir/follow" 2>"$dir/err" &
pid=$!
followed() { [ "$(wc -l <"$dir/follow")" -ge 40000 ]; }
until_true followed
kill -INT $pid
wait $pid
code=$?
: >"$dir/out"
t "Ctrl-C ends in good order" gives 0
t "and saves the checkpoints" saved "$dir/cp.json"
run "$weir" couchbase watch --checkpoint "$dir/cp.json" $host/default
t "so that nothing comes again" lines "$dir/out" 0

# ---- what is wrong is said ----

run "$weir" watch "$to" --token "$dir/nodir/token"
t "a token file that cannot be written is noticed at the start" gives 1 "cannot save the token"
t "before anything is printed" lines "$dir/out" 0
: >"$dir/empty"
run "$weir" watch "$to" --token "$dir/empty"
t "an empty token file is an error" gives 2 "is empty"
run "$weir" watch "$to" --out /dev/full
t "a full disk is told" gives 1 "cannot write the events to /dev/full: No space left on device"
run "$weir" couchbase watch $host/nope
t "a bucket that is not there is told" gives 4 "there is no bucket nope"
run env COUCHBASE_PASSWORD=bobpw "$weir" couchbase watch -u bob $host/default
t "who may not stream is told which role is missing" gives 4 "data_dcp_reader"
run env COUCHBASE_PASSWORD= "$weir" couchbase watch $host/default
t "a login without a password is told how to give one" gives 4 'COUCHBASE_PASSWORD is not set'
run "$weir" couchbase watch --scope nope $host/default
t "a scope that is not there is told" gives 3 "no scope nope"

"$weir" couchbase watch -f --from now --token "$dir/t3" --out "$dir/o3" $host/default >"$dir/out" 2>"$dir/err" &
pid=$!
until_true test -s "$dir/t3" # it is connected when it knows its place
kill $fake_pid
until_true grep -q "trying again" "$dir/err"
kill -INT $pid
wait $pid
code=$?
t "lost nodes are told, and Ctrl-C still ends it" gives 0 "connected to 0 of 2 nodes only, trying again"
finish
