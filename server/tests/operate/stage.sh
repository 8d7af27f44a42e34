# Shared by the slow scripts of operators: a folder, a pretend WeChat, a saoma, and an end that leaves nothing behind.
# Sourced from the project's root. Listens on 127.0.0.1 alone.

folder=$(mktemp -d)
started=()

fail() { echo "FAILED: $*" >&2; exit 1; }

clean_up() {
    local pid
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$folder"
}
trap clean_up EXIT

# Debian packages that a script needs.
packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    local root=()
    [ "$(id -u)" = 0 ] || root=(sudo)
    "${root[@]}" apt-get -o DPkg::Lock::Timeout=300 update -q
    # No service of theirs may start by itself.
    printf '#!/bin/sh\nexit 101\n' > "$folder/policy-rc.d"
    chmod +x "$folder/policy-rc.d"
    local policy=/usr/sbin/policy-rc.d
    [ -e $policy ] || "${root[@]}" cp "$folder/policy-rc.d" $policy
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -o DPkg::Lock::Timeout=300 install -yq --no-install-recommends "${missing[@]}"
    cmp -s "$folder/policy-rc.d" $policy && "${root[@]}" rm $policy
    return 0
}

# Runs a command in the background until the end of the script.
run() {
    "$@" > "$folder/$(basename "$1").$((${#started[@]})).log" 2>&1 &
    started+=($!)
}

# Waits until an address answers at all.
wait_for() {
    local n
    for n in $(seq 150); do
        curl -sk -o "$folder/waited" "$1" && return 0
        sleep 0.2
    done
    tail -n 20 "$folder"/*.log >&2
    fail "$1 does not answer"
}

# An authority and a certificate of its for localhost: root.pem, chain.pem, key.pem.
certificate() {
    local ec=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
    {
        openssl req -x509 "${ec[@]}" -days 2 -subj "/CN=a test authority" -addext basicConstraints=critical,CA:TRUE \
            -keyout "$folder/root.key" -out "$folder/root.pem"
        openssl req -x509 "${ec[@]}" -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
            -addext basicConstraints=critical,CA:FALSE -addext extendedKeyUsage=serverAuth \
            -CA "$folder/root.pem" -CAkey "$folder/root.key" -keyout "$folder/key.pem" -out "$folder/cert.pem"
    } 2> "$folder/openssl.log" || { cat "$folder/openssl.log"; fail "no certificate"; }
    cat "$folder/cert.pem" "$folder/root.pem" > "$folder/chain.pem"
}

# Builds saoma and starts a pretend WeChat. With all features, as the tests have built it.
stage() {
    cargo build --quiet --workspace --all-features --bins
    stage_with "${CARGO_TARGET_DIR:-target}/debug/saoma"
}

# The same with a saoma that is built.
stage_with() {
    saoma=$1
    public=http://127.0.0.1:9380 operators=http://127.0.0.1:9381 wechat=http://127.0.0.1:9382
    export SAOMA_WECHAT__APPID=wx1234567890abcdef SAOMA_WECHAT__SECRET=pretend SAOMA_WECHAT__BASE_URL=$wechat
    run "$saoma" pretend --listen "${wechat#http://}" --appid "$SAOMA_WECHAT__APPID" --secret pretend
    wait_for "$wechat/pretend/calls"
    cat > "$folder/saoma.toml" <<TOML
public_url = "${public_url:-$public}"
listen = "${public#http://}"
admin_listen = "${operators#http://}"
store = "sqlite:$folder/saoma.db"

[[site]]
id = "blog"
name = "My blog"
redirect_uris = ["https://blog.example.com/callback"]
origins = ["https://blog.example.com"]
TOML
}

saoma_serves() {
    run "$saoma" serve --config "$folder/saoma.toml"
    wait_for "$operators/readyz"
}
