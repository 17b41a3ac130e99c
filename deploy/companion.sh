#!/bin/sh
# companion.sh start|watch|stop: what a companion unit runs (coinex-companion.service).
#
# Needs in the environment INSTANCE, NAME (of shared/supervision/readiness.py) and ACTORS, patterns of
# names. The supervisor keeps the files: ready/NAME is there while all of them are ready.
set -euf
ready=/run/coinex/$INSTANCE/ready/$NAME
state=/run/coinex/$INSTANCE/state/$NAME
code=/opt/coinex/$INSTANCE

# Print how the actors are.
words() {
  cat "$state" 2>/dev/null || echo "coinex-platform@$INSTANCE does not run"
}

# Have the supervisor carry out a command on the actors.
ask() {
  # shellcheck disable=SC2086  # many patterns
  "$code/.venv/bin/python" "$code/supervisor.py" "$1" --config "/etc/coinex/$INSTANCE/config.yaml" $ACTORS
}

# Wait for at most 5 s, in which the supervisor has brought its files up to date ten times.
until_true() {
  tries=50
  while ! "$@"; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || return 1
    sleep 0.1
  done
}

gone() { [ ! -e "$ready" ]; }
given_up() {
  case $(words) in *': stopped'* | *': backoff'* | *': quarantined'*) ;; *) return 1 ;; esac
}
# Whether they are ready or wait to be started, not in between.
settled() { [ -e "$ready" ] || given_up; }

case $1 in
  start)
    until_true settled || true
    if gone && given_up && ask start; then until_true test -e "$ready" || true; fi
    words
    [ -e "$ready" ]
    ;;
  watch)
    while [ -e "$ready" ]; do sleep 2; done
    case $(words) in
      *'the platform is stopping' | *' does not run') exit 0 ;;
    esac
    words >&2
    exit 1
    ;;
  stop)
    # only when it is asked to stop: not when an actor has failed, or the platform is going
    if [ "${SERVICE_RESULT:-success}" != success ] || gone; then exit 0; fi
    ask stop
    until_true gone
    ;;
esac
