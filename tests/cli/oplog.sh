#!/usr/bin/env bash
# append, import, dump, stat, verify, repair, trim, watch as a user runs them.
. "$(dirname "$0")/tap.sh.inc"

count() { [ "$(grep -c . "$1")" -eq "$2" ] || { echo "# $(grep -c . "$1") lines, not $2"; head -5 "$1"; return 1; }; }
has() { grep -qF -- "$2" "$1" || { echo "# no $2 in:"; head -5 "$1"; return 1; }; }

run "$weir" oplog append "$log" shop.orders insert '{"_id": 1, "qty": 2, "tags": ["a", "b", "c"]}'
t "append insert prints the position" gives 0 '"offset":0'
run "$weir" oplog append "$log" shop.orders update '{"_id": 1}' '{"$inc": {"qty": 5}, "$pop": {"tags": 1}}'
t "append update resolves the operators" gives 0 '"offset":1'
run "$weir" oplog append "$log" shop.orders replace '{"_id": 1, "qty": 9}'
run "$weir" oplog append "$log" shop.orders delete '{"_id": 1}'
run "$weir" oplog append "$log" shop.orders create
run "$weir" oplog append "$log" shop.orders createIndex '{"v": 2, "key": {"qty": 1}, "name": "qty_1"}'
run "$weir" oplog append "$log" shop.orders rename shop.old
run "$weir" oplog append "$log" shop.old drop
run "$weir" oplog append "$log" shop dropDatabase
run "$weir" oplog append "$log" shop noop '{"msg": "hello"}'
t "append takes every operation" gives 0 '"offset":9'
run "$weir" oplog append "$log" shop.orders updat '{}' '{}'
t "a misspelt operation suggests the right one" gives 2 "did you mean update"
run "$weir" oplog append "$log" shop.orders insert '{"_id": 1'
t "malformed JSON tells line and column" gives 2 "line 1, column"
run "$weir" oplog append "$log" shop.orders update '{"_id": 7}' '{"$set": {"x": 1}}'
t "an update of an unknown document is exit code 3" gives 3
run "$weir" oplog append "$log" shop.orders update '{"_id": 7}' '{"$sett": {"x": 1}}' --before '{"_id": 7}'
t "an unknown update operator is told with its place" gives 2 '$sett'
printf '%s\n' '{"op":"insert","ns":"shop.orders","doc":{"_id":10}}' \
	'{"op":"update","ns":"shop.orders","key":{"_id":10},"update":{"$set":{"x":1}}}' >"$dir/ops"
"$weir" oplog append "$log" - <"$dir/ops" >"$dir/out" 2>"$dir/err"
t "append reads operations from standard input" count "$dir/out" 2

run "$weir" watch "$log" shop.orders
cp "$dir/out" "$dir/events"
t "watch shows a collection's events" has "$dir/events" '"operationType":"insert"'
t "updateDescription holds the value after the update" has "$dir/events" '"updatedFields":{"qty":7}'
t "a shortened array is a truncated array" has "$dir/events" '"truncatedArrays":[{"field":"tags","newSize":2}]'
run "$weir" watch "$log" --filter '{"operationType": "delete"}'
t "watch filters" count "$dir/out" 1
run "$weir" watch "$log" --filter '{"documentKey._id": 10}'
t "watch filters by documentKey._id" count "$dir/out" 2
run "$weir" watch "$log" --filter '{"qty": {"$gtt": 1}}'
t "an unknown query operator is told with its place" gives 2 '$gtt'
run "$weir" watch "$log" --pipeline '[{"$bogusStage": {}}]'
t "an unknown stage is told" gives 2 '$bogusStage'
run "$weir" watch "$log" --pipeline '[{"$group": {"_id": 1}}]'
t "a stage that is not permitted is told" gives 2 '$group'
run "$weir" watch "$log" shop.orders --format table
t "the table has a header and a row for each event" has "$dir/out" "OPERATION"
run "$weir" watch "$log" --limit 3 --token "$dir/token"
t "--limit ends after so many events" count "$dir/out" 3
run "$weir" watch "$log" --limit 2 --token "$dir/token"
t "the token file carries on" has "$dir/out" '"operationType":"delete"'
cp "$dir/token" "$dir/token.flipped"
sed -i '1s/^\(.\{20\}\)./\1X/' "$dir/token.flipped"
run "$weir" watch "$log" --token "$dir/token.flipped"
t "a tampered token is refused" gives 2 "token"
"$weir" oplog append "$dir/other" a.b insert '{"_id": 1}' >/dev/null
run "$weir" watch "$dir/other" --token "$dir/token"
t "a token of another log is refused as such" gives 2 "log"
run "$weir" watch "$log" --follow --from now --timeout 200ms
t "--timeout ends with exit code 7" gives 7 "no event"
timeout -s INT 1 "$weir" watch "$log" --follow >/dev/null 2>&1
code=$?
t "Ctrl-C ends a follow in good order" test "$code" -eq 124 -o "$code" -eq 0

run "$weir" oplog dump "$log"
t "dump shows every entry with its types" has "$dir/out" '"$numberInt"'
t "dump shows noops" has "$dir/out" '"operationType":"noop"'
run "$weir" oplog stat "$log"
t "stat counts the entries" gives 0 "entries     12"
run "$weir" oplog stat "$log" --json
t "stat speaks JSON" gives 0 '"entries":12'
run "$weir" oplog verify "$log"
t "verify finds a whole log whole" gives 0 "whole"

# import
printf '%s\n' '{"id": "a", "n": 1}' '{"id": "b", "n": 2}' '{"id": "c", "n": 3}' >"$dir/three.ndjson"
run "$weir" oplog import "$dir/imp" "$dir/three.ndjson" --ns x.y --key id
t "import takes NDJSON" gives 0 "3 inserted"
run "$weir" oplog import "$dir/imp" "$dir/three.ndjson" --ns x.y --key id
t "a second import changes nothing" gives 0 "3 unchanged"
sed 's/"n": 2/"n": 20/' "$dir/three.ndjson" >"$dir/changed.ndjson"
run "$weir" oplog import "$dir/imp" "$dir/changed.ndjson" --ns x.y --key id
t "an existing key becomes an update" gives 0 "1 updated"
run "$weir" watch "$dir/imp" --filter '{"operationType": "update"}'
t "with its exact difference" has "$dir/out" '"updatedFields":{"n":20}'
echo '[{"_id": 1}, {"_id": 2}]' >"$dir/array.json"
run "$weir" oplog import "$dir/imp2" "$dir/array.json" --ns x.y
t "import takes a JSON array" gives 0 "2 inserted"
run "$weir" oplog import "$dir/imp3" examples/data/earthquakes.json --ns usgs.quakes --key id
t "import takes a FeatureCollection" gives 0 "1707 inserted"
"$weir" oplog import "$dir/imp4" - --ns x.y --key id <"$dir/three.ndjson" >"$dir/out" 2>"$dir/err"
code=$?
t "import reads standard input" gives 0 "3 inserted"
cat "$dir/three.ndjson" | "$weir" oplog import "$dir/imp5" - --ns x.y --key id >"$dir/out" 2>"$dir/err"
code=$?
t "import reads a pipe" gives 0 "3 inserted"
printf '%s\n' '{"id": "a"}' '{"id": "b", "n": }' '{"id": "c"}' >"$dir/bad.ndjson"
run "$weir" oplog import "$dir/imp6" "$dir/bad.ndjson" --ns x.y --key id
t "a malformed line is told with its number" gives 2 "line 2"
run "$weir" watch "$dir/imp6"
t "and nothing was imported" count "$dir/out" 0
run "$weir" oplog import "$dir/imp6" "$dir/bad.ndjson" --ns x.y --key id --on-error skip
t "--on-error skip imports the rest and exits 1" gives 1 "2 inserted"
printf '%s' '[{"_id": 1}, 5, {"_id": 2}] more' >"$dir/odd.json"
run timeout 60 "$weir" oplog import "$dir/imp7" "$dir/odd.json" --ns x.y --on-error skip
t "skip passes elements that are no documents, and ends where the text cannot be followed" gives 1 "2 inserted"
t "and tells each place once" gives 1 "odd.json: line 1, column 14: expected a document; skipped"
{
	echo '{"_id": 1}'
	printf '{"_id": 2, "a": "'
	head -c 51000000 /dev/zero | tr '\0' x
	echo '"}'
} >"$dir/large.ndjson"
run "$weir" oplog import "$dir/imp8" "$dir/large.ndjson" --ns x.y
t "a document that is too large is told with its line" gives 1 "line 2: a document of 51000022 bytes"
run "$weir" watch "$dir/imp8"
t "and nothing was imported" count "$dir/out" 0
run "$weir" oplog import "$dir/imp8" "$dir/large.ndjson" --ns x.y --on-error skip
t "skip imports the documents beside it" gives 1 "1 inserted"
run "$weir" oplog import "$dir/imp6" "$dir/three.ndjson" --ns x.y --key nokey
t "a missing key is told" gives 2 "nokey"
run "$weir" oplog import "$dir/imp6" "$dir/nofile" --ns x.y
t "a missing file is exit code 3" gives 3 "nofile"
run "$weir" oplog import "$dir/imp6" "$dir/three.ndjson"
t "a missing --ns is told" gives 2 "--ns"
run "$weir" oplog import "$dir/hist" examples/data/earthquakes.json --ns usgs.quakes --key id \
	--insert-time properties.time --replace-time properties.updated
t "import makes a history" gives 0 "1707 inserted, 0 updated, 1707 replaced"
run "$weir" watch "$dir/hist" --pipeline '[{"$project": {"wallTime": 1}}]' --format canonical
sorted() { grep -o '"wallTime":{"$date":{"$numberLong":"[0-9]*"' "$dir/out" | grep -o '[0-9]*"$' >"$dir/times"; sort -c -n "$dir/times"; }
t "in the order of time" sorted

# damage
cp -r "$dir/imp3" "$dir/damaged"
segment=$(find "$dir/damaged" -type f -size +100k | sort | head -1)
printf 'XXXX' | dd of="$segment" bs=1 seek=100000 conv=notrunc 2>/dev/null
run "$weir" oplog verify "$dir/damaged"
t "verify finds damage, with its place, and exits 6" gives 6 "damaged"
run "$weir" watch "$dir/damaged"
t "watch reports damage and exits 6" gives 6
run "$weir" oplog repair "$dir/damaged"
t "repair refuses to lose entries" gives 6 "--accept-loss"
run "$weir" oplog repair "$dir/damaged" --accept-loss
t "repair --accept-loss mends it" gives 0 "repaired"
run "$weir" oplog append "$dir/damaged" x.y insert '{"_id": "after"}'
t "a repaired log takes appends" gives 0

# a second writer
mkfifo "$dir/fifo"
"$weir" oplog append "$log" - <"$dir/fifo" >/dev/null 2>&1 &
writer=$!
exec 9>"$dir/fifo"
writes() { [ -n "$(find /proc/$writer/fd -lname '*.seg' 2>/dev/null)" ]; } # what it opens once it is the writer
until_true writes
run "$weir" oplog append "$log" a.b insert '{"_id": 1}'
t "a second writer is refused" gives 1 "writ"
exec 9>&-
wait $writer

# trim
run "$weir" oplog trim "$log"
t "trim wants to know what to remove" gives 2 "--keep-age"
run "$weir" oplog trim "$log" --keep-bytes 10MB --keep-age 7d
t "retention is set" gives 0 "removed"
run "$weir" oplog stat "$log"
t "and remembered" gives 0 "7.0 days"

# what the input is wrong for leaves nothing behind
run "$weir" oplog append "$dir/fresh" shop.a insert '{bad'
t "a malformed document is told" gives 2 "insert: document: line 1, column 2"
run "$weir" oplog append "$dir/fresh" shop insert '{"_id":1}'
t "and so is half a namespace" gives 2 "DATABASE.COLLECTION"
printf '{"_id":1}\n{bad' >"$dir/bad.json"
run "$weir" oplog import "$dir/fresh" "$dir/bad.json" --ns shop.a
t "and a malformed file" gives 2 "bad.json: line 2, column 2"
t "none of them made a log" test ! -e "$dir/fresh"
finish
