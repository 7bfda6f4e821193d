#!/usr/bin/env bash
# Every example and every benchmark (with tiny input) runs; each checks its own outcome.
. "$(dirname "$0")/tap.sh.inc"
build=${WEIR_BUILD:-build/release}

in_empty_dir() { (cd "$(mktemp -d "$dir/XXXXXX")" && timeout 200 "$@"); }
for example in examples/*.c; do
	name=$(basename "$example" .c)
	t "example $name" in_empty_dir "$(realpath "$build/examples/$name")"
done
for bench in bench/*_bench.c; do
	name=$(basename "$bench" _bench.c)
	if [ -n "${WEIR_SANITIZED:-}" ]; then
		skip "benchmark $name, tiny" "a sanitizer build is not measured"
		continue
	fi
	t "benchmark $name, tiny" timeout 300 "$build/bench/$name" --quick
done
t "the demo shows that nothing is missing" env PATH="$(dirname "$(realpath "$weir")"):$PATH" timeout 200 examples/demo
finish
