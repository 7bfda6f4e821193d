#!/usr/bin/env bash
# Usage, help, exit codes, completions, the manual page.
. "$(dirname "$0")/tap.sh.inc"

says() { run "${@:3}"; gives "$1" "$2"; }

t "no command shows the overview and fails as wrong usage" says 2 "usage: weir COMMAND" "$weir"
t "help lists the commands" says 0 "oplog import" "$weir" help
t "version prints the version" says 0 "weir 0." "$weir" version
t "--version is the same" says 0 "weir 0." "$weir" --version
t "help of a group" says 0 "oplog trim" "$weir" oplog --help
t "help of a command" says 0 "--pipeline JSON" "$weir" watch --help
# What begins with a space stands as it was written: examples and the lines under options, which have to fit by themselves.
fits() {
	local c long=
	for c in watch query 'oplog append' 'oplog import' 'oplog repair' 'oplog trim' 'couchbase watch' 'couchbase status' \
		'couchbase options' 'couchbase import-config'; do
		# shellcheck disable=SC2086
		long+=$("$weir" help $c | sed '/^examples:/,$d' | awk 'length > 80 && !/^usage:/ && !/^  [{]/ { print "# " $0 }')
	done
	[ -z "$long" ] || { echo "$long"; return 1; }
}
t "help is at most 80 columns wide" fits
t "help COMMAND is the same" says 0 "--pipeline JSON" "$weir" help watch
t "a misspelt command suggests the right one" says 2 "did you mean 'watch'?" "$weir" wach
t "a misspelt subcommand suggests the right one" says 2 "did you mean 'oplog import'?" "$weir" oplog imprt
t "a misspelt option suggests the right one" says 2 "did you mean --filter?" "$weir" watch x --filtre '{}'
t "a missing operand is told" says 2 "operand is missing" "$weir" watch
t "an operand too many is told" says 2 "one operand too many: 'c'" "$weir" watch a b c
t "an option without its argument is told" says 2 "--filter needs JSON" "$weir" watch a --filter
t "a flag with an argument is told" says 2 "takes no argument" "$weir" watch a --follow=yes
t "an option given twice is told" says 2 "given twice" "$weir" watch a -n 1 -n 2
t "a bad number is told" says 2 "must be a whole number, not 'x'" "$weir" watch a --limit x
t "a bad choice names the choices" says 2 "ndjson|canonical|pretty|table" "$weir" watch a --format xml
t "a bad duration says what one looks like" says 2 "30s" "$weir" watch a --timeout soon
t "a bad time says what one looks like" says 2 "2026-01-31T10:00:00Z" "$weir" watch a --since tomorrow
t "exit codes are listed" says 0 "5  history lost" "$weir" help --exit-codes
t "a log that is not there is exit code 3" says 3 "nothere" "$weir" watch "$dir/nothere"
mkdir "$dir/empty" && echo hello >"$dir/empty/file"
t "a directory that is no log is told" says 2 "$dir/empty" "$weir" watch "$dir/empty"

for shell in bash zsh fish; do
	run "$weir" completion $shell
	cp "$dir/out" "$dir/completion.$shell"
	t "completion for $shell knows the options" grep -q full-document "$dir/completion.$shell"
	if command -v $shell >/dev/null; then
		t "$shell reads it without an error" $shell -n "$dir/completion.$shell"
	else
		skip "$shell reads it without an error" "$shell is not installed"
	fi
done
completes() {
	bash -c ". '$dir/completion.bash'; COMP_WORDS=($1); COMP_CWORD=\$((\${#COMP_WORDS[@]} - 1)); _weir; echo \"\${COMPREPLY[*]}\"" |
		grep -qw -- "$2"
}
t "bash completes a group" completes "weir op" oplog
t "bash completes a subcommand" completes "weir oplog im" import
t "bash completes an option" completes "weir watch log --fil" --filter
t "bash completes a choice" completes "weir watch log --format ta" table
t "an unknown shell is told" says 2 "bash, zsh or fish" "$weir" completion tcsh

"$weir" help --man >"$dir/weir.1"
if command -v man >/dev/null; then
	t "the manual page renders without a warning" sh -c "[ -z \"\$(man --warnings -E UTF-8 -l '$dir/weir.1' 2>&1 >/dev/null)\" ]"
else
	skip "the manual page renders without a warning" "man is not installed"
fi
t "the manual page has every command" sh -c "for c in append import dump stat verify repair trim watch; do grep -q \"\$c\" '$dir/weir.1' || exit 1; done"

run sh -c "'$weir' help >/dev/full"
t "a full disk under standard output is an error" gives 1 "cannot write"
finish
