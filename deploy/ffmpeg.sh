#!/bin/sh
# Installs FFmpeg (its libraries decode media, its command makes the demo's tampered clips) where it is missing.
set -eu

present() {
    command -v ffmpeg >/dev/null 2>&1 && ldconfig -p 2>/dev/null | grep -q 'libavcodec\.so'
}

PATH="$PATH:/usr/sbin:/sbin"
present && exit 0

install='apt-get update && apt-get install --yes --no-install-recommends ffmpeg'
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo 'FFmpeg is missing: installing it with apt-get.' >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get -o DPkg::Lock::Timeout=600 update --quiet=2
    apt-get -o DPkg::Lock::Timeout=600 install --quiet=2 --yes --no-install-recommends ffmpeg >&2
    present && exit 0
fi
echo 'FFmpeg is missing. Install its libraries and its command, then run this again:' >&2
echo "    sudo sh -c '$install'" >&2
exit 1
