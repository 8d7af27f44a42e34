#!/usr/bin/env bash
# A newcomer's evening, from the archive to the first scan, by what the docs say and nothing else, in an empty folder. The
# pretend WeChat stands in WeChat's place; forms, filing and review are for people. Wants what `./dev release` made.
set -euo pipefail
cd "$(dirname "$0")/../../.."
# shellcheck source=server/tests/operate/stage.sh
. server/tests/operate/stage.sh
packages curl python3
shopt -s nullglob
archives=("$PWD"/dist/saoma-*-linux.tar.gz)
[ "${#archives[@]}" = 1 ] || fail "run ./dev release first"
root=$PWD

# README.md: "Try it".
cd "$folder"
began=$(date +%s%N)
step() { printf '%6.1f s  %s\n' "$(( ($(date +%s%N) - began) / 100000000 ))e-1" "$*"; }
tar xzf "${archives[0]}"
cd saoma-*-linux
saoma=$PWD/saoma
./saoma try --once > "$folder/try.txt" || { cat "$folder/try.txt"; fail "saoma try"; }
step "unpacked; $(tail -n 1 "$folder/try.txt")"

# README.md: "Run it", with the settings of its block. Here localhost stands for the server's own name.
mkdir "$folder/server"
cd "$folder/server"
sed -n '/^ *```toml$/,/^ *```$/p' "$root/README.md" | sed '/```/d; s/^ *//' > saoma.toml
sed -i 's,^public_url = .*,public_url = "http://127.0.0.1:9380",; s,^appid = .*,appid = "wx1234567890abcdef",; s,^secret = .*,secret = "pretend",' saoma.toml
export SAOMA_WECHAT__BASE_URL=http://127.0.0.1:9382 SAOMA_WECHAT__POOL=0 SAOMA_STORE=sqlite:saoma.db SAOMA_LISTEN=127.0.0.1:9380 SAOMA_ADMIN_LISTEN=127.0.0.1:9381
"$saoma" config --check
step "the settings of the README can be used"
run "$saoma" pretend --listen 127.0.0.1:9382 --appid wx1234567890abcdef --secret pretend
wait_for http://127.0.0.1:9382/pretend/calls
"$saoma" serve > serve.log 2>&1 &
started+=($!)
wait_for http://127.0.0.1:9381/readyz
"$saoma" healthcheck
step "it serves"
"$saoma" doctor --quick > doctor.txt || { cat doctor.txt; fail "the doctor finds something broken"; }
step "$(tail -n 1 doctor.txt)"

# docs/from-zero.md, step 6.
"$saoma" miniprogram --out miniprogram > next.txt
grep -q 'http://127.0.0.1:9380' next.txt && [ -s miniprogram/project.config.json ] || { cat next.txt; fail "no mini program"; }
step "the mini program is written"

# docs/sites: an application; then the first scan, and docs/console.md with the link that the start printed.
"$saoma" site add --app gitea --url https://git.example.com > gitea.txt
step "$(head -n 1 gitea.txt)"
link=$(grep -o 'http://[^ ]*/console/link#[^ ]*' serve.log)
python3 "$root/server/tests/operate/through.py" http://127.0.0.1:9380 http://127.0.0.1:9382 "$link"
step "the first scan signs in, and the second opens the console"

# docs/upkeep.md.
"$saoma" backup saoma-copy.db > backup.txt
step "$(cat backup.txt)"
echo "1 passed, 0 failed"
