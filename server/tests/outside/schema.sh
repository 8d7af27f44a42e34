#!/usr/bin/env bash
# schemathesis (PyPI) against the running server's own OpenAPI document: no 5xx and no panic, whatever it makes up.
#   schema.sh         some thousand cases
#   schema.sh 20      a short form: so many examples for each operation
set -euo pipefail
cd "$(dirname "$0")"
root=../../..
venv=$root/target/schemathesis
[ -x "$venv/bin/schemathesis" ] || { python3 -m venv "$venv" && "$venv/bin/pip" install -q schemathesis==4.32.5; }
exec python3 schema.py "$(cd "$venv" && pwd)/bin/schemathesis" "${1:-100}"
