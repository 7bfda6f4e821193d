#!/usr/bin/env bash
# A watch with --token and --out that is killed again and again writes every event once.
. "$(dirname "$0")/tap.sh.inc"

rounds=20
[ -n "${WEIR_TORTURE:-}" ] && rounds=500
filter='{"fullDocument.properties.mag": {"$gte": 1}}'
"$weir" oplog append "$log" usgs.quakes create >/dev/null
for part in 1 2 3; do
	"$weir" oplog import "$log" examples/data/earthquakes.json --ns "usgs.quakes$part" --key id --batch 20 -q \
		--insert-time properties.time --replace-time properties.updated
done &
import=$!
killed=0
for _ in $(seq $rounds); do
	"$weir" watch "$log" -f --from oldest --filter "$filter" --token "$dir/token" --out "$dir/seen" &
	pid=$!
	sleep "0.0$((RANDOM % 90 + 10))"
	kill -9 $pid 2>/dev/null && killed=$((killed + 1))
	wait $pid 2>/dev/null
done
wait $import
"$weir" watch "$log" --filter "$filter" --from oldest >"$dir/whole"
"$weir" watch "$log" --filter "$filter" --from oldest --token "$dir/token" --out "$dir/seen"
t "the watch was killed $killed times" test "$killed" -gt 0
t "there was something to see" test "$(wc -l <"$dir/whole")" -gt 5000
t "no event is missing, none came twice, the order is the log's" cmp "$dir/whole" "$dir/seen"

# A token file that is not one, and an output file that is not the one.
echo garbage >"$dir/garbage"
run "$weir" watch "$log" --token "$dir/garbage"
t "a token file with something else in it is refused" gives 2 "token"
cp "$dir/token" "$dir/token2"
: >"$dir/short"
run "$weir" watch "$log" --token "$dir/token2" --out "$dir/short"
t "an output file shorter than the token remembers is refused" gives 2 "shorter"
run "$weir" watch "$log" --token "$dir/nodir/token"
t "a token file that cannot be saved is told" gives 1 "cannot save the token"
: >"$dir/empty"
run "$weir" watch "$log" --token "$dir/empty"
t "an empty token file is an error" gives 2 "is empty"
finish
