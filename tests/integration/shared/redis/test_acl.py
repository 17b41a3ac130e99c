"""Each role tries on a real Redis what is not its own, and is refused."""

from __future__ import annotations

import secrets
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pytest

from shared.bus import Bus, BusStatus
from shared.clock import SystemClock
from shared.errors import BusNotServing
from shared.redis.acl import CONFINES_WRITERS, Table, is_removable, user_name
from shared.redis.users import Users, new_users
from shared.schema import GUEST_ROLES, TABLE, TRADER_KILL, Entry, Kind, Role, table
from tests.support.private_redis import PrivateRedis

NAMESPACE = "dev"
# What redis-py and the bus send; the last row is for finding and showing, the operator's.
SENT = {
    "ping", "select", "client|setname", "mget", "set", "del", "hgetall", "hset", "hdel",
    "xrange", "xrevrange", "xadd", "xtrim", "blpop", "rpush", "expire", "subscribe", "psubscribe",
    "publish", "scan", "type", "get", "lrange", "smembers", "zrange", "exists", "hlen", "llen",
    "pttl", "strlen", "ttl", "xlen",
}  # fmt: skip
EVERYBODYS = {"auth", "hello", "quit", "reset"}  # by Redis' own rule
# How each kind of name is read and changed. Of the last ones no role has the right to any.
READS: dict[Kind, list[tuple[str | int, ...]]] = {
    "key": [("MGET", "{}"), ("GET", "{}"), ("SET", "{}", "x", "GET"), ("GETDEL", "{}"),
            ("DUMP", "{}"), ("STRLEN", "{}"), ("EXISTS", "{}"), ("COPY", "{}", "dev:else")],
    "hash": [("HGETALL", "{}"), ("HGET", "{}", "f"), ("HSCAN", "{}", 0), ("HKEYS", "{}"),
             ("HLEN", "{}")],
    "stream": [("XREVRANGE", "{}", "+", "-"), ("XRANGE", "{}", "-", "+"),
               ("XREAD", "STREAMS", "{}", 0), ("XINFO", "STREAM", "{}"), ("XLEN", "{}")],
    "list": [("BLPOP", "{}", "0.001"), ("LRANGE", "{}", 0, -1), ("LPOP", "{}"), ("LLEN", "{}")],
    "channel": [("SUBSCRIBE", "{}"), ("PSUBSCRIBE", "{}"), ("PSUBSCRIBE", "*"),
                ("PSUBSCRIBE", "{}*"), ("SSUBSCRIBE", "{}")],
}  # fmt: skip
WRITES: dict[Kind, list[tuple[str | int, ...]]] = {
    "key": [("SET", "{}", "x"), ("SET", "{}", "x", "PX", 1000, "NX"), ("DEL", "{}"),
            ("UNLINK", "{}"), ("EXPIRE", "{}", 1), ("PERSIST", "{}"), ("APPEND", "{}", "x"),
            ("RENAME", "{}", "dev:else"), ("SETRANGE", "{}", 0, "x"), ("GETEX", "{}", "EX", 1)],
    "hash": [("HSET", "{}", "f", "x"), ("HDEL", "{}", "f"), ("DEL", "{}"), ("SET", "{}", "x")],
    "stream": [("XADD", "{}", "*", "f", "x"), ("XTRIM", "{}", "MAXLEN", 0), ("DEL", "{}"),
               ("XDEL", "{}", "1-1"), ("SET", "{}", "x"), ("XGROUP", "CREATE", "{}", "g", "$")],
    "list": [("RPUSH", "{}", "x"), ("EXPIRE", "{}", 1), ("DEL", "{}"), ("LPUSH", "{}", "x"),
             ("SET", "{}", "x"), ("LTRIM", "{}", 1, 0)],
    "channel": [("PUBLISH", "{}", "x"), ("SPUBLISH", "{}", "x")],
}  # fmt: skip
# The commands a role gets for what it reads or writes.
READING = {"key": ["MGET", "GET", "EXISTS"], "hash": ["HGETALL"], "stream": ["XREVRANGE", "XRANGE"],
           "list": ["BLPOP"], "channel": ["SUBSCRIBE", "PSUBSCRIBE"]}  # fmt: skip
WRITING = {"key": ["SET", "DEL"], "hash": ["HSET", "HDEL", "DEL"],
           "stream": ["XADD", "XTRIM", "DEL"], "list": ["RPUSH", "EXPIRE", "DEL"],
           "channel": ["PUBLISH"]}  # fmt: skip
GUEST_WRITING = {"key": ["SET", "DEL"], "stream": ["XADD"], "channel": ["PUBLISH"]}
ASKING = ["TTL", "PTTL", "EXISTS", "TYPE"]
SHOWING = {"key": ["MGET", "GET", "STRLEN", *ASKING], "hash": ["HGETALL", "HLEN", *ASKING],
           "stream": ["XREVRANGE", "XRANGE", "XLEN", *ASKING], "list": ["LRANGE", "LLEN", *ASKING],
           "channel": ["SUBSCRIBE", "PSUBSCRIBE"]}  # fmt: skip


def is_refusal(reply: str) -> bool:
    """Tell whether an answer says that there is no right to it (EXEC says so in other words)."""
    return reply.startswith(("-NOPERM", "-EXECABORT Transaction discarded because of: NOPERM"))


@dataclass
class Guarded:
    """A server with the platform's users, and a connection for each attempt."""

    server: PrivateRedis
    users: Users
    table: Table

    def attempt(self, role: Role, *command: str | int) -> str:
        """Return the first line of what Redis answers a role, logged in anew."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.server.socket))
            login = ("AUTH", user_name(role, NAMESPACE), self.users.passwords[role])
            with connection.makefile("rb") as replies:
                for sent in (login, command):
                    words = [str(word).encode() for word in sent]
                    packed = [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
                    connection.sendall(b"*%d\r\n%b" % (len(words), b"".join(packed)))
                    line = replies.readline().decode().rstrip()
                    if line.startswith("-WRONGPASS"):
                        break
                return line

    def refuses(self, role: Role, *command: str | int) -> bool:
        """Tell whether the role has no right to a command."""
        return is_refusal(self.attempt(role, *command))

    def with_any_arguments(self, role: Role, name: str) -> str:
        """Return the answer to a command, with as many arguments as it wants at least."""
        for count in range(8):
            reply = self.attempt(role, *name.split("|"), *range(1, count + 1))
            if "wrong number of arguments" not in reply:
                break
        return reply

    def listed(self, *command: str) -> set[str]:
        """Return the names the server lists to its administrator."""
        names = cast(list[bytes | str], self.server.run(*command))
        return {name if isinstance(name, str) else name.decode() for name in names}


def users_of_all() -> Users:
    """Return users of the platform's roles and of its guests."""
    guests = {role: secrets.token_urlsafe(8) for role in GUEST_ROLES}
    return Users({**new_users(NAMESPACE).passwords, **guests}, NAMESPACE)


@pytest.fixture(scope="module", params=[TABLE, table("outside")], ids=["own", "outside"])
def guarded(
    redis_binary: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Guarded]:
    users = users_of_all()
    acl = tmp_path_factory.mktemp("acl") / "users.acl"
    # all but the first line, which would shut out the test itself
    acl.write_text("\n".join(users.acl(CONFINES_WRITERS, request.param)[1:]) + "\n")
    # what the server itself forbids is allowed here, so that the rules alone stand in the way
    open_ = ("--enable-debug-command", "yes", "--enable-module-command", "yes")
    server = PrivateRedis(redis_binary, "--aclfile", str(acl), *open_)
    try:
        server.start()
        yield Guarded(server, users, request.param)
    finally:
        server.remove()


def names_of(entry: Entry[Any], role: Role) -> list[tuple[str, bool]]:
    """Return names of an entry without the namespace, and whether the role may write them."""
    parts = {"symbol": "BTCUSDT", "id": "t-1", "stage": "fetch", "name": "fetcher"}
    if entry.own is None:
        return [(entry.name(**parts), role in entry.writers)]
    part, values = entry.own
    return [
        (entry.name(**parts | {part: value.replace("*", "majors")}), writer is role)
        for writer, value in values
    ]


def filled(template: Sequence[str | int], name: str) -> list[str | int]:
    return [part.format(name) if isinstance(part, str) else part for part in template]


def attempts(role: Role, table: Table) -> Iterator[tuple[list[str | int], bool]]:
    """Yield each command that reads or writes a name, and whether the table allows it."""
    writing = GUEST_WRITING if role in GUEST_ROLES else WRITING
    for entry in table:
        for name, may_write in names_of(entry, role):
            may_read = role in entry.readers
            allowed = [*(READING[entry.kind] if may_read else [])]
            if role is Role.OPERATOR:
                allowed += SHOWING[entry.kind]
            writable = [*(writing[entry.kind] if may_write else [])]
            if role is Role.OPERATOR and is_removable(entry):
                writable.append("DEL")
            full = f"{NAMESPACE}:{name}"
            glob = f"{NAMESPACE}:{entry.glob()}"
            asking = [] if entry.kind == "channel" else [(command, "{}") for command in ASKING]
            for template in [*READS[entry.kind], *asking]:
                own = template[0] in allowed and template[1] in ("{}", "STREAMS")
                # a pattern must be the rule's own text
                if template[0] == "PSUBSCRIBE":
                    own = own and "*" not in entry.glob()
                yield filled(template, full), own
            if entry.kind == "channel":
                yield ["PSUBSCRIBE", glob], "PSUBSCRIBE" in allowed
            for template in WRITES[entry.kind]:
                yield filled(template, full), template[0] in writable
            for spaced in (name, f"other:{name}", f"{NAMESPACE}2:{name}"):
                for template in (*READS[entry.kind], *WRITES[entry.kind]):
                    yield filled(template, spaced), False


@pytest.mark.parametrize("role", Role)
def test_role_does_what_the_table_gives_it_and_nothing_else(guarded: Guarded, role: Role) -> None:
    wrong, counted = [], Counter[bool]()
    for command, allowed in attempts(role, guarded.table):
        if guarded.refuses(role, *command) is allowed:
            wrong.append((command, "refused" if allowed else "carried out"))
        counted[allowed] += 1
    assert wrong == []
    assert counted[True] >= 10 and counted[False] > 2000


@pytest.mark.parametrize("role", Role)
def test_role_may_run_no_command_the_bus_does_not_send(guarded: Guarded, role: Role) -> None:
    known = guarded.listed("COMMAND LIST")
    containers = {name.partition("|")[0] for name in known if "|" in name}
    forbidden = known - containers - SENT - EVERYBODYS
    groups = {group: guarded.listed("ACL CAT", group) for group in
              ("dangerous", "admin", "scripting")}  # fmt: skip
    assert {"flushall", "config|set", "keys", "acl|setuser", "shutdown"} <= groups["dangerous"]
    assert {"eval", "function|load", "fcall"} <= groups["scripting"]
    assert set().union(*groups.values()) <= forbidden
    replies = {name: guarded.with_any_arguments(role, name) for name in sorted(forbidden)}
    assert {name: reply for name, reply in replies.items() if not is_refusal(reply)} == {}


def test_only_the_operator_lists_names_and_asks_what_a_key_is(guarded: Guarded) -> None:
    key = f"{NAMESPACE}:ta:latest:BTCUSDT"
    for role in Role:
        expected = role is not Role.OPERATOR
        assert guarded.refuses(role, "SCAN", 0) is expected
        assert guarded.refuses(role, "TYPE", key) is expected
        assert guarded.refuses(role, "KEYS", "*")
    assert guarded.refuses(Role.OPERATOR, "TYPE", "foreign")


def test_commands_on_many_names_need_the_right_to_each(guarded: Guarded) -> None:
    own, foreign = f"{NAMESPACE}:ta:latest:A", f"{NAMESPACE}:state:positions"
    assert not guarded.refuses(Role.SCANNER, "MGET", own, own)
    assert guarded.refuses(Role.SCANNER, "MGET", own, foreign)
    assert guarded.refuses(Role.INDICATORS, "DEL", own, foreign)
    # what one reads and what one writes are apart: nothing is both copied and hidden
    assert guarded.refuses(Role.INDICATORS, "MGET", own)
    assert guarded.refuses(Role.INDICATORS, "SET", own, "x", "GET")
    assert guarded.refuses(Role.TRADER_API, "SET", f"{NAMESPACE}:trader:replies:t-1", "x")
    assert guarded.refuses(Role.SCANNER, "PUBLISH", f"{NAMESPACE}:market:candles:A", "x")


def test_nobody_is_let_in_without_the_password_of_the_role(guarded: Guarded) -> None:
    stranger = Guarded(guarded.server, users_of_all(), guarded.table)
    for role in Role:
        assert stranger.attempt(role, "PING").startswith("-WRONGPASS")
        assert guarded.attempt(role, "PING") == "+PONG"
        for other in set(Role) - {role}:
            own = guarded.users.passwords[role]
            reply = guarded.attempt(role, "AUTH", user_name(other, NAMESPACE), own)
            assert reply.startswith("-WRONGPASS")


def test_transactions_and_scripts_are_no_way_around(guarded: Guarded) -> None:
    commands: list[tuple[str | int, ...]] = [
        ("MULTI",), ("EXEC",), ("EVAL", "return redis.call('GET', KEYS[1])", 1, "dev:scan:latest"),
        ("EVAL_RO", "return 1", 0), ("FUNCTION", "LOAD", "#!lua name=x"), ("FCALL", "x", 0),
        ("SORT", "dev:scan:latest", "STORE", "dev:trader:kill"), ("OBJECT", "ENCODING", "a"),
        ("MIGRATE", "h", 1, "k", 0, 1), ("RESTORE", "dev:trader:kill", 0, "x"),
        ("CLIENT", "LIST"), ("CLIENT", "KILL", "TYPE", "normal"), ("PUBSUB", "CHANNELS"),
        ("MONITOR",), ("INFO",), ("ACL", "WHOAMI"), ("COMMAND", "DOCS"), ("SWAPDB", 0, 1),
    ]  # fmt: skip
    for command in commands:
        for role in Role:
            assert guarded.refuses(role, *command), (role, command)


async def test_missing_right_is_told_once_and_a_state_of_its_own(
    guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    url = guarded.users.into_url(guarded.server.url, Role.SCANNER)
    bus = Bus(url, name="scanner", clock=SystemClock(), namespace=NAMESPACE)
    for _ in range(2):
        with pytest.raises(BusNotServing, match=r"refuses user 'dev\.scanner': NOPERM"):
            await bus.delete(TRADER_KILL)
        assert await bus.ping()
    await bus.close()
    assert bus.bad_messages == 0 and bus.status is BusStatus.REFUSES
    assert caplog.text.count("bus refuses: ") == 1
