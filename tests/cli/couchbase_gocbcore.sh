#!/usr/bin/env bash
# gocbcore, Couchbase's Go core, against the simulated cluster: a program of ours that uses its key-value and DCP
# agents, then its own DCP tests, from its module's source. docs/conformance-clients.md says what is run and what not.
. "$(dirname "$0")/tap.sh.inc"
. "$(dirname "$0")/../clients/clients.sh.inc"

version=v10.8.1
theirs=$clients/gocbcore-$version
go_program go gocbcore

# ---- our program ----

cluster agents --nodes 3 --replicas 1 --vbuckets 64 --magma --oso 1
t "the simulated cluster starts" test -n "$url"
timeout 200 "$ours/program" "$url" Administrator password default >"$dir/agents" 2>&1 </dev/null
cluster external --nodes 3 --replicas 1 --vbuckets 64 --magma --oso 1 --external
timeout 200 "$ours/program" "$url" Administrator password default >"$dir/external" 2>&1 </dev/null
while read -r name; do
	t "gocbcore: $name" named "$dir/agents" "$name"
	t "gocbcore, by alternate addresses: $name" named "$dir/external" "$name"
done <<END
login of the key-value agent
set and get
delete
expiry
login of the DCP agent
sequence numbers of every vBucket
streams of every vBucket open
every change that was there arrives
every change made meanwhile arrives
sequence numbers rise within their snapshots
failover logs
observe
system events of scopes and collections
a finite stream ends at its end
a resumed stream sends only what follows
an unknown branch is rolled back
stream ids: two filtered streams of one vBucket
out-of-order snapshots begin and end
history of every version
END

# ---- its own tests: each has a cluster of its own, so that they can run side by side (they sleep a lot) ----

suite=(TestBasic TestScopesBasic TestScopesDrops TestCollectionsBasic TestCollectionsScopeDrop TestCollectionsDrop
	TestMutationsCollection TestOpenStreamRetry TestChangeStreamsAgent)
if [ ! -x "$theirs/dcp.test" ]; then
	source=$(cd "$ours" && go list -m -f '{{.Dir}}' github.com/couchbase/gocbcore/v10 2>"$dir/list" </dev/null)
	rm -rf "$theirs"
	cp -r "$source" "$theirs" && chmod -R u+w "$theirs"
	# One test skips itself because most servers keep no history; the simulated one can.
	sed -i '/Skipping test by default/d' "$theirs/testdcpsuite_test.go"
	(cd "$theirs" && timeout 400 nice go test -c -o dcp.test .) >"$dir/build" 2>&1 </dev/null ||
		skip_all "gocbcore's own DCP tests" "they do not build here: $(tail -1 "$dir/build")"
fi

# Documents past their time stay until the pager comes, as in a server, whose pager comes every ten minutes: the
# tests count them as changes.
pids=()
one_of_theirs() {
	(cd "$theirs" && GCBCTESTSUITE=2 GCBCONNSTR=$2 GCBUSER=Administrator GCBPASS=password GCBCVER=7.2.0 \
		timeout 120 ./dcp.test -test.v -test.run "TestDCPSuite/$1\$") >"$dir/$1.out" 2>&1 </dev/null &
	pids+=($!)
}
passed() {
	grep -qF -- "--- PASS: TestDCPSuite/$1 " "$dir/$1.out" && [ "$2" -eq 0 ] && return 0
	echo "exit code $2"
	grep -E -A8 -- '--- |Error Trace|panic:|Detected' "$dir/$1.out" | grep -v '^GOCB' | head -40
	return 1
}
for test in "${suite[@]}"; do
	history=
	[ "$test" = TestChangeStreamsAgent ] && history=--magma
	cluster "$test" --nodes 2 --replicas 1 --vbuckets 64 --expiry-pager 600 $history
	one_of_theirs "$test" "$url"
done

# Of its standard suite, what is about documents and connections; one cluster, one after the other.
standard=(TestBasicOps TestCasMismatch TestBasicReplace TestBasicRemove TestBasicInsert TestBasicSetGet TestBasicCounters
	TestBasicAdjoins TestExpiry TestTouch TestGetAndTouch TestObserveSeqNo TestStats TestPing TestDiagnostics
	TestFlagsRoundTrip TestMetaOps TestGetReplica TestDurableWriteGetReplica TestAddDurableWriteGetReplica
	TestReplaceDurableWriteGetReplica TestDeleteDurableWriteGetReplica TestPreserveExpirySet TestPreserveExpiryReplace
	TestPreserveExpiryAppend TestPreserveExpiryIncrement TestPreserveExpiryMutateIn TestCidRetries
	TestCollectionsRefreshUnknownMultipleOps TestEnhancedErrors TestAgentWaitUntilReadyBucket
	TestConnectMemdOnlyNonDefaultPort TestSubdocXattrs TestSubdocXattrsReorder TestSubdocCasMismatch TestMutateInNoOps
	TestMutateInInsertString TestMutateInRemove TestMutateInInsertStringExists TestMutateInReplaceString
	TestMutateInReplaceFullDoc TestMutateInReplaceStringDoesntExist TestMutateInSetString
	TestMutateInSetStringDoesNotExist TestMutateInArrayAppend TestMutateInArrayAddUnique
	TestMutateInArrayAddUniqueAlreadyExists TestMutateInCounterIncrement TestMutateInCounterDecrement
	TestMutateInRemoveXattr TestMutateInRemoveXattrDoesNotExist TestMutateInInsertXattrExists
	TestMutateInReplaceXattr TestMutateInReplaceXattrNotExist TestMutateInSetXattr TestMutateInSetXattrNotExist
	TestMutateInArrayAppendXattr TestMutateInArrayAddUniqueXattr TestMutateInArrayAddUniqueAlreadyExistsXattr
	TestMutateInCounterIncrementXattr TestMutateInExpandMacroCas TestMutateInExpandMacroSeqNo
	TestMutateInExpandMacroCRC32)
cluster standard --nodes 2 --replicas 1 --vbuckets 64
(cd "$theirs" && GCBCTESTSUITE=1 GCBCONNSTR=$url GCBUSER=Administrator GCBPASS=password GCBCVER=7.2.0 timeout 120 \
	./dcp.test -test.v -test.run "TestStandardSuite/($(IFS='|' && echo "${standard[*]}"))\$") \
	>"$dir/standard.out" 2>&1 </dev/null &
standard_pid=$!

# This one insists on the usual ports and on TLS.
run openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 \
	-keyout "$dir/key.pem" -out "$dir/cert.pem"
ns="TestNSAgent"
if ss -ltn 2>/dev/null | grep -qE ':(11210|8091|11212|11213) '; then
	skip "gocbcore's $ns" "port 8091 or 11210 is in use"
	ns=
else
	cluster $ns --nodes 1 --vbuckets 64 --expiry-pager 600 --port 11210 --http-port 8091 \
		--tls-cert "$dir/cert.pem" --tls-key "$dir/key.pem"
	one_of_theirs $ns couchbase://127.0.0.1
fi
i=0
for test in "${suite[@]}" $ns; do
	wait "${pids[$i]}"
	t "gocbcore's $test" passed "$test" $?
	i=$((i + 1))
done
wait $standard_pid
standard_passed() {
	grep -qF -- "--- PASS: TestStandardSuite/$1 " "$dir/standard.out" && return 0
	grep -F -A20 -- "=== RUN   TestStandardSuite/$1" "$dir/standard.out" | grep -v '^GOCB' | head -30
	return 1
}
for test in "${standard[@]}"; do
	t "gocbcore's $test" standard_passed "$test"
done
finish
