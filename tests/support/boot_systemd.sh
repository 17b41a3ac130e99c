#!/usr/bin/env bash
# The first process of a machine for tests: a systemd on a throw-away overlay of this machine's
# files. To be run in new namespaces by tests/support/systemd_machine.py.
#   boot_systemd.sh WORK "CGROUP_CONTROLLER ..." SOURCE:TARGET ...   what is bound into it, read-only
set -eu
work=$1 controllers=$2
shift 2
mount --make-rprivate /
mount -t tmpfs -o size=4g,mode=755 tmpfs "$work"
mkdir "$work"/{upper,work,root}
root=$work/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$root"
mkdir -p "$root"/{proc,sys,dev,run,tmp,old}
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mkdir -p "$root/run/lock"

# Only the cgroups made for this machine are seen in it.
cgroups=$root/sys/fs/cgroup
if [ "$controllers" = unified ]; then
  mount -t cgroup2 cgroup2 "$cgroups"
else
  mount -t tmpfs -o mode=755 tmpfs "$cgroups"
  for controller in $controllers; do
    mkdir "$cgroups/$controller"
    case $controller in
      unified) mount -t cgroup2 cgroup2 "$cgroups/unified" ;;
      systemd) mount -t cgroup -o none,name=systemd cgroup "$cgroups/systemd" ;;
      *) mount -t cgroup -o "$controller" cgroup "$cgroups/$controller" ;;
    esac
  done
fi

for bound in "$@"; do
  mkdir -p "$root${bound#*:}"
  mount --bind "${bound%%:*}" "$root${bound#*:}"
  mount -o remount,bind,ro "$root${bound#*:}"
done

# Nothing of this machine's own is started in it, but for the journal.
: >"$root/etc/fstab"
rm -rf "$root"/{usr/lib,lib,etc}/systemd/system-generators
for units in "$root"/{usr/lib,lib,etc}/systemd/system; do
  find "$units" \( -path '*.wants/*' -o -path '*.requires/*' \) ! -name 'systemd-journald*' -delete
done
mkdir -p "$root/etc/systemd/journald.conf.d"
printf '[Journal]\nStorage=volatile\nRateLimitBurst=0\n' >"$root/etc/systemd/journald.conf.d/test.conf"

cd "$root"
pivot_root . old
# Shared, as on any machine: systemd hands credentials over by a mount that has to spread.
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=other chroot . /bin/bash -c '
  umount -l /old
  mount --make-rshared /
  exec /lib/systemd/systemd --system --unit=multi-user.target --log-target=journal --show-status=0'
