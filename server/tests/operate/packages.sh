#!/usr/bin/env bash
# The packages, each in a tree with nothing else in it: the static binary, the last stage of the Containerfile, and the .deb
# in a fresh Debian. Each serves there, and a page opens. The unit file is held against systemd's own judgement.
set -euo pipefail
cd "$(dirname "$0")/../../.."
[ "$(id -u)" = 0 ] || exec sudo --preserve-env=PATH,CARGO_HOME,RUSTUP_HOME,HOME "$0" "$@"
# shellcheck source=server/tests/operate/stage.sh
. server/tests/operate/stage.sh
packages debootstrap systemd curl mandoc

command -v cargo-deb > "$folder/which" || cargo install --quiet --locked cargo-deb --version 3.8.0
./dev release
if ldd dist/saoma > "$folder/ldd" 2>&1 && ! grep -q 'statically linked' "$folder/ldd"; then
    cat "$folder/ldd"; fail "the binary wants libraries"
fi
(cd dist && sha256sum --check --quiet ./*.sha256)
for page in dist/man/*.1.gz; do
    gzip -dc "$page" | mandoc -T lint -W error || fail "$page: man cannot read it"
done
for page in saoma serve site-add backup; do
    [ -s "dist/man/saoma-${page#saoma}.1.gz" ] || [ -s "dist/man/$page.1.gz" ] || fail "no manual page of $page"
done
dpkg-deb --contents dist/*.deb > "$folder/contents"
for page in docs/sites/gitea.md docs/element.md docs/images/page.en.png README.zh-CN.md examples/proxy/nginx.conf \
    examples/forward-auth/traefik.yml examples/alerts.yml examples/grafana-dashboard.json; do
    [ -s "dist/$page" ] || fail "$page, which commands, README and docs name, is not in the archive"
    grep -q "/usr/share/doc/saoma/$page$" "$folder/contents" || fail "$page is not in the .deb"
done
bash -n dist/completions/saoma.bash
bash -c '. dist/completions/saoma.bash && complete -p saoma' | grep -q saoma || fail "bash does not complete"

# The unit: what systemd says of it, and no worse than it is now.
mkdir -p "$folder/units"
sed 's,/usr/bin/saoma,/bin/true,' packaging/saoma.service > "$folder/units/saoma.service"
systemd-analyze verify --man=no "$folder/units/saoma.service"
systemd-analyze security --offline=true --threshold=15 "$folder/units/saoma.service" | tail -n 1

stage_with dist/saoma
export SAOMA_PUBLIC_URL=$public SAOMA_LISTEN=${public#http://} SAOMA_ADMIN_LISTEN=${operators#http://}

opens() {
    wait_for "$public/readyz"
    curl -sf "$public/login" > "$folder/page" && grep -q '<wechat-login' "$folder/page" || {
        tail -n 20 "$folder"/*.log >&2
        fail "$1: no page"
    }
    echo "$1: serves a page"
}
ends() { kill "${started[-1]}"; wait "${started[-1]}" || fail "it does not stop in peace"; unset 'started[-1]'; }

# The container: its last stage, line by line, without an engine.
tree=$folder/scratch
mkdir "$tree"
uid=0 gid=0 workdir=/ environment=()
mkdir -p data
while read -r word rest; do
    case "$word" in
        FROM) [ "$rest" = scratch ] && last=yes || last= ;;
        *) [ -n "${last:-}" ] || continue ;;&
        COPY)
            owner=0:0
            while [[ $rest == --* ]]; do
                [[ $rest != --chown=* ]] || { owner=${rest%% *}; owner=${owner#--chown=}; }
                rest=${rest#* }
            done
            from=${rest% *} to=${rest##* }
            mkdir -p "$tree/$(dirname "$to")"
            cp -rL "$(sed 's,^/src/,./,' <<< "$from")" "$tree/$to"
            chown -R "$owner" "$tree/$to" ;;
        ENV) environment+=("$rest") ;;
        USER) uid=${rest%:*} gid=${rest#*:} ;;
        WORKDIR) workdir=$rest ;;
        ENTRYPOINT) entry=$(tr -d '[]",' <<< "$rest") ;;
        CMD) command=$(tr -d '[]",' <<< "$rest") ;;
        HEALTHCHECK) health=$(sed 's/.*CMD //' <<< "$rest" | tr -d '[]",') ;;
    esac
done < Containerfile
rmdir data
[ "$(find "$tree" -type f | wc -l)" = 2 ] || fail "more in the container than saoma and certificates"
# What every engine puts into a container: devices (OCI runtime specification, "Default Devices") and a file of hosts.
mkdir -p "$tree/dev" "$tree/etc"
echo "127.0.0.1 localhost" > "$tree/etc/hosts"
mknod -m 666 "$tree/dev/null" c 1 3
mknod -m 444 "$tree/dev/random" c 1 8
mknod -m 444 "$tree/dev/urandom" c 1 9
# Looked up here: what follows starts with an empty environment.
chroot=$(PATH=$PATH:/usr/sbin:/sbin command -v chroot)
inside() {
    exec env -i "${environment[@]}" SAOMA_PUBLIC_URL="$public" SAOMA_WECHAT__APPID="$SAOMA_WECHAT__APPID" \
        SAOMA_WECHAT__SECRET=pretend SAOMA_WECHAT__BASE_URL="http://localhost:${wechat##*:}" \
        SAOMA_LISTEN=0.0.0.0:9380 SAOMA_ADMIN_LISTEN=0.0.0.0:9381 \
        "$chroot" --userspec="$uid:$gid" "$tree" "$@"
}
# shellcheck disable=SC2086
run inside $entry $command
opens "the container's last stage"
# shellcheck disable=SC2086
(inside $health) || fail "its healthcheck"
ends

# Names resolve without anything of glibc's beside the binary: from /etc/hosts, as here, or by DNS.
echo "127.0.0.1 wechat.test" > "$tree/etc/hosts"
wechat_there=http://wechat.test:${wechat##*:}
# shellcheck disable=SC2086
run env -i "${environment[@]}" SAOMA_PUBLIC_URL="$public" SAOMA_WECHAT__APPID="$SAOMA_WECHAT__APPID" \
    SAOMA_WECHAT__SECRET=pretend SAOMA_WECHAT__BASE_URL="$wechat_there" SAOMA_LISTEN=0.0.0.0:9380 \
    SAOMA_ADMIN_LISTEN=0.0.0.0:9381 "$chroot" --userspec="$uid:$gid" "$tree" $entry $command
opens "the static binary, with a name to look up"
ends

# The .deb, in a fresh Debian.
cp dist/*.deb "$folder/saoma.deb"
dpkg-deb --info "$folder/saoma.deb" | grep -E 'Version|Depends'
debian=$folder/debian
debootstrap --variant=minbase --include=ca-certificates bookworm "$debian" > "$folder/debootstrap.txt" \
    || { tail "$folder/debootstrap.txt"; fail "no fresh Debian"; }
# What this script has set is no setting of that machine's.
in_debian() { "$chroot" "$debian" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
cp "$folder/saoma.deb" "$debian/tmp/"
in_debian dpkg --install /tmp/saoma.deb
in_debian saoma --version
[ "$(stat -c %a:%U "$debian/etc/saoma/saoma.toml")" = 640:root ] || fail "anybody may read the secrets"
[ "$(in_debian stat -c %a:%U /var/lib/saoma)" = 700:saoma ] || fail "the folder is not saoma's alone"
in_debian saoma config --check && fail "empty settings pass"
sed -i "s,^public_url = .*,public_url = \"$public\"\nlisten = \"${public#http://}\"\nadmin_listen = \"${operators#http://}\"," \
    "$debian/etc/saoma/saoma.toml"
sed -i "s,^appid = .*,appid = \"$SAOMA_WECHAT__APPID\"\nbase_url = \"$wechat\",; 0,/^secret = .*/s//secret = \"pretend\"/" \
    "$debian/etc/saoma/saoma.toml"
in_debian saoma config --check
# By root, before the first start: what it makes must be the server's all the same.
in_debian saoma site add wiki --name Wiki --redirect-uri https://wiki.example.com/callback
run "$chroot" --userspec=saoma:saoma "$debian" env -i /usr/bin/saoma serve --config /etc/saoma/saoma.toml
opens "the .deb in a fresh Debian"
in_debian saoma backup /var/lib/saoma/copy.db
ends
# An upgrade leaves an admin's own owner and mode, and a file of settings that was deleted stays so.
chmod 600 "$debian/etc/saoma/saoma.toml"
in_debian dpkg --install /tmp/saoma.deb
[ "$(stat -c %a "$debian/etc/saoma/saoma.toml")" = 600 ] || fail "an upgrade gave the settings another mode"
rm "$debian/etc/saoma/saoma.toml"
in_debian dpkg --install /tmp/saoma.deb || fail "an upgrade breaks where the settings were deleted"
in_debian dpkg --purge saoma
[ -e "$debian/var/lib/saoma/saoma.db" ] || fail "purging took everybody's accounts"
[ ! -e "$debian/usr/bin/saoma" ] || fail "it is still there"
echo "4 passed, 0 failed"
