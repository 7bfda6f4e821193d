#!/usr/bin/env bash
# Couchbase's Node SDK logs in to the simulated cluster and works with documents, scopes and collections.
. "$(dirname "$0")/tap.sh.inc"
. "$(dirname "$0")/../clients/clients.sh.inc"

version=4.7.1
where=$clients/node
said=$dir/sdk.out

command -v node >/dev/null && command -v npm >/dev/null || skip_all "the Node SDK" "node or npm is not installed"
if [ ! -d "$where/node_modules/couchbase" ]; then
	# The package's compiled part comes as an optional dependency: no install script is needed. Moved when it is whole.
	rm -rf "$where.new" && mkdir -p "$where.new"
	(cd "$where.new" && timeout 60 npm install --no-save --no-audit --no-fund --ignore-scripts --prefer-offline \
		--fetch-retries=1 --fetch-timeout=20000 "couchbase@$version") >"$dir/npm" 2>&1 </dev/null ||
		skip_all "the Node SDK" "npm cannot install couchbase@$version within a minute"
	rm -rf "$where" && mv "$where.new" "$where"
fi
export NODE_PATH=$where/node_modules
node -e 'require("couchbase")' >"$dir/load" 2>&1 </dev/null ||
	skip_all "the Node SDK" "its compiled part does not load here"

secure=()
if openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 \
	-keyout "$dir/key.pem" -out "$dir/cert.pem" >"$dir/openssl" 2>&1 </dev/null; then
	secure=(--tls-cert "$dir/cert.pem" --tls-key "$dir/key.pem")
fi
cluster sdk --nodes 2 --replicas 1 --vbuckets 64 "${secure[@]}"
t "the simulated cluster starts" test -n "$url"
if [ ${#secure[@]} -gt 0 ]; then
	secure=("couchbases://127.0.0.1:$kvs" "$dir/cert.pem")
fi
timeout 200 node "$home/node/sdk_test.js" "$url" Administrator password default "${secure[@]}" >"$said" 2>&1 </dev/null

while read -r name; do
	t "Node SDK: $name" named "$said" "$name"
done <<END
a wrong password is refused
login
upsert and get
get of a missing document
insert
insert of one that exists
replace with the right CAS
replace with a wrong CAS
replace of a missing document
remove
insert after a remove
expiry
touch lets a document live longer
exists
binary values
a compressible value of 200 KB
500 documents in all vBuckets
sub-document lookup and mutation
a scope and a collection are made
a scope that exists is refused
a collection that exists is refused
the new collection is used
a dropped collection is gone
ping
END
for name in "login over TLS" "a certificate that is not trusted is refused"; do
	if [ ${#secure[@]} -gt 0 ]; then
		t "Node SDK: $name" named "$said" "$name"
	else
		skip "Node SDK: $name" "no openssl program to make a certificate with"
	fi
done
finish
