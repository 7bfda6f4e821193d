#!/usr/bin/env bash
# What `make install` puts down is all a program needs: the README's example builds against it and runs.
. "$(dirname "$0")/tap.sh.inc"
if [ -n "${WEIR_SANITIZED:-}" ]; then
	skip "make install" "a sanitizer build is not installed"
	finish
fi
root=$dir/root
b=${WEIR_BUILD:-$(realpath build/release)}

run env -u MAKEFLAGS -u MAKELEVEL make -s install B="$b" PREFIX=/usr DESTDIR="$root"
t "make install works" gives 0
for f in bin/weir lib/libweir.a lib/libweir.so lib/pkgconfig/weir.pc include/weir/weir.h share/man/man1/weir.1 \
	share/bash-completion/completions/weir share/zsh/site-functions/_weir share/fish/vendor_completions.d/weir.fish; do
	t "installs $f" test -s "$root/usr/$f"
done
only_weir() { [ -z "$(nm -D --defined-only "$root/usr/lib/libweir.so" | awk '{print $3}' | grep -v '^weir_')" ]; }
t "the shared library exports only weir_*" only_weir

sed -n '/^```c$/,/^```$/p' README.md | sed '1d;$d' >"$dir/orders.c"
export PKG_CONFIG_PATH=$root/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root
shared() { gcc -Wall -Wextra -Werror -o "$dir/shared" "$dir/orders.c" $(pkg-config --cflags --libs weir); }
t "the README's example builds against the shared library" shared
runs() { (cd "$(mktemp -d "$dir/XXXXXX")" && LD_LIBRARY_PATH=$root/usr/lib timeout 100 "$1" | grep -q '^insert '); }
t "and runs" runs "$dir/shared"
# A static libweir beside the system's shared libraries: what the .pc file requires, and no further.
static() {
	local requires private
	requires=$(pkg-config --print-requires-private weir | awk '{print $1}')
	private=$(sed -n 's/^Libs.private: //p' "$PKG_CONFIG_PATH/weir.pc")
	gcc -o "$dir/static" "$dir/orders.c" $(pkg-config --cflags weir) "$root/usr/lib/libweir.a" \
		$(PKG_CONFIG_SYSROOT_DIR='' pkg-config --libs $requires) $private
}
t "it builds against the static library" static
t "and runs" runs "$dir/static"
if command -v g++ >/dev/null; then
	printf '#include <weir/weir.h>\nint main() { weir_error e = WEIR_ERROR_INIT; return e.code; }\n' >"$dir/x.cc"
	t "the headers are usable from C++" g++ -Wall -Wextra -Werror -fsyntax-only $(pkg-config --cflags weir) "$dir/x.cc"
else
	skip "the headers are usable from C++" "g++ is not installed"
fi
run env -u MAKEFLAGS -u MAKELEVEL make -s uninstall B="$b" PREFIX=/usr DESTDIR="$root"
empty() { [ -z "$(find "$root" -type f -o -type l)" ]; }
t "make uninstall leaves nothing" empty
finish
