"""`coinex redis-acl`: the users of an external Redis, as the ACL file it loads."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from shared.config.load import load
from shared.errors import EXIT_OK
from shared.redis.acl import CONFINES_WRITERS, Version
from shared.redis.users import new_users, read_passwords
from shared.schema import table


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `redis-acl`."""
    parser.add_argument(
        "--passwords",
        type=Path,
        required=True,
        metavar="FILE",
        help="where the passwords are kept, for redis.users_file; made if absent, and completed",
    )
    parser.add_argument(
        "--server",
        type=_version,
        default=CONFINES_WRITERS,
        metavar="VERSION",
        help="of that Redis (7.0); before 7 who reads a key may also write it",
    )


def show(options: argparse.Namespace) -> int:
    """Print the ACL file, passwords hashed; create the file of passwords if there is none.

    Raises:
        ConfigError: The configuration or that file is invalid.
    """
    config = load(Path(options.config), options.set, mode=options.mode, to_run=False)
    path: Path = options.passwords
    known = read_passwords(path) if path.exists() else {}
    users = new_users(config.redis.namespace, known)
    if users.passwords != known:
        users.write(path)
        made = len(users.passwords) - len(known)
        print(f"{made} new password(s) in {path}; set redis.users_file to it", file=sys.stderr)
    print("\n".join(users.acl(options.server, table(config.trader.kind))))
    return EXIT_OK


def _version(text: str) -> Version:
    found = re.match(r"(\d+)\.(\d+)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no version such as 7.0")
    return int(found[1]), int(found[2])
