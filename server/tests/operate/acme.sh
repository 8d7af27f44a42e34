#!/usr/bin/env bash
# A certificate by ACME from Debian's pebble, which is strict on purpose: saoma starts without one, proves its name on its
# port, gets it, serves a page with it, and keeps it over a restart.
set -euo pipefail
cd "$(dirname "$0")/../../.."
# shellcheck source=server/tests/operate/stage.sh
. server/tests/operate/stage.sh
packages pebble openssl curl

# The authority's own certificate, for its API.
certificate
cat > "$folder/pebble.json" <<JSON
{ "pebble": { "listenAddress": "127.0.0.1:9385", "managementListenAddress": "127.0.0.1:9386",
  "certificate": "$folder/chain.pem", "privateKey": "$folder/key.pem",
  "httpPort": 9387, "tlsPort": 9383, "ocspResponderURL": "", "externalAccountBindingRequired": false } }
JSON
PEBBLE_VA_NOSLEEP=1 run pebble -config "$folder/pebble.json"
wait_for https://localhost:9386/roots/0
curl -sk https://localhost:9386/roots/0 > "$folder/issued.pem"

public_url=https://localhost:9383 stage
sed -i 's/^listen = .*/listen = "127.0.0.1:9383"/' "$folder/saoma.toml"
cat >> "$folder/saoma.toml" <<TOML
[tls]
redirect = "127.0.0.1:9384"
[acme]
on = true
contact = "mailto:you@example.com"
directory = "https://localhost:9385/dir"
folder = "$folder/acme"
root = "$folder/root.pem"
TOML

trusted() { curl -sf --cacert "$folder/issued.pem" -o "$folder/page" https://localhost:9383/login; }
serves() {
    saoma_serves
    local n
    for n in $(seq 100); do trusted && return; sleep 0.3; done
    tail -n 20 "$folder"/*.log >&2
    fail "$1"
}
serves "no certificate that the authority's root vouches for"
grep -q '<wechat-login' "$folder/page" || fail "no page"
[ "$(curl -s -o "$folder/out" -w '%{http_code} %{redirect_url}' http://localhost:9384/login)" = "308 https://localhost:9383/login" ] \
    || fail "plain http does not lead to https"
serial() { openssl s_client -connect localhost:9383 -servername localhost < /dev/null 2> "$folder/out" | openssl x509 -noout -serial; }
first=$(serial)
[ -n "$first" ] || fail "no certificate"
kill "${started[-1]}"; wait "${started[-1]}" || fail "it does not stop in peace"
unset 'started[-1]'
serves "no certificate after a restart"
[ "$(serial)" = "$first" ] || fail "a restart ordered another certificate"
echo "a certificate by ACME, kept over a restart: 1 passed, 0 failed"
