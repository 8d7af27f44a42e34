#!/usr/bin/env bash
# Licences, sources and bans of everything that is built in (deny.toml), and the bill of materials.
# Advisories need RustSec's database from GitHub; where that cannot be had it is said, and is no pass.
set -euo pipefail
cd "$(dirname "$0")/../../.."
tools=target/tools
if ! "$tools/bin/cargo-deny" --version >/dev/null 2>&1; then
    cargo install --quiet --locked --root "$tools" cargo-deny
fi
for manifest in Cargo.toml fuzz/Cargo.toml; do
    "$tools/bin/cargo-deny" --manifest-path "$manifest" check --config deny.toml licenses sources bans
done
if timeout 60 "$tools/bin/cargo-deny" check --config deny.toml advisories; then
    echo "advisories: none"
elif [ -d "${CARGO_HOME:-$HOME/.cargo}/advisory-dbs" ] && [ -n "$(ls -A "${CARGO_HOME:-$HOME/.cargo}/advisory-dbs" 2>/dev/null)" ]; then
    exit 1
else
    echo "advisories: NOT CHECKED, the database cannot be fetched from here" >&2
fi
./dev sbom >target/sbom.cdx.json
python3 -c 'import json, sys; bom = json.load(open("target/sbom.cdx.json")); print("bill of materials:", len(bom["components"]), "components")'
