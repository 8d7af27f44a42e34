#!/usr/bin/env bash
# Relying parties that nobody here wrote, against saoma: openid-client and oidc-client-ts (npm), Authlib (PyPI) and
# mod_auth_openidc (Debian). What they need is installed below target/ and in node/; `./dev test` brings Debian's packages.
set -euo pipefail
cd "$(dirname "$0")"
room=../target/parties

# Anew whenever the lock file is another than the one installed.
if ! cmp -s node/package-lock.json node/node_modules/.installed-lock; then
    (cd node && npm ci --no-audit --no-fund && cp package-lock.json node_modules/.installed-lock)
fi
if ! cmp -s python/requirements.txt "$room/python/requirements.txt"; then
    rm -rf "$room/python"
    mkdir -p "$room"
    python3 -m venv "$room/python"
    "$room/python/bin/pip" install --quiet --disable-pip-version-check -r python/requirements.txt
    cp python/requirements.txt "$room/python/"
fi
exec node --test stories.test.mjs docs.test.mjs
