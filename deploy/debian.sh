#!/bin/sh
# Installs missing Debian packages as root, otherwise names them: `deploy/debian.sh demo [PYTHON]`, or `test`, which
# needs more. PYTHON is the interpreter of the virtual environment, or the one that will create it.
set -eu
purpose=$1 python=${2:-python3}
PATH="$PATH:/usr/sbin:/sbin"

loads() { "$python" -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "$1" 2>/dev/null; }

# FFmpeg's libraries decode media, and its command makes clips. torchcodec is linked to Python's shared library.
needed() {
    command -v ffmpeg >/dev/null && ldconfig -p | grep -q 'libavdevice\.so' || echo ffmpeg
    command -v "$python" >/dev/null || { echo python3 python3-venv; return; }
    "$python" -c 'import sys; sys.prefix != sys.base_prefix or __import__("ensurepip")' 2>/dev/null || echo python3-venv
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2] + sys.abiflags)')
    loads "libpython$version.so.1.0" || echo "libpython$version"
}

# Without these, tests are skipped with a message: those in a browser (Node, which drives it, is linked to libatomic),
# and those that compare the numbers of system calls with the kernel's headers.
wanted() {
    [ "$purpose" = test ] || return 0
    command -v chromium >/dev/null || echo chromium
    ldconfig -p | grep -q 'libatomic\.so\.1 ' || echo libatomic1
    ls /usr/include/asm-generic/unistd.h >/dev/null 2>&1 || echo linux-libc-dev
}

packages() { echo $(needed; wanted); }

may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

# Once more while the list changes: only a Python that is installed says which shared library it needs.
missing=$(packages) tried=
while [ -n "$missing" ] && [ "$missing" != "$tried" ] && may_install; do
    echo "Missing: $missing. Installing with apt-get." >&2
    tried=$missing
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=600 update --quiet=2 &&
        apt-get -o DPkg::Lock::Timeout=600 install --quiet=2 --yes --no-install-recommends $missing >/dev/null || true
    missing=$(packages)
done
[ -n "$missing" ] || exit 0
echo "Missing: $missing. Install with:" >&2
echo "    sudo sh -c 'apt-get update && apt-get install --yes --no-install-recommends $missing'" >&2
[ -z "$(needed)" ]
