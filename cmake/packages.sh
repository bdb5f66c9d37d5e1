# Sourced by the run scripts: installs what is missing, from the distribution's own packages.

# The packages that the library and the scripts stand on.
luzia_packages() {
    local boost=libboost-dev # new enough from Debian 13 on
    [ -n "$(apt-cache madison libboost1.81-dev 2>/dev/null)" ] && boost=libboost1.81-dev
    echo g++ cmake ninja-build pkg-config "$boost" libhiredis-dev libspdlog-dev nlohmann-json3-dev redis-server
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# need PACKAGE...: installs those that are not there.
need() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return 0
    echo "installing: ${missing[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install -y --no-install-recommends "${missing[@]}" >/dev/null
}

# need_luzia [PACKAGE...]: what the library needs, and more.
need_luzia() {
    if ! command -v apt-get >/dev/null; then
        echo "no apt-get here: install Boost >= 1.81, hiredis >= 0.14.1, spdlog >= 1.10, nlohmann_json >= 3.11, Redis, CMake and Ninja by hand"
        return 0
    fi
    # Without lists apt knows no package at all, and the choice of Boost would be blind.
    [ -n "$(apt-cache madison libhiredis-dev 2>/dev/null)" ] || as_root apt-get -qq update
    # shellcheck disable=SC2046
    need $(luzia_packages) "$@"
}
