#!/usr/bin/env bash
# Remove installed instances; configuration, secrets and state stay unless --purge is given.
#
#   deploy/uninstall.sh [--dev] [--prod] [--demo]  [--purge] [--dry-run]
#
#   --purge     also /etc/coinex/INSTANCE, /var/lib/coinex/INSTANCE and the user: journals, orders,
#               keys; there is no way back
#   --dry-run   say what would be done, change nothing
#
# Exit codes: 0 done, 1 failed, 2 usage.
set -euo pipefail

readonly BASE=/opt/coinex UNITS=/etc/systemd/system
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# shellcheck source=deploy/units.sh
. "$source_dir/units.sh"
instances=() dry_run='' purge=''

die() { printf 'uninstall.sh: %s\n' "$*" >&2; exit "${code:-1}"; }
run() {
  if [[ $dry_run ]]; then printf 'would: %s\n' "$*"; else "$@"; fi
}

while (($#)); do
  case $1 in
    --dev | --prod | --demo) instances+=("${1#--}") ;;
    --purge) purge=yes ;;
    --dry-run) dry_run=yes ;;
    -h | --help) sed -n '2,/^# Exit/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) code=2 die "unknown option $1; see --help" ;;
  esac
  shift
done
((${#instances[@]})) || code=2 die "which instance? give --dev, --prod, --demo or several; see --help"
[[ $dry_run || $(id -u) == 0 ]] || die "only root may uninstall; try sudo, or --dry-run"

cd /
for instance in "${instances[@]}"; do
  for unit in $(units_of "$instance"); do
    if [[ -e $UNITS/$unit ]]; then
      run systemctl -q stop "$unit"
      run systemctl -q disable "$unit"
      run rm -rf "${UNITS:?}/$unit" "$UNITS/$unit.d"
    fi
  done
  run rm -rf "${BASE:?}/$instance" "/var/cache/coinex/$instance"
  if [[ $purge ]]; then
    run rm -rf "/etc/coinex/$instance" "/var/lib/coinex/$instance"
    if id "coinex-$instance" >/dev/null 2>&1; then run userdel "coinex-$instance"; fi
  elif [[ ! $dry_run ]]; then
    echo "$instance: removed; /etc/coinex/$instance and /var/lib/coinex/$instance are kept"
  fi
done
run systemctl daemon-reload
if [[ ! -e $BASE/dev && ! -e $BASE/prod && ! -e $BASE/demo ]]; then
  run rm -rf "$BASE" /usr/local/bin/coinex
  for left in /etc/coinex /var/lib/coinex /var/cache/coinex /run/coinex; do
    if [[ -d $left ]]; then run rmdir --ignore-fail-on-non-empty "$left"; fi
  done
fi
