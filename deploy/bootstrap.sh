#!/bin/sh
# Make .venv ready to run timesync (`bootstrap.sh run`) or to develop and test it (`bootstrap.sh dev`).
#
# Needs git's checkout, python3 (3.11 or newer) and the network; no root, and nothing outside this folder is changed.
# Debian and Ubuntu ship python3 without venv's pip: then pip's own wheel is taken from the package python3-pip-whl,
# unpacked under .lab and installed nowhere else. Every package is checked against the hashes of requirements/*.lock.
# A stamp in .venv makes the second time instant.
set -eu

kind=${1:-run}
case $kind in
run | dev) ;;
*) echo "usage: $0 run|dev" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/.."
root=$PWD
venv=$root/.venv
lock=$root/requirements/$kind.lock
work=$root/.lab/bootstrap
log=$work/$kind.log

say() { printf 'timesync set-up: %s\n' "$*"; }

fail() {
    printf '\ntimesync set-up stopped: %s\n' "$1" >&2
    shift
    for line in "$@"; do printf '  %s\n' "$line" >&2; done
    exit 1
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

# The Python that the caller names, else the system's, else a newer one installed beside it.
find_python() {
    for candidate in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 && new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
}

# What the installed state depends on: change any of it, and the set-up runs again.
state() {
    {
        cat "$lock" "$root/pyproject.toml"
        printf '%s\n' "$root"
        "$venv/bin/python" -c 'import sys; print(sys.version)'
    } | sha256sum | cut -d' ' -f1
}

stamped() { [ -f "$venv/.timesync-$1" ] && [ "$(cat "$venv/.timesync-$1")" = "$(lock=$root/requirements/$1.lock; state)" ]; }

# apt without root: with the machine's package lists, else with lists of our own under .lab/apt.
apt_private() {
    mkdir -p "$root/.lab/apt/lists/partial" "$root/.lab/apt/cache/archives/partial"
    apt_command=$1
    shift
    "$apt_command" -q -o Dir::State::Lists="$root/.lab/apt/lists" -o Dir::Cache="$root/.lab/apt/cache" \
        -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none "$@"
}

fetch_pip_wheel() {
    command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1 || return 1
    rm -rf "$work/pip" && mkdir -p "$work/pip"
    (
        cd "$work/pip"
        apt-get -q -o APT::Sandbox::User="$(id -un)" download python3-pip-whl ||
            { apt_private apt-get update && apt_private apt-get download python3-pip-whl; }
    ) >>"$log" 2>&1 || return 1
    dpkg-deb -x "$work"/pip/python3-pip-whl_*.deb "$work/pip" >>"$log" 2>&1
}

install_pip() {
    if "$venv/bin/python" -m ensurepip --default-pip >>"$log" 2>&1; then return; fi
    wheel=$(ls /usr/share/python-wheels/pip-*.whl 2>/dev/null | tail -n 1)
    if [ -z "$wheel" ]; then
        say "this Python comes without pip; fetching pip's wheel (package python3-pip-whl) for .venv alone"
        if fetch_pip_wheel; then wheel=$(ls "$work"/pip/usr/share/python-wheels/pip-*.whl | tail -n 1); fi
    fi
    [ -n "$wheel" ] || fail "this Python has no pip, and none could be fetched." \
        "Without a network, install it first (Debian, Ubuntu: sudo apt-get install python3-venv). Details: $log"
    "$venv/bin/python" "$wheel/pip" install -q --no-index "$wheel" >>"$log" 2>&1 ||
        fail "pip could not be installed into .venv." "Details: $log"
}

make_venv() {
    if [ -x "$venv/bin/python" ] && new_enough "$venv/bin/python" && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        return
    fi
    python=$(find_python)
    [ -n "$python" ] || fail "Python 3.11 or newer is needed; found: $(python3 --version 2>&1 || echo none)." \
        "Looked for python3 and python3.11 to python3.14 in the path." \
        "Install one, or name it: make run PYTHON=/path/to/python3.12"
    say "making .venv with $python ($("$python" --version 2>&1))"
    rm -rf "$venv"
    "$python" -m venv --without-pip "$venv" >>"$log" 2>&1 || fail "a virtual environment could not be made." \
        "Is the disk full, or the folder read-only? Details: $log"
    install_pip
}

# Runs pip; its whole output goes to the log, the name of each package to the screen.
pip_install() {
    { "$venv/bin/python" -m pip install --progress-bar off --disable-pip-version-check "$@" 2>&1; echo "exit $?"; } |
        while IFS= read -r line; do
            case $line in
            "exit 0") exit 0 ;;
            "exit "*) exit 1 ;;
            "Collecting "*) name=${line#Collecting }; printf '  %s\n' "${name%% *}" ;;
            esac
            printf '%s\n' "$line" >>"$log"
        done
}

install_failed() {
    echo >&2
    tail -n 12 "$log" >&2
    fail "$1" "The lines above are pip's; all of them are in $log" \
        "No network? pip heeds its own settings (pip config, PIP_INDEX_URL, PIP_CERT, https_proxy). Then try again: what was done is kept."
}

if [ -x "$venv/bin/python" ] && { stamped "$kind" || { [ "$kind" = run ] && stamped dev; }; }; then
    exit 0
fi
mkdir -p "$work"
: >"$log"
make_venv
say "installing the packages of requirements/$kind.lock (once; a minute or two)"
# First what builds: a package that comes as source only is then built by these very packages, and not by whatever is newest.
{ pip_install --require-hashes --only-binary :all: -r "$root/requirements/build.lock" &&
    pip_install --require-hashes --no-build-isolation -r "$lock"; } || install_failed "the packages could not be installed."
say "installing timesync itself (editable)"
pip_install --no-deps --no-build-isolation --editable "$root" || install_failed "timesync could not be installed."
state >"$venv/.timesync-$kind"
say "ready"
