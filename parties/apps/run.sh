#!/usr/bin/env bash
# Whole applications that people run, from their registries, signing in by saoma. Everything is installed below target/.
set -euo pipefail
cd "$(dirname "$0")"
room=../../target/parties
mkdir -p "$room"

for app in synapse jupyterhub; do
    if ! cmp -s "$app/requirements.txt" "$room/$app/requirements.txt"; then
        rm -rf "${room:?}/$app"
        python3 -m venv "$room/$app"
        "$room/$app/bin/pip" install --quiet --disable-pip-version-check -r "$app/requirements.txt"
        cp "$app/requirements.txt" "$room/$app/"
    fi
done
if ! cmp -s jupyterhub/package-lock.json "$room/jupyterhub/package-lock.json"; then
    cp jupyterhub/package.json jupyterhub/package-lock.json "$room/jupyterhub/"
    (cd "$room/jupyterhub" && npm ci --no-audit --no-fund)
fi
exec node --test --test-concurrency=1 synapse/synapse.test.mjs jupyterhub/jupyterhub.test.mjs
