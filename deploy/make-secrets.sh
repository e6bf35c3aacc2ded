#!/bin/sh
# Make the secrets of deploy/compose.yaml:  sudo deploy/make-secrets.sh [DIRECTORY]   (deploy/secrets, if none is named)
#
# Random values, the probe's certificate and its key. A service of the compose file is no root, and its secrets reach it as they lie
# here: so each reader has a file of its own that belongs to its user, with mode 0600, which only root can give away. What is there
# stays as it is: after an upgrade, or to change a secret (delete its files first), run it again.
set -eu
umask 077

PROBE=10001 INFLUXDB=1000 PROMETHEUS=65534 GRAFANA=472 # as `user:` in compose.yaml
DAYS=3650

fail() {
    echo "make-secrets: $1" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || fail "run it as root (sudo): it gives each file to the user of one service"
command -v openssl >/dev/null 2>&1 || fail "openssl is missing: apt-get install openssl"

directory=${1:-$(dirname "$0")/secrets}
for each in probe influxdb prometheus grafana; do (umask 022 && mkdir -p "$directory/$each"); done
cd "$directory"

# give FILE OWNER: takes the new file's content from standard input; never half a file, never another's.
give() {
    cat >"$1.new"
    chown "$2:$2" "$1.new"
    chmod 0600 "$1.new"
    mv "$1.new" "$1"
    echo "made $PWD/$1"
}

# secret FILE OWNER [FILE OWNER]: one value, in a file for each reader.
secret() {
    value=
    for each in "$1" "${3:-}"; do
        if [ -n "$each" ] && [ -s "$each" ]; then value=$(cat "$each"); fi
    done
    [ -n "$value" ] || value=$(openssl rand -hex 32)
    while [ $# -gt 0 ]; do
        [ -s "$1" ] || printf '%s\n' "$value" | give "$1" "$2"
        shift 2
    done
}

secret influxdb/admin.password $INFLUXDB
secret influxdb/admin.token $INFLUXDB
secret influxdb/probe.password $INFLUXDB probe/influx.password $PROBE
secret influxdb/grafana.password $INFLUXDB grafana/influx.password $GRAFANA
secret grafana/admin.password $GRAFANA
secret probe/page.token $PROBE prometheus/page.token $PROMETHEUS

if [ ! -s probe/page.key ] || [ ! -s page.crt ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days $DAYS -subj /CN=probe \
        -addext "subjectAltName=DNS:probe,DNS:localhost,IP:127.0.0.1,IP:::1" -keyout key.new -out page.crt.new 2>/dev/null ||
        fail "openssl could not make the certificate (version 1.1.1 or newer is needed)"
    give probe/page.key $PROBE <key.new
    rm key.new
    chmod 0644 page.crt.new # everybody may see it
    mv page.crt.new page.crt
    echo "made $PWD/page.crt, good for $DAYS days"
fi
echo "Grafana's user is admin, its password: $PWD/grafana/admin.password"
