#!/usr/bin/env bash
# Install this checkout as systemd instances, or upgrade them. Safe to repeat.
#
#   deploy/install.sh [--dev] [--prod] [--demo]  [OPTION ...]
#
#   --dev                real prices, simulated venue, beside prod: on the machine's redis-server, with
#                        the trader run by a timer
#   --prod               the same with a Redis of its own, without a trader until you want one
#   --demo               the simulated exchange: prices, faults and venue are made up
#   --dry-run            say what would be done, change nothing
#   --no-start           neither start nor restart anything
#   --external-redis     the machine's redis-server instead of one of the instance's own
#   --own-redis          one of its own for dev, too
#   --trader-timer       in a new configuration, have the trader run by its timer, every five minutes;
#                        the timer itself is installed anyway, and never enabled here
#   --credential NAME=FILE
#                        keep FILE as a secret of the instance: redis_password, redis_users,
#                        venue_key, venue_secret or alert_urls; takes effect at the next
#                        restart
#
# Code goes to /opt/coinex, root's and read-only; configuration to /etc/coinex/INSTANCE, made once
# and never touched again; state to /var/lib/coinex/INSTANCE. An upgrade is tried before it is used:
# the new code checks the old configuration, and an instance that does not start with it goes back.
# Exit codes: 0 done, 1 failed, 2 usage, 78 the configuration is refused.
set -euo pipefail

readonly BASE=/opt/coinex CONFIGS=/etc/coinex STATES=/var/lib/coinex UNITS=/etc/systemd/system
readonly SHIPPED=(supervisor.py actors shared deploy docs config.yaml requirements.txt setup.cfg
  Makefile package.json package-lock.json .npmrc README.md CHANGELOG.md LICENSE)
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

instances=() credentials=() dry_run='' start=yes external_redis='' own_redis='' trader_timer=''

# shellcheck source=deploy/units.sh
. "$source_dir/deploy/units.sh"

say() { printf '%s\n' "$*"; }
die() { printf 'install.sh: %s\n' "$*" >&2; exit "${code:-1}"; }
usage() { sed -n '2,/^# Exit/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }
# Print the next step.
doing() { say "${dry_run:+would: }$*"; }
# Run a command, or print it with --dry-run.
run() {
  if [[ $dry_run ]]; then printf 'would: %s\n' "${*//$'\n'/ }"; else "$@"; fi
}

read_options() {
  while (($#)); do
    case $1 in
      --dev | --prod | --demo) instances+=("${1#--}") ;;
      --dry-run) dry_run=yes ;;
      --no-start) start='' ;;
      --external-redis) external_redis=yes ;;
      --own-redis) own_redis=yes ;;
      --trader-timer) trader_timer=yes ;;
      --credential)
        [[ ${2:-} =~ ^(redis_password|redis_users|venue_key|venue_secret|alert_urls)=. ]] || code=2 die \
          "--credential expects redis_password, redis_users, venue_key, venue_secret or alert_urls, =, a file"
        [[ -s ${2#*=} ]] || code=2 die "--credential ${2%%=*}: ${2#*=} is no file or is empty"
        credentials+=("${2%%=*}=$(realpath -- "${2#*=}")")
        shift
        ;;
      -h | --help) usage; exit 0 ;;
      *) code=2 die "unknown option $1; see --help" ;;
    esac
    shift
  done
  ((${#instances[@]})) || code=2 die "which instance? give --dev, --prod, --demo or several; see --help"
  [[ ! $external_redis || ! $own_redis ]] || code=2 die "give --external-redis or --own-redis, not both"
  ((${#credentials[@]} == 0 || ${#instances[@]} == 1)) \
    || code=2 die "--credential belongs to one instance: give one of --dev, --prod and --demo"
}

check_machine() {
  [[ $dry_run ]] && return
  [[ $(id -u) == 0 ]] || die "only root may install; try sudo, or --dry-run to see what it does"
  [[ -d /run/systemd/system ]] || die "systemd does not run here; \`make run\` needs none"
  local needed version
  version=$(systemctl --version | awk 'NR == 1 {print $2}')
  ((version >= 250)) || die "systemd is $version; the unit needs 250 or newer (credentials)"
  for needed in useradd runuser tar sha256sum awk systemctl; do
    command -v "$needed" >/dev/null || die "$needed is missing; install it first"
  done
}

# Shared by instances: interpreter, environment, code, each in a directory named by its hash.

# The service's user cannot read a home directory, where many interpreters are.
choose_python() {
  python=$("$source_dir/deploy/find_python.sh") || die "without a Python there is no going on"
  local prefix version copy
  prefix=$("$python" -c 'import os, sys; print(os.path.realpath(sys.base_prefix))')
  version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
  # what ProtectHome= hides; and what others may not enter
  [[ $prefix/ =~ ^/(root|home|run/user)/ || $prefix/ == "${HOME:-}"/* ]] || return 0
  copy=$BASE/python/$version
  python=$copy/bin/python${version%.*}
  if [[ -x $python ]]; then return; fi
  doing "copy Python $version out of a home directory, to $copy"
  [[ $dry_run ]] && return
  rm -rf "$copy.new"
  mkdir -p "$copy.new"
  tar -C "$prefix" --exclude="./lib/python${version%.*}/test" --exclude=./share \
    --exclude="./lib/python${version%.*}/site-packages/*" -cf - . \
    | tar -C "$copy.new" --no-same-owner -xf -
  # a program linked to a library in the home directory must search beside itself instead
  "$prefix/bin/python${version%.*}" - "$prefix/lib" "$copy.new/bin/python${version%.*}" <<'PYTHON'
import sys
from pathlib import Path

old, new, program = sys.argv[1].encode(), b"$ORIGIN/../lib", Path(sys.argv[2])
if len(new) <= len(old):
    padded = b"\0" + new.ljust(len(old), b"\0") + b"\0"
    program.write_bytes(program.read_bytes().replace(b"\0" + old + b"\0", padded))
PYTHON
  chmod -R a+rX "$copy.new"
  runuser -u nobody -- "$copy.new/bin/python${version%.*}" -c '' || die \
    "the Python in $prefix cannot be copied: install one of 3.12 or 3.13 outside of home directories"
  mv -T "$copy.new" "$copy"
}

make_venv() {
  local id
  id=$({ cat "$source_dir/requirements.txt"; echo "$python"; } | sha256sum | cut -c1-12)
  venv=$BASE/venvs/$id
  if cmp -s "$source_dir/requirements.txt" "$venv/requirements.txt"; then return; fi
  doing "make $venv with what requirements.txt pins"
  [[ $dry_run ]] && return
  rm -rf "$venv"
  mkdir -p "$BASE/venvs"
  "$python" -m venv "$venv" || die "$python cannot make a virtual environment: install its venv" \
    "module (Debian and Ubuntu: the package python3-venv of that version)"
  # only files whose hashes are pinned; no sdists, as what builds one is not pinned
  "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-input \
    --require-hashes --only-binary=:all: -r "$source_dir/requirements.txt"
  chmod -R a+rX "$venv"
  cp "$source_dir/requirements.txt" "$venv/requirements.txt" # last: marks the environment as complete
}

make_release() {
  local id new
  id=$(cd "$source_dir" && find "${SHIPPED[@]}" -name __pycache__ -prune -o -type f -print0 \
    | LC_ALL=C sort -z | { xargs -0 sha256sum; echo "$venv"; } | sha256sum | cut -c1-12)
  release=$BASE/releases/$(awk '$1 == "version" {print $3}' "$source_dir/setup.cfg")-$id
  if [[ -d $release ]]; then return; fi
  doing "copy the code to $release"
  [[ $dry_run ]] && return
  new=$BASE/releases/new
  rm -rf "$new"
  mkdir -p "$new"
  tar -C "$source_dir" --exclude=__pycache__ -cf - "${SHIPPED[@]}" \
    | tar -C "$new" --no-same-owner -xf -
  ln -s "$venv" "$new/.venv"
  # compiled now: the service may not write here
  "$venv/bin/python" -m compileall -q -s "$new" -p "$release" "$new"/{supervisor.py,actors,shared}
  if command -v make >/dev/null; then make -s -C "$new" charts; fi
  chmod -R a+rX,go-w "$new"
  mv -T "$new" "$release"
}

# Per instance

make_user() {
  id "$user" >/dev/null 2>&1 || run useradd --system --user-group --no-create-home \
    --home-dir /nonexistent --shell /usr/sbin/nologin "$user"
}

make_config() {
  run install -d -m 750 -o root -g "$user" "$CONFIGS/$instance"
  run install -d -m 700 "$CONFIGS/$instance"/credentials{,/redis,/venue,/alert}
  local given name
  for given in "${credentials[@]}"; do
    name=${given%%=*}
    run install -m 600 "${given#*=}" "$CONFIGS/$instance/credentials/${name%%_*}/${name#*_}"
    say "$instance: $name is used from the next restart on"
  done
  [[ $dry_run ]] || find "$CONFIGS/$instance/credentials" -type f -exec chmod 600 {} +
  local config=$CONFIGS/$instance/config.yaml
  if [[ -e $config ]]; then
    keep_config "$config"
    return
  fi
  machine_redis=$external_redis
  if [[ $instance == dev && ! $own_redis ]]; then machine_redis=yes; fi
  if [[ $machine_redis ]]; then check_machine_redis; fi
  doing "make $config"
  [[ $dry_run ]] && return
  config_text >"$config.new" || die "config.yaml is not laid out as expected"
  chown root:"$user" "$config.new"
  chmod 640 "$config.new"
  mv "$config.new" "$config"
}

# A configuration that exists is its owner's: nothing in it is changed, what was asked for and is not
# so in it is said.
keep_config() {
  local own_only='' mode
  grep -Eq '^ *embedded: *never' "$1" || own_only=yes
  machine_redis=$external_redis
  if [[ $external_redis && $own_only ]]; then
    die "$1 exists and stays as it is: set redis.embedded to never and redis.url in it"
  fi
  if [[ $own_redis && ! $own_only ]]; then
    die "$1 exists and stays as it is: set redis.embedded to always and redis.url in it"
  fi
  mode=$(sed -n 's/^mode: *\([a-z]*\).*/\1/p' "$1")
  if [[ $instance == dev && $mode == demo ]]; then
    say "dev: stays in demo mode, as $1 says. For real prices either" \
      "deploy/uninstall.sh --dev --purge and install it again, or set in it mode: paper and" \
      "state_dir: $STATES/dev/paper, and systemctl restart coinex-platform@dev"
  fi
  if [[ $trader_timer ]] && ! grep -Eq '^  timer_min: *[0-9]' "$1"; then
    say "$instance: for the timer set in $1 trader.enabled: true and trader.timer_min: 5"
  fi
}

check_machine_redis() {
  if (exec 3<>/dev/tcp/127.0.0.1/6379) 2>/dev/null || systemctl -q cat redis-server >/dev/null 2>&1; then
    return
  fi
  [[ $dry_run ]] || die "$instance is to use the machine's Redis, and there is none on" \
    "127.0.0.1:6379: install redis-server, or give --own-redis"
}

# config.yaml with the instance's own values, comments and all.
config_text() {
  local -a own=(".state_dir=$STATES/$instance" "redis.namespace=$instance" redis.embedded=always)
  case $instance in
    dev)
      own+=(.mode=paper redis.url=redis://127.0.0.1:6380/0 health.port=8894 dashboard.port=8892
        trader_api.port=8895 simulator.port=8899)
      ;;
    prod)
      own+=(.mode=paper redis.url=redis://127.0.0.1:6381/0 health.port=8893 dashboard.port=8891
        trader_api.port=8896 simulator.port=8898)
      ;;
    demo)
      own+=(.mode=demo redis.url=redis://127.0.0.1:6382/0 health.port=8897 dashboard.port=8890
        trader_api.port=8900 simulator.port=8901)
      ;;
  esac
  if [[ $machine_redis ]]; then own+=(redis.embedded=never redis.url=redis://127.0.0.1:6379/0); fi
  if [[ $instance == dev || $trader_timer ]]; then own+=(trader.enabled=true trader.timer_min=5); fi
  awk -v own="${own[*]}" '
    BEGIN {
      count = split(own, parts, " ")
      for (i = 1; i <= count; i++) {
        at = index(parts[i], "=")
        want[substr(parts[i], 1, at - 1)] = substr(parts[i], at + 1)
      }
    }
    /^[a-z_]+:/ { section = $1; sub(/:.*/, "", section) }
    /^(  )?[a-z_]+: |^  # [a-z_]+: / {
      name = $1 == "#" ? $2 : $1; sub(/:$/, "", name)
      path = (/^ / ? section : "") "." name
      if (path in want) {
        comment = match($0, / +#/) ? substr($0, RSTART) : ""
        print (/^ / ? "  " : "") name ": " want[path] comment
        delete want[path]
        next
      }
    }
    { print }
    END { for (path in want) exit 1 }
  ' "$source_dir/config.yaml"
}

# Units are copied per instance, so that an upgrade of one does not change the other's.
make_units() {
  local unit=coinex-platform@$instance.service
  put_unit coinex-platform@.service "$unit"
  if [[ $machine_redis ]]; then
    run install -d "$UNITS/$unit.d"
    put_unit external-redis.conf "$unit.d/external-redis.conf"
  fi
  put_unit coinex-trader-once@.service "coinex-trader-once@$instance.service"
  put_timer
  new_companions=()
  case $instance in
    dev)
      put_companion coinex-ta-dev ta 'fetcher indicators-*' 'candles and indicators'
      put_companion coinex-dashboard-dev dashboard dashboard 'the dashboard'
      put_companion coinex-trader-api-dev trader-api trader-api "the trader's API"
      ;;
    prod) put_companion coinex-dashboard dashboard dashboard 'the dashboard' ;;
  esac
  if ! cmp -s "$source_dir/deploy/coinex" /usr/local/bin/coinex; then
    run install -D -m 755 "$source_dir/deploy/coinex" /usr/local/bin/coinex
  fi
}

put_unit() {
  cmp -s "$source_dir/deploy/$1" "$UNITS/$2" && return
  run install -m 644 "$source_dir/deploy/$1" "$UNITS/$2"
  changed=yes
}

# The new code reads the configuration in force as the user it will run as.
check_release() {
  [[ $dry_run ]] && { say "would: check $CONFIGS/$instance/config.yaml with $release"; return; }
  local failed=0
  runuser -u "$user" -- "$release/.venv/bin/python" "$release/supervisor.py" check \
    --config "$CONFIGS/$instance/config.yaml" || failed=$?
  ((failed == 0)) || code=$failed die \
    "$instance: the new code refuses $CONFIGS/$instance/config.yaml (above); nothing was restarted"
}

point_to() {
  ln -sfn "$1" "$BASE/$instance.new"
  mv -T "$BASE/$instance.new" "$BASE/$instance"
}

bring_up() {
  local unit=coinex-platform@$instance.service before state
  before=$(readlink "$BASE/$instance" || true)
  if [[ $before != "$release" ]]; then changed=yes; fi
  if [[ ! $changed ]] && { [[ ! $start ]] || systemctl -q is-active "$unit"; }; then
    say "$instance: nothing changed"
    return
  fi
  if [[ $dry_run ]]; then
    say "would: point $BASE/$instance to $release${start:+, and start or restart $unit}"
    return
  fi
  state=$(systemctl show -P ActiveState "$unit")
  point_to "$release"
  systemctl daemon-reload
  # once: whoever disables one does not get it back with the next upgrade
  if ((${#new_companions[@]})); then systemctl -q enable "${new_companions[@]}"; fi
  if [[ ! $start ]]; then
    say "$instance: installed, not started: systemctl enable --now $unit"
  elif [[ $before && $state == inactive ]]; then
    say "$instance: installed; it was stopped and stays so: systemctl start $unit"
  elif systemctl -q enable "$unit" && systemctl restart "$unit"; then
    say "$instance: $(systemctl show -P StatusText "$unit")"
  else
    go_back "$unit" "$before"
  fi
}

go_back() {
  journalctl -u "$1" -n 20 --no-pager -o cat >&2 || true
  if [[ ! $2 || $2 == "$release" ]]; then die "$instance does not start; see journalctl -u $1"; fi
  point_to "$2"
  install -m 644 "$2/deploy/coinex-platform@.service" "$UNITS/$1"
  systemctl daemon-reload
  systemctl restart "$1" || die "$instance starts neither with $release nor with $2"
  die "$instance does not start with $release and runs $2 again"
}

# Remove old code, except what an instance uses and the two newest others.
tidy() {
  [[ $dry_run ]] && return
  local old used kept=0
  used=$(readlink "$BASE/dev" "$BASE/prod" "$BASE/demo" || true)
  while IFS= read -r old; do
    if grep -qxF "$old" <<<"$used" || ((kept++ < 2)); then continue; fi
    rm -rf "$old"
  done < <(find "$BASE/releases" -mindepth 1 -maxdepth 1 -printf '%C@ %p\n' | sort -rn | cut -d' ' -f2-)
  used=$(readlink "$BASE"/releases/*/.venv || true)
  for old in "$BASE"/venvs/*; do
    grep -qxF "$old" <<<"$used" || rm -rf "$old"
  done
}

main() {
  read_options "$@"
  check_machine
  umask 022
  cd /
  choose_python
  make_venv
  make_release
  for instance in "${instances[@]}"; do
    user=coinex-$instance changed=''
    make_user
    make_config
    check_release
    make_units
    bring_up
  done
  tidy
}

main "$@"
