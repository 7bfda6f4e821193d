#!/usr/bin/env bash
# go-dcp, the client whose place weir takes, on the simulated cluster; and the two of them taking turns: each goes on where
# the other's checkpoints, in documents of a bucket, say. docs/conformance-clients.md says what is run.
. "$(dirname "$0")/tap.sh.inc"
. "$(dirname "$0")/../clients/clients.sh.inc"

export QUIET=1 COUCHBASE_PASSWORD=password
go_program godcp go-dcp

# ---- the cluster, and what is done to it ----

cluster godcp --nodes 3 --replicas 1 --vbuckets 64 --add-bucket places --expiry-pager 0.2
t "the simulated cluster starts" test -n "$url"

# ask METHOD PATH [FORM]: the management port's answer is in $dir/answer; fails unless it is 200 or 202.
ask() {
	local form=${3:-} status
	exec 3<>"/dev/tcp/127.0.0.1/$http" || return 1
	printf '%s %s HTTP/1.0\r\nAuthorization: Basic %s\r\nContent-Length: %d\r\n\r\n%s' "$1" "$2" \
		"$(printf Administrator:password | base64)" ${#form} "$form" >&3
	read -r -t 20 status <&3
	exec 3>&-
	case $status in *" 200 "* | *" 202 "*) ;; *)
		echo "$1 $2: $status"
		return 1
		;;
	esac
}
script() { ask POST "/_fake/$1"; }

# configure FILE GROUP [BUCKET]: a file of go-dcp's; checkpoints in the bucket.
configure() {
	cat >"$1" <<-YML
		hosts: [ "http://127.0.0.1:$http" ]
		username: Administrator
		password: password
		bucketName: default
		dcp:
		  group:
		    name: $2
		    membership: { type: static, memberNumber: 1, totalMembers: 1 }
		checkpoint: { type: auto, interval: 1h }
		rollbackMitigation: { disabled: ${MITIGATION:-true} }
		healthCheck: { disabled: true }
		api: { disabled: true }
		metadata:
		  type: couchbase
		  config: { bucket: ${3:-places} }
	YML
}
# godcp CONFIG COUNT OUT: one life of go-dcp.
godcp() { timeout -k 2 150 "$ours/program" "$1" "$2" 100 >"$3" 2>"$3.err" </dev/null; }
# weir FILE OUT: one life of weir, to the end of what is there, as go-dcp's configuration says.
weir_turn() {
	"$weir" couchbase import-config "$1" >"$1.weir" 2>"$2.err" </dev/null || return 1
	chmod 600 "$1.weir"
	timeout -k 2 40 "$weir" couchbase watch --config "$1.weir" >"$2" 2>>"$2.err" </dev/null &
	local pid=$! i
	for ((i = 0; i < 300; i++)); do # it follows: until it has what it should, and a moment longer
		[ "$(grep -c . "$2")" -ge "$3" ] && break
		sleep 0.1
	done
	sleep 0.3
	kill -TERM $pid
	wait $pid
}
# keys OUT: the keys of what came, sorted; of go-dcp's lines or weir's.
keys() { sed -n -e 's/^[a-z]* \(.*-[0-9]*\)$/\1/p' -e 's/.*"documentKey":{"_id":"\([^"]*\)".*/\1/p' "$1" | sort; }
# names NAME N: the keys NAME-0 .. NAME-(N-1), sorted.
names() { for ((i = 0; i < $2; i++)); do echo "$1-$i"; done | sort; }
# same OUT NAME N...: exactly these keys, each once.
same() {
	local out=$1
	shift
	while [ $# -gt 0 ]; do
		names "$1" "$2"
		shift 2
	done | sort >"$dir/want"
	keys "$out" | diff - "$dir/want" >"$dir/diff" && return 0
	head -5 "$dir/diff"
	return 1
}

# ---- go-dcp alone ----

script "load?count=300&name=a"
configure "$dir/one.yml" one
t "go-dcp streams everything that is there" godcp "$dir/one.yml" 300 "$dir/1"
t "each document once" same "$dir/1" a 300
script "load?count=40&name=b"
script "delete?key=a-1"
script "expire?key=a-2"
t "go-dcp goes on from its own checkpoint" godcp "$dir/one.yml" 42 "$dir/2"
grep mutation "$dir/2" >"$dir/2.mutations"
t "with what is new only" same "$dir/2.mutations" b 40
t "a deletion is one" grep -qx "deletion a-1" "$dir/2"
# go-dcp does not ask for the times of deletions, without which there is no opcode for expirations.
t "an expiration is a deletion to go-dcp" grep -qx "deletion a-2" "$dir/2"

# ---- weir goes on, then go-dcp again ----

script "load?count=50&name=c"
t "weir takes over from go-dcp's checkpoints" weir_turn "$dir/one.yml" "$dir/3" 50
t "and shows what go-dcp had not" same "$dir/3" c 50
script "load?count=60&name=d"
t "go-dcp takes over from weir's" godcp "$dir/one.yml" 60 "$dir/4"
t "and shows what weir had not" same "$dir/4" d 60

# ---- after a failover: both checkpoints are of a branch that is not the newest ----

script "rotate?n=2"
script "move?vb=5&node=2"
script "load?count=30&name=e"
t "weir goes on from go-dcp's checkpoint on another branch" weir_turn "$dir/one.yml" "$dir/5" 30
t "nothing is missing and nothing twice" same "$dir/5" e 30
script "load?count=30&name=f"
t "go-dcp goes on from weir's checkpoint on another branch" godcp "$dir/one.yml" 30 "$dir/6"
t "neither there" same "$dir/6" f 30

# ---- the other way round: weir begins ----

configure "$dir/two.yml" two default # its checkpoints in the bucket that is watched
t "weir begins a group of its own, its places in the watched bucket" weir_turn "$dir/two.yml" "$dir/7" 510
script "load?count=70&name=g"
t "go-dcp goes on from there" godcp "$dir/two.yml" 70 "$dir/8"
t "and does not see the checkpoints as documents" same "$dir/8" g 70
script "load?count=20&name=h"
t "then weir" weir_turn "$dir/two.yml" "$dir/9" 20
t "which does not, either" same "$dir/9" h 20

# ---- what go-dcp's own integration test does: that many documents, counted ----

cluster many --nodes 2 --replicas 1 --vbuckets 1024 --load 31591
MITIGATION=false configure "$dir/many.yml" many default
t "31,591 documents in 1,024 vBuckets, with rollback mitigation" godcp "$dir/many.yml" 31591 "$dir/10"
t "each once" same "$dir/10" key 31591
finish
