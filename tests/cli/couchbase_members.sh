#!/usr/bin/env bash
# Members of a group on the command line: who they are comes from the configuration, and status shows them.
. "$(dirname "$0")/tap.sh.inc"
. "$(dirname "$0")/cluster.sh.inc"
cluster main --nodes 2 --replicas 1 --vbuckets 16 --load 200 --add-bucket places
export COUCHBASE_PASSWORD=password

config() { # KIND ID
	cat >"$dir/$2.yml" <<YML
hosts: 127.0.0.1:$port
user: Administrator
password: \${COUCHBASE_PASSWORD}
bucket: default
group:
  name: $1
  membership: {kind: $1, id: $2, heartbeat: 100ms, monitor: 50ms, tolerance: 4s, rebalance_delay: 200ms}
checkpoint: {bucket: places, interval: 50ms}
YML
}
members() { # COUNT CONFIG: waits until status shows so many, and nothing open
	until_true so_many_members "$@" || { sed 's/^/# /' "$dir/out" "$dir/err"; return 1; }
}
so_many_members() {
	run "$weir" couchbase status -c "$dir/$2.yml" --format json
	[ "$(grep -c '"member":' "$dir/out")" = "$1" ] && grep -q '"lag":0,"damaged":0$' "$dir/out"
}

for kind in couchbase lil_couchbase; do
	config $kind a-$kind
	config $kind b-$kind
	"$weir" couchbase watch -c "$dir/a-$kind.yml" >"$dir/a.out" 2>"$dir/a.err" </dev/null &
	a=$!
	t "$kind: the first member is alone" members 1 a-$kind
	"$weir" couchbase watch -c "$dir/b-$kind.yml" >"$dir/b.out" 2>"$dir/b.err" </dev/null &
	b=$!
	t "$kind: a second one is seen" members 2 a-$kind
	run "$weir" couchbase status -c "$dir/a-$kind.yml"
	t "$kind: in the table, too, with its share" gives 0 "      2         8"
	kill -9 $a
	wait $a 2>/dev/null
	t "$kind: one that is killed is taken off" members 1 b-$kind
	run "$weir" couchbase status -c "$dir/b-$kind.yml"
	t "$kind: and the other has everything" gives 0 "      1        16"
	kill $b
	wait $b 2>/dev/null
	t "$kind: one that ends leaves" members 0 b-$kind
	t "$kind: together they have shown everything" \
		test "$(cat "$dir/a.out" "$dir/b.out" | grep -o '"key-[0-9]*"' | sort -u | grep -c .)" = 200
done

# every member by its name
cat >"$dir/set.yml" <<YML
hosts: 127.0.0.1:$port
user: Administrator
password: \${COUCHBASE_PASSWORD}
bucket: default
stream: {mode: finite}
group: {total: 2, membership: {kind: statefulset, host_name: "\${POD}"}}
YML
: >"$dir/all"
for pod in orders-0 orders-1; do
	run env POD=$pod "$weir" couchbase watch -c "$dir/set.yml"
	cat "$dir/out" >>"$dir/all"
done
t "the pods of a StatefulSet share everything" test "$(grep -c . "$dir/all")" = 200
run env POD=orders-2 "$weir" couchbase watch -c "$dir/set.yml"
t "one beyond the total is told" gives 2 "member 3 of 2"
run "$weir" couchbase status -c "$dir/set.yml"
t "without a variable its place is told" gives 2 "POD is not set"
POD=orders-0 run "$weir" couchbase status -c "$dir/set.yml"
t "a kind without a list shows none" gives 0 "16 vBuckets"
run "$weir" couchbase watch --member auto/0 127.0.0.1:$port/default
t "--member auto/TOTAL wants a total" gives 2 "auto/TOTAL"
run "$weir" couchbase watch --member 3/2 127.0.0.1:$port/default
t "--member N/TOTAL counts from one to the total" gives 2 "N/TOTAL"
sed 's/kind: statefulset.*/kind: dynamic}}/' "$dir/set.yml" >"$dir/dynamic.yml"
run "$weir" couchbase watch -c "$dir/dynamic.yml"
t "members that a program numbers are for programs" gives 2 "dynamic is for programs"
run "$weir" couchbase watch -c "$dir/dynamic.yml" --member 1/1
t "unless a number is given" test "$(grep -c . "$dir/out")" = 200
sed 's/kind: dynamic/kind: lease/' "$dir/dynamic.yml" >"$dir/lease.yml"
run "$weir" couchbase check-config "$dir/lease.yml"
t "a lease without its name is told" gives 2 "group.lease.name is missing"
finish
