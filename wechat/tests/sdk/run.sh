#!/bin/sh
# Clients that nobody here wrote, unmodified but for the base URL, against the pretend WeChat:
# wechatpy (Python) and node-easywechat (Node); with --all also wechat-mp-sdk (Rust), which takes minutes to compile.
# Everything is installed below target/. Needs python3 with venv, node with npm, and zbarimg.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
work="$root/target/sdk"
mkdir -p "$work"
rm -rf "$work/url" "$work"/*.jpg "$work"/*.png "$work"/easywechat-*

export WECHAT_APPID=wx1234567890abcdef WECHAT_SECRET=fedcba0987654321fedcba0987654321
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1

cd "$root"
cargo build -q -p saoma-wechat --features pretend --example pretend
"${CARGO_TARGET_DIR:-$root/target}/debug/examples/pretend" \
    127.0.0.1:0 "$WECHAT_APPID" "$WECHAT_SECRET" >"$work/url" &
pretend=$!
trap 'kill "$pretend"' EXIT
until [ -s "$work/url" ]; do
    kill -0 "$pretend"
    sleep 0.1
done
WECHAT_URL=$(cat "$work/url")
export WECHAT_URL

echo "wechatpy against $WECHAT_URL"
# Anew whenever the list is another than the one installed.
if ! cmp -s "$here/requirements.txt" "$work/python/installed"; then
    python3 -m venv --clear "$work/python"
    "$work/python/bin/pip" install -q -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$work/python/installed"
fi
"$work/python/bin/python" "$here/wechatpy_test.py" "$work"

echo "node-easywechat against $WECHAT_URL"
mkdir -p "$work/node"
cp "$here/package.json" "$here/package-lock.json" "$here/easywechat_test.js" "$work/node/"
(
    cd "$work/node"
    if ! cmp -s package-lock.json node_modules/.installed-lock; then
        npm ci --silent --no-audit --no-fund
        cp package-lock.json node_modules/.installed-lock
    fi
    node --test easywechat_test.js
)

if [ "${1:-}" = --all ]; then
    echo "wechat-mp-sdk against $WECHAT_URL"
    CARGO_TARGET_DIR="$work/rust" cargo run -q --locked --manifest-path "$here/rust/Cargo.toml"
fi

echo "the examples of docs/pretend-wechat.md"
example() { # language, file
    sed -n "/^\`\`\`$1\$/,/^\`\`\`\$/p" "$root/docs/pretend-wechat.md" | sed '/^```/d' |
        sed "s|http://127.0.0.1:9100|$WECHAT_URL|" >"$work/$2"
}
example python example.py
echo 'test_a_used_code_is_refused()' >>"$work/example.py"
"$work/python/bin/python" "$work/example.py"
example js example.mjs
node --test "$work/example.mjs"

echo "zbarimg reads what they were given"
for picture in "$work"/*.jpg "$work"/*.png; do
    zbarimg -q --nodbus --raw "$picture" | grep "^weixin://pretend/$WECHAT_APPID/pages/login/login?scene="
done
