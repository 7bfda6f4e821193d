#!/usr/bin/env bash
# weir query: filters, pipelines, formats, bad input.
. "$(dirname "$0")/tap.sh.inc"

lines() { [ "$(grep -c . "$dir/out")" -eq "$1" ] || { echo "# $(grep -c . "$dir/out") lines, not $1"; cat "$dir/err"; return 1; }; }
is() { [ "$(cat "$dir/out")" = "$1" ] || { echo "# got:"; cat "$dir/out" "$dir/err"; return 1; }; }
printf '%s\n' '{"_id":1,"n":1,"tags":["a","b"]}' '{"_id":2,"n":2.5,"tags":[]}' '{"_id":3,"n":null}' >"$dir/in"

run "$weir" query "$dir/in"
t "without a filter every document comes out" lines 3
run "$weir" query "$dir/in" --filter '{"n": {"$gt": 1}}'
t "a filter keeps what matches" is '{"_id":2,"n":2.5,"tags":[]}'
run "$weir" query "$dir/in" --pipeline '[{"$unwind": "$tags"}, {"$project": {"tags": 1}}]'
t "a pipeline may give several documents for one" lines 2
run "$weir" query "$dir/in" --pipeline '[{"$project": {"_id": 0, "twice": {"$multiply": ["$n", 2]}}}]'
t "expressions keep the types of numbers" is "$(printf '%s\n' '{"twice":2}' '{"twice":5.0}' '{"twice":null}')"
run "$weir" query "$dir/in" --filter '{"n": {"$gt": 0}}' --count
t "--count counts" is 2
run "$weir" query "$dir/in" --limit 1
t "--limit ends early" lines 1
run "$weir" query "$dir/in" --format canonical --limit 1
t "canonical keeps every type" gives 0 '"$numberInt":"1"'
"$weir" query "$dir/in" --format bson >"$dir/in.bson"
run "$weir" query "$dir/in.bson" --input bson
t "BSON goes out and in again" lines 3
head -c 40 "$dir/in.bson" >"$dir/cut.bson"
run "$weir" query "$dir/cut.bson" --input bson
t "BSON that is cut short is told with its byte" gives 2 "byte"
"$weir" query --filter '{"_id": 3}' <"$dir/in" >"$dir/out" 2>"$dir/err"
t "standard input is read" lines 1
run "$weir" query examples/data/earthquakes.json --filter '{"properties.mag": {"$gte": 5}}' --count
t "GeoJSON features are documents" gives 0
run "$weir" query "$dir/in" --filter '{"n": {"$gtt": 1}}'
t "an unknown operator is told with a suggestion" gives 2 '$gt'
run "$weir" query "$dir/in" --filter '{"$where": "1"}'
t "\$where is refused" gives 2 '$where'
run "$weir" query "$dir/in" --pipeline '[{"$projct": {}}]'
t "an unknown stage is told with a suggestion" gives 2 '$project'
run "$weir" query "$dir/in" --pipeline '[{"$set": {"x": {"$divide": ["$n", 0]}}}]'
t "an expression that fails tells the document" gives 2 "line 1"
t "with the number that MongoDB gives such an error" gives 2 "(code 2)"
if [ -e "${TZDIR:-/usr/share/zoneinfo}/America/New_York" ]; then
	run "$weir" query "$dir/in" --limit 1 --pipeline \
		'[{"$project": {"_id": 0, "h": {"$hour": {"date": {"$date": "2020-07-01T12:00:00Z"}, "timezone": "America/New_York"}}}}]'
	t "the system's time zones have their names" is '{"h":8}'
fi
run "$weir" query "$dir/in" --filter '{"n": {"$gt": 1}, "tags": {"$size": 0}}' --explain
t "--explain shows the compiled form" gives 0 "n"
run "$weir" query --list
t "--list has match operators" gives 0 '$elemMatch'
t "--list has expression operators" gives 0 '$dateToString'
t "--list has stages" gives 0 '$unwind'
t "--list has update operators" gives 0 '$push'
"$weir" query --list-markdown >"$dir/operators.md"
t "docs/manual/operators.md is what the tables say" cmp "$dir/operators.md" docs/manual/operators.md
printf '%s\n' '{"a":1}' '{"a":' '{"a":3}' >"$dir/bad"
run "$weir" query "$dir/bad"
t "a malformed line is told with its number" gives 2 "line 2"
run "$weir" query "$dir/bad" --on-error skip
t "--on-error skip goes on and exits 1" gives 1
run "$weir" query "$dir/none"
t "a missing file is exit code 3" gives 3
finish
