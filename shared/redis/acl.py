"""The ACL rules of each role on Redis, made from a table of keys (`shared.schema.table`).

From Redis 7 on each kind of access has a selector of its own, so a command is allowed only on the
names the table lists it for: a subscriber of a channel cannot publish there, a writer of a key
cannot read it. Older servers have neither selectors nor `%R~`: a role gets all its commands on
all names it reads or writes, so reading and writing are not separated.

Not checked by Redis, whatever the rules: everyone may AUTH, HELLO, QUIT and RESET; SCAN lists
every name on the server; SELECT reaches every database, where the same rules apply; the reply to
a write reveals something (SET NX whether a key exists, RPUSH the length of a list). A pattern of
PSUBSCRIBE must equal the text of a rule, not merely match it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from shared.schema import GUEST_ROLES, LEASE, TABLE, TRADER_KILL, Entry, Kind, Role

type Version = tuple[int, int]
type Table = Sequence[Entry[Any]]

CONFINES_WRITERS: Version = (7, 0)

# What the bus sends, and its like for a person; nothing of Redis' category @dangerous.
CONNECTING = ("ping", "select", "client|setname")
READING: dict[Kind, tuple[str, ...]] = {
    "key": ("get", "mget", "exists"),
    "hash": ("hgetall",),
    "stream": ("xrange", "xrevrange"),
    "list": ("blpop",),
    "channel": ("subscribe", "psubscribe"),
}
WRITING: dict[Kind, tuple[str, ...]] = {
    "key": ("set", "del"),
    "hash": ("hset", "hdel", "del"),
    "stream": ("xadd", "xtrim", "del"),
    "list": ("rpush", "expire", "del"),
    "channel": ("publish",),
}
GUEST_WRITING: dict[Kind, tuple[str, ...]] = {
    "key": ("set", "del"), "stream": ("xadd",), "channel": ("publish",),
}  # fmt: skip
"""Of a guest: it deletes no history; XADD with MAXLEN, or with the last ID there is, may."""

# For the operator only: listing keys, reading any type, asking how long or how much is left, and
# removing what nobody should miss.
FORGETTING = ("del",)
FINDING = ("scan",)
SHOWING = (
    "get", "hgetall", "lrange", "mget", "smembers", "type", "xrange", "xrevrange", "zrange",
    "exists", "hlen", "llen", "pttl", "strlen", "ttl", "xlen",
)  # fmt: skip

NOTHING = ("resetkeys", "resetchannels", "-@all")
NOBODY = " ".join(("user default off", *NOTHING))


def user_name(role: Role, namespace: str) -> str:
    """Return the Redis user of a role; several namespaces may share a server."""
    space = namespace.rstrip(":")
    return f"{space}.{role}" if space else str(role)


def user_line(
    role: Role, namespace: str, password: str, version: Version, table: Table = TABLE
) -> str:
    """Return a user as a line of an ACL file or of redis.conf, its password hashed."""
    digest = hashlib.sha256(password.encode()).hexdigest()
    name = user_name(role, namespace)
    return " ".join(("user", name, "on", f"#{digest}", *rules(role, namespace, version, table)))


def rules(role: Role, namespace: str, version: Version, table: Table = TABLE) -> tuple[str, ...]:
    """Return the rules of a role's user: deny all, then allow what the table lists.

    Args:
        namespace: Prefix of every key and channel, as in `redis.namespace`.
        version: Of the server that loads them.
        table: Of the configuration.
    """
    space = namespace.rstrip(":")
    found = list(_accesses(role, space + ":" if space else "", table))
    root = [*CONNECTING, *(FINDING if role is Role.OPERATOR else ())]
    if version >= CONFINES_WRITERS:
        selectors = (f"({' '.join([*_allowed(commands), *names])})" for commands, names in found)
        return (*NOTHING, *_allowed(root), *selectors)
    commands = dict.fromkeys([*root, *(c for commands, _ in found for c in commands)])
    names = dict.fromkeys(_without_direction(name) for _, names in found for name in names)
    return (*NOTHING, *_allowed(list(commands)), *names)


def _accesses(role: Role, prefix: str, table: Table) -> Iterator[tuple[Sequence[str], list[str]]]:
    """Yield commands, and the patterns they are allowed on."""
    kinds: tuple[Kind, ...] = ("key", "hash", "stream", "list", "channel")
    for kind in kinds:
        entries = [entry for entry in table if entry.kind == kind]
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
            yield (
                (GUEST_WRITING if role in GUEST_ROLES else WRITING)[kind],
                [writing + name for name in written],
            )
    if role is Role.OPERATOR:
        names = [prefix + entry.glob() for entry in table if entry.kind != "channel"]
        yield SHOWING, [f"%R~{name}" for name in names]
        removable = [prefix + entry.glob() for entry in table if is_removable(entry)]
        yield FORGETTING, [f"%W~{name}" for name in removable]


def is_removable(entry: Entry[Any]) -> bool:
    """Return whether the operator may remove a key; what stops the platform has its own way."""
    return entry.kind != "channel" and entry.pattern not in (TRADER_KILL.pattern, LEASE.pattern)


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
