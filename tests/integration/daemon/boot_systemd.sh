#!/bin/sh
# Starts a real systemd as process 1 of new namespaces, on a read-only view of this machine's files:
# `boot_systemd.sh FOLDER SITE CODE`. FOLDER has units/ and out/; they, Python's packages and the checkout appear below
# /run. Nothing of this machine's own systemd is read, and nothing outside FOLDER is written.
set -eu
folder=$1 site=$2 code=$3
mount --make-rprivate /
root=$folder/root
mkdir "$root"
mount --bind / "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
# When the unit ends, RemoveIPC= removes the shared memory of User=, which may also be PostgreSQL's account outside.
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount --rbind /sys "$root/sys"
umount -R "$root/sys/fs/cgroup"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for place in run var/tmp var/cache; do
    mount -t tmpfs -o mode=755 tmpfs "$root/$place"
done
mkdir "$root/run/units" "$root/run/out" "$root/run/site" "$root/run/code" "$root/run/old"
mount --bind "$folder/units" "$root/run/units"
mount --bind "$folder/out" "$root/run/out"
mount --bind "$site" "$root/run/site"
mount --bind "$code" "$root/run/code"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
cd "$root"
pivot_root . run/old
umount -l /run/old
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=sentinel-test \
    SYSTEMD_UNIT_PATH=/run/units SYSTEMD_GENERATOR_PATH=/run/nowhere \
    /lib/systemd/systemd --system --unit=sentinel-worker.service --show-status=0
