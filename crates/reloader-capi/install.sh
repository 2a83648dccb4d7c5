#!/bin/sh
# Builds libreloader and installs it: headers, shared and static library, pkg-config file, CMake package.
#
#     crates/reloader-capi/install.sh PREFIX
#
# BUILT=directory takes the libraries that cargo has put there instead of building them. DESTDIR is put before PREFIX,
# as packagers want it.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: $0 PREFIX" >&2
    exit 2
fi
prefix=$1
case $prefix in
/*) ;;
*) prefix=$(pwd)/$prefix ;;
esac
# What pkg-config tells of these would be read in another way.
case $prefix in
*[\"\'\$\#\`\\\(\)]* | *"
"*)
    echo "$0: $prefix: a quote, \$, #, \`, backslash, parenthesis or line break in it does not get through pkg-config" >&2
    exit 2
    ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/../../Cargo.toml" | head -n 1)
root=${DESTDIR:-}$prefix

if [ -z "${BUILT:-}" ]; then
    (cd "$here" && cargo build --release --locked -p reloader-capi)
    BUILT=${CARGO_TARGET_DIR:-$here/../../target}/release
fi

mkdir -p "$root/include" "$root/lib/pkgconfig" "$root/lib/cmake/reloader"
cp "$here/include/reloader.h" "$here/include/cr.h" "$root/include/"
# The rest is written beside its place and renamed, since running programs may have the old library mapped.
cp "$BUILT/libreloader_capi.so" "$root/lib/libreloader.so.$version.new"
cp "$BUILT/libreloader_capi.a" "$root/lib/libreloader.a.new"
strip --strip-debug "$root/lib/libreloader.so.$version.new" "$root/lib/libreloader.a.new"
chmod 755 "$root/lib/libreloader.so.$version.new"
mv "$root/lib/libreloader.so.$version.new" "$root/lib/libreloader.so.$version"
mv "$root/lib/libreloader.a.new" "$root/lib/libreloader.a"
ln -sf "libreloader.so.$version" "$root/lib/libreloader.so.0"
ln -sf libreloader.so.0 "$root/lib/libreloader.so"
in_sed=$(printf '%s\n' "$prefix" | sed 's/[|&]/\\&/g')
sed -e "s|@prefix@|$in_sed|g" -e "s|@version@|$version|g" \
    "$here/package/reloader.pc.in" >"$root/lib/pkgconfig/reloader.pc"
cp "$here/package/reloader-config.cmake" "$root/lib/cmake/reloader/"
sed -e "s|@version@|$version|g" "$here/package/reloader-config-version.cmake.in" \
    >"$root/lib/cmake/reloader/reloader-config-version.cmake"
