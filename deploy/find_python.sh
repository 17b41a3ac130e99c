#!/bin/sh
# Print the path of a CPython from 3.12 to 3.13, or fail with how to get one.
# Candidates are run to get their version: the python3.12 of a version switcher may exist and fail.
set -eu
suitable='import sys; sys.exit(not ((3, 12) <= sys.version_info < (3, 14)))'
for candidate in "$(command -v python3.12)" "$(command -v python3.13)" "$(command -v python3)" \
    "${HOME:-/root}"/.pyenv/versions/3.12.*/bin/python3 \
    "${HOME:-/root}"/.pyenv/versions/3.13.*/bin/python3; do
  if [ -x "$candidate" ] && "$candidate" -c "$suitable" 2>/dev/null; then
    echo "$candidate"
    exit
  fi
done
if command -v uv >/dev/null; then
  uv python find '>=3.12,<3.14' 2>/dev/null && exit
  uv python install -q 3.12 && uv python find 3.12 && exit
fi
echo "no Python from 3.12 to 3.13 found (on PATH, in ~/.pyenv/versions, by uv): install one," \
  "for example with your system's packages, pyenv or uv" >&2
exit 1
