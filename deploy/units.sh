#!/usr/bin/env bash
# Units whose names do not have the instance in them, for install.sh and uninstall.sh.
# shellcheck disable=SC2034,SC2154 # what they set, or use

timer_of() {
  case $1 in
    prod) echo coinex-live-trader.timer ;;
    *) echo "coinex-trader-$1.timer" ;;
  esac
}

# Every unit of an instance, in the order in which they are stopped.
units_of() {
  local name
  timer_of "$1"
  echo "coinex-trader-once@$1.timer" # of earlier versions
  echo "coinex-trader-once@$1.service"
  case $1 in
    dev) set -- "$1" coinex-ta-dev coinex-dashboard-dev coinex-trader-api-dev ;;
    prod) set -- "$1" coinex-dashboard ;;
  esac
  for name in "${@:2}"; do printf '%s\n' "$name.path" "$name.service"; done
  echo "coinex-platform@$1.service"
}

# Write a unit, if it is not there as it should be: TEMPLATE UNIT [SED_EXPRESSION ...]
put_named_unit() {
  local template=$source_dir/deploy/$1 unit=$UNITS/$2 text each
  local -a edits=(-e "s/%i/$instance/g" -e "s/@UNIT@/${2%.*}/g")
  shift 2
  for each; do edits+=(-e "$each"); done
  text=$(sed "${edits[@]}" "$template")
  cmp -s - "$unit" <<<"$text" && return
  changed=yes
  doing "write $unit"
  [[ $dry_run ]] && return
  printf '%s\n' "$text" >"$unit.new"
  chmod 644 "$unit.new"
  mv "$unit.new" "$unit"
}

put_companion() {
  local each
  [[ -e $UNITS/$1.service ]] || new_companions+=("$1.service")
  for each in service path; do
    put_named_unit "coinex-companion.$each" "$1.$each" "s/@NAME@/$2/g" "s/@ACTORS@/$3/g" "s/@WHAT@/$4/g"
  done
}

# The timer under its own name; one under the name it had before is followed by it.
put_timer() {
  local old=coinex-trader-once@$instance.timer timer state
  timer=$(timer_of "$instance")
  put_named_unit coinex-trader.timer "$timer"
  [[ -e $UNITS/$old ]] || return 0
  say "$instance: the timer is called $timer now, $old is removed"
  # what `systemctl edit` made, such as another interval, is its owner's
  if [[ -d $UNITS/$old.d && ! -e $UNITS/$timer.d ]]; then run mv "$UNITS/$old.d" "$UNITS/$timer.d"; fi
  run systemctl daemon-reload
  for state in enabled active; do
    if systemctl -q "is-$state" "$old"; then
      if [[ $state == enabled ]]; then run systemctl -q enable "$timer"; else run systemctl start "$timer"; fi
    fi
  done
  run systemctl -q disable --now "$old"
  run rm -rf "${UNITS:?}/$old" "$UNITS/$old.d"
}
