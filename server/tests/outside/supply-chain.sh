#!/usr/bin/env bash
# Licences, sources and bans of everything that is built in (deny.toml), and the bill of materials.
# Advisories need RustSec's database from GitHub; where that cannot be had it is said, and is no pass.
set -euo pipefail
cd "$(dirname "$0")/../../.."
version=0.20.2
deny=target/tools/bin/cargo-deny
if [ "$("$deny" --version 2>/dev/null)" != "cargo-deny $version" ]; then
    cargo install --quiet --locked --root target/tools "cargo-deny@$version"
fi
for manifest in Cargo.toml fuzz/Cargo.toml; do
    echo "$manifest"
    "$deny" --locked --manifest-path "$manifest" --config deny.toml check licenses sources bans
done
if timeout 60 "$deny" --config deny.toml fetch db 2>/dev/null; then
    "$deny" --locked --config deny.toml check advisories
else
    echo "advisories: NOT CHECKED, the database cannot be fetched from here" >&2
fi
mkdir -p target
./dev sbom >target/sbom.cdx.json
python3 -c 'import json, sys; bom = json.load(open("target/sbom.cdx.json")); print("bill of materials:", len(bom["components"]), "components")'
