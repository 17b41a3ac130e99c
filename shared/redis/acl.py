"""What each role may do on Redis, as ACL rules made from the table of keys.

From Redis 7 on the rights of each kind of access stand in a selector of their own, so that a
command is allowed only on the names the table gives it for: who subscribes to a channel cannot
publish there, and who writes a key cannot read it. Older servers know neither selectors nor
`%R~`: a role then gets all its commands on all names it reads or writes, which keeps it from
everything else, but does not tell its writing from its reading.

What Redis does not check, whatever the rules: AUTH, HELLO, QUIT and RESET are everyone's; SCAN
shows every name on the server; SELECT reaches every database, where the same rules hold; a
write may tell what it met (SET NX whether a key exists, RPUSH how long a list is). A pattern of
PSUBSCRIBE must be the very text of a rule, not merely match it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from shared.schema import TABLE, Entry, Kind, Role

type Version = tuple[int, int]

CONFINES_WRITERS: Version = (7, 0)

# Exactly what the bus sends, and nothing that Redis calls dangerous.
CONNECTING = ("ping", "select", "client|setname")
READING: dict[Kind, tuple[str, ...]] = {
    "key": ("mget",),
    "hash": ("hgetall",),
    "stream": ("xrange", "xrevrange"),
    "list": ("blpop",),
    "channel": ("subscribe", "psubscribe"),
}
WRITING: dict[Kind, tuple[str, ...]] = {
    "key": ("set", "del"),
    "hash": ("hset", "hdel"),
    "stream": ("xadd",),
    "list": ("rpush", "expire"),
    "channel": ("publish",),
}
# The operator's alone: finding keys, and showing what they hold, whatever it is.
FINDING = ("scan",)
SHOWING = ("get", "hgetall", "lrange", "mget", "smembers", "type", "xrange", "xrevrange", "zrange")

NOTHING = ("resetkeys", "resetchannels", "-@all")
NOBODY = " ".join(("user default off", *NOTHING))


def user_name(role: Role, namespace: str) -> str:
    """Return the Redis user of a role; several namespaces may share a server."""
    space = namespace.rstrip(":")
    return f"{space}.{role}" if space else str(role)


def user_line(role: Role, namespace: str, password: str, version: Version) -> str:
    """Return a user as a line of an ACL file or of redis.conf, its password hashed."""
    digest = hashlib.sha256(password.encode()).hexdigest()
    name = user_name(role, namespace)
    return " ".join(("user", name, "on", f"#{digest}", *rules(role, namespace, version)))


def rules(role: Role, namespace: str, version: Version) -> tuple[str, ...]:
    """Return the rules of a role's user: nothing, and then what the table gives it.

    Args:
        namespace: Stands before every key and channel, as in `redis.namespace`.
        version: Of the server that will read them.
    """
    space = namespace.rstrip(":")
    found = list(_accesses(role, space + ":" if space else ""))
    root = [*CONNECTING, *(FINDING if role is Role.OPERATOR else ())]
    if version >= CONFINES_WRITERS:
        selectors = (f"({' '.join([*_allowed(commands), *names])})" for commands, names in found)
        return (*NOTHING, *_allowed(root), *selectors)
    commands = dict.fromkeys([*root, *(c for commands, _ in found for c in commands)])
    names = dict.fromkeys(_without_direction(name) for _, names in found for name in names)
    return (*NOTHING, *_allowed(list(commands)), *names)


def _accesses(role: Role, prefix: str) -> Iterator[tuple[Sequence[str], list[str]]]:
    """Yield commands, and the patterns they are allowed on."""
    kinds: tuple[Kind, ...] = ("key", "hash", "stream", "list", "channel")
    for kind in kinds:
        entries = [entry for entry in TABLE if entry.kind == kind]
        read = [prefix + entry.glob() for entry in entries if role in _readers(entry)]
        globs = [entry.written_by(role) for entry in entries]
        written = [prefix + glob for glob in globs if glob is not None]
        # taking from a list changes it
        reading, writing = ("%RW~" if kind == "list" else "%R~"), "%W~"
        if kind == "channel":
            reading = writing = "&"
        if read:
            yield READING[kind], [reading + name for name in read]
        if written:
            yield WRITING[kind], [writing + name for name in written]
    if role is Role.OPERATOR:
        names = [prefix + entry.glob() for entry in TABLE if entry.kind != "channel"]
        yield SHOWING, [f"%R~{name}" for name in names]


def _readers(entry: Entry[Any]) -> tuple[Role, ...]:
    if entry.kind == "channel":
        return (*entry.readers, Role.OPERATOR)
    if entry.kind == "list":
        return entry.readers
    return tuple(role for role in entry.readers if role is not Role.OPERATOR)  # shown all anyway


def _allowed(commands: Sequence[str]) -> list[str]:
    return [f"+{command}" for command in commands]


def _without_direction(pattern: str) -> str:
    return pattern if pattern.startswith("&") else "~" + pattern.partition("~")[2]
