#!/bin/sh
# Installs a Debian package where its program is missing: `deploy/debian.sh ffmpeg` or `deploy/debian.sh chromium`.
# FFmpeg's libraries decode media and its command makes the demo's clips; Chromium is the browser of the tests.
set -eu
package=$1

present() {
    command -v "$package" >/dev/null 2>&1 || return 1
    [ "$package" != ffmpeg ] || ldconfig -p 2>/dev/null | grep -q 'libavcodec\.so'
}

PATH="$PATH:/usr/sbin:/sbin"
present && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "$package is missing: installing it with apt-get." >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=600 update --quiet=2
    apt-get -o DPkg::Lock::Timeout=600 install --quiet=2 --yes --no-install-recommends "$package" >&2
    present && exit 0
fi
echo "$package is missing. Install it, then run this again:" >&2
echo "    sudo sh -c 'apt-get update && apt-get install --yes --no-install-recommends $package'" >&2
exit 1
