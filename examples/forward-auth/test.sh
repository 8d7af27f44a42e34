#!/usr/bin/env bash
# Plays sign-ins through real proxies, with the files that stand here. Needs target/debug/saoma, Python 3, and Debian's
# packages nginx and caddy, which it fetches but does not install: an installed proxy would start by itself.
set -euo pipefail
cd "$(dirname "$0")"
saoma=${SAOMA:-$(realpath ../../target/debug/saoma)}
[ -x "$saoma" ] || { echo "$saoma is not there: run cargo build first" >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
root=()
[ "$(id -u)" = 0 ] || root=(sudo)
"${root[@]}" apt-get -o DPkg::Lock::Timeout=300 update -q >/dev/null
for package in nginx caddy; do
    (cd "$folder" && apt-get download -q "$package" 2>/dev/null && dpkg-deb -x "$package"_*.deb root)
done
python3 test.py "$saoma" "$folder/root/usr/sbin/nginx" "$folder/root/usr/bin/caddy"
