#!/usr/bin/env bash
# saoma behind Debian's nginx and Caddy, by the very files of examples/proxy: only names, ports and certificates are others.
# For each: a page opens over TLS, its WebSocket stays through a minute's silence, a phone scans, the page sees.
set -euo pipefail
cd "$(dirname "$0")/../../.."
# shellcheck source=server/tests/operate/stage.sh
. server/tests/operate/stage.sh
packages nginx-light caddy openssl curl python3
export SAOMA_WECHAT__POOL=0

certificate
public_url=https://localhost:9383 stage
sed -i 's/^store/trusted_proxies = ["127.0.0.1"]\nstore/' "$folder/saoma.toml"
saoma_serves

through() {
    export SSL_CERT_FILE=$folder/root.pem
    python3 server/tests/operate/through.py https://localhost:9383 "$wechat" \
        || { tail -n 20 "$folder"/*.log >&2; fail "behind $1"; }
    # The doctor looks from outside, and holds a silent WebSocket for a minute.
    "$saoma" doctor --config "$folder/saoma.toml" > "$folder/doctor.txt" || { cat "$folder/doctor.txt"; fail "behind $1"; }
    for check in trusted_proxies websocket; do
        grep -E "^ok +$check" "$folder/doctor.txt" || { cat "$folder/doctor.txt"; fail "behind $1: $check"; }
    done
    echo "behind $1: a whole sign-in, and a WebSocket that outlives a minute of silence"
}

mkdir "$folder/nginx"
{
    echo "daemon off; pid $folder/nginx/pid; error_log stderr; events {} http { access_log off;"
    for temp in client_body proxy fastcgi uwsgi scgi; do echo "${temp}_temp_path $folder/nginx/$temp;"; done
    sed -e "s,login\.example\.com,localhost,; s,/etc/letsencrypt/live/localhost/fullchain.pem,$folder/chain.pem," \
        -e "s,/etc/letsencrypt/live/localhost/privkey.pem,$folder/key.pem," \
        -e "s,listen 443,listen 127.0.0.1:9383,; s,listen 80;,listen 127.0.0.1:9384;,; /listen \[::\]/d" \
        -e "s,127.0.0.1:8080,${public#http://}," examples/proxy/nginx.conf
    echo "}"
} > "$folder/nginx.conf"
nginx -t -c "$folder/nginx.conf" -e stderr
run nginx -c "$folder/nginx.conf" -e stderr
wait_for https://localhost:9383/healthz
[ "$(curl -s -o "$folder/out" -w '%{http_code}' http://localhost:9384/login)" = 308 ] || fail "nginx does not lead to https"
through nginx
kill "${started[-1]}"; wait "${started[-1]}" 2> "$folder/out" || true

export XDG_DATA_HOME=$folder/caddy XDG_CONFIG_HOME=$folder/caddy
{
    printf '{\n admin off\n auto_https disable_redirects\n http_port 9384\n}\n'
    sed -e "s,^login\.example\.com,https://localhost:9383," \
        -e "s,127.0.0.1:8080,${public#http://}," \
        -e "s,^\treverse_proxy,\ttls $folder/chain.pem $folder/key.pem\n&," examples/proxy/Caddyfile
} > "$folder/Caddyfile"
run caddy run --config "$folder/Caddyfile" --adapter caddyfile
wait_for https://localhost:9383/healthz
through caddy
echo "2 passed, 0 failed"
