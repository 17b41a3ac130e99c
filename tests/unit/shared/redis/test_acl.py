"""The rights of each Redis user, as they follow from the table of keys."""

from __future__ import annotations

import ast
import fnmatch
import re
from typing import get_args

import pytest

from shared.config.defaults import Mode
from shared.config.load import load
from shared.config.sections import RedisSection
from shared.messages.trading import TraderKind
from shared.redis import acl
from shared.redis.acl import rules, user_line, user_name
from shared.redis.users import new_users
from shared.schema import (
    ACTOR_ROLES,
    GUEST_ROLES,
    HEARTBEAT,
    QUARANTINE,
    TABLE,
    Role,
    role_of,
    table,
)
from shared.supervision.specs import child_specs, configured_ports
from tests.support.paths import ROOT

PERSONS = {"hlen", "llen", "strlen", "ttl", "xlen"}  # for redis-cli
SEVEN, SIX = (7, 0), (6, 2)
LISTED = (
    *acl.READING.values(),
    *acl.WRITING.values(),
    acl.CONNECTING,
    acl.FINDING,
    acl.SHOWING,
    acl.FORGETTING,
)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("version", [SEVEN, SIX])
def test_every_user_begins_with_no_right_at_all(role: Role, version: acl.Version) -> None:
    assert rules(role, "", version)[:3] == ("resetkeys", "resetchannels", "-@all")
    assert not [rule for rule in rules(role, "", version) if re.search(r"\+@|^allk|[~&]\*$", rule)]


def test_rules_of_one_role_to_the_letter() -> None:
    assert rules(Role.ACCOUNT, "dev:", SEVEN)[3:] == (
        "+ping", "+select", "+client|setname",
        "(+get +mget +exists %R~dev:cache:candles:* %R~dev:cache:candles:*:1h "
        "%R~dev:cache:candles:*:4h %R~dev:supervisor:lease %R~dev:market:ban_until "
        "%R~dev:quarantine:*:* %R~dev:state:positions %R~dev:state:balance)",
        "(+set +del %W~dev:actor:heartbeat:account %W~dev:state:positions %W~dev:state:balance)",
        "(+subscribe +psubscribe &dev:account:refresh)",
    )  # fmt: skip
    assert rules(Role.ACCOUNT, "dev", SIX)[3:] == (
        "+ping", "+select", "+client|setname", "+get", "+mget", "+exists", "+set",
        "+del", "+subscribe", "+psubscribe",
        "~dev:cache:candles:*", "~dev:cache:candles:*:1h", "~dev:cache:candles:*:4h",
        "~dev:supervisor:lease", "~dev:market:ban_until", "~dev:quarantine:*:*",
        "~dev:state:positions", "~dev:state:balance", "~dev:actor:heartbeat:account",
        "&dev:account:refresh",
    )  # fmt: skip


def test_every_command_the_bus_sends_is_listed_and_no_other() -> None:
    sent: set[str] = set()
    for name in ("bus", "redis/connections", "redis/subscription"):
        for node in ast.walk(ast.parse((ROOT / "shared" / f"{name}.py").read_text())):
            if isinstance(node, ast.Tuple) and node.elts and isinstance(node.elts[0], ast.Constant):
                first = node.elts[0].value
                if isinstance(first, str) and re.fullmatch(r"[A-Z]{3,}", first):
                    sent.add(first.lower())
    sent -= {"maxlen"}  # an option of XADD
    assert {"mget", "set", "xadd", "blpop", "psubscribe", "hello"} <= sent
    listed = {command for group in LISTED for command in group}
    # redis-py sends the last two; HELLO is everybody's, without a rule
    assert sent - {"hello"} == listed - {"select", "client|setname"} - PERSONS


def test_no_role_writes_a_name_that_is_anothers() -> None:
    for role in Role:
        written = [(entry, glob) for entry in TABLE if (glob := entry.written_by(role))]
        for entry, glob in written:
            for other in TABLE:
                name = other.glob().replace("*", "X")
                covers = fnmatch.fnmatchcase(name, glob) and entry.kind == other.kind
                assert not covers or role in other.writers, f"{role}: {glob} covers {name}"
    assert HEARTBEAT.written_by(Role.INDICATORS) == "actor:heartbeat:indicators-*"
    assert HEARTBEAT.written_by(Role.TRADER) == "actor:heartbeat:trader"
    assert not fnmatch.fnmatchcase("actor:heartbeat:trader-api", "actor:heartbeat:trader")
    assert QUARANTINE.written_by(Role.FETCHER) == "quarantine:fetch:*"
    assert QUARANTINE.written_by(Role.SCANNER) is None


def test_guest_trader_writes_only_where_the_trader_is_outside() -> None:
    read = "+ping", "+select", "+client|setname", (
        "(+get +mget +exists %R~cache:candles:* %R~cache:candles:*:1h %R~cache:candles:*:4h "
        "%R~ta:latest:* %R~scan:latest %R~market:listings"
    )  # fmt: skip
    channels = "(+subscribe +psubscribe &market:candles:* &signals:ta:* &signals:scan)"
    for kind in ("own", "none"):
        found = rules(Role.GUEST_TRADER, "", SEVEN, table(kind))
        assert found[3:] == (*read[:3], f"{read[3]})", channels)
    keys = "state:positions", "state:balance", "state:trader:config", "state:trader:status"
    assert rules(Role.GUEST_TRADER, "", SEVEN, table("outside"))[3:] == (
        *read[:3], f"{read[3]} {' '.join(f'%R~{key}' for key in keys)})",
        f"(+set +del {' '.join(f'%W~{key}' for key in keys)})",
        "(+xrange +xrevrange %R~trader:events:log)", "(+xadd %W~trader:events:log)",
        channels, "(+publish &trader:events)",
    )  # fmt: skip


@pytest.mark.parametrize("kind", get_args(TraderKind))
def test_no_guest_writes_what_a_role_of_the_platform_writes(kind: TraderKind) -> None:
    for role in GUEST_ROLES:
        written = {entry.pattern for entry in table(kind) if role in entry.writers}
        assert not written or (role, kind) == (Role.GUEST_TRADER, "outside")
    assert not set(GUEST_ROLES) & set(new_users("").passwords)
    read = {entry.pattern for entry in table(kind) if Role.GUEST_READER in entry.readers}
    assert {"trader:events", "trader:events:log", "state:positions", "scan:latest"} <= read
    assert not {name for name in read if name.startswith(("supervisor:", "actor:", "trader:c"))}


@pytest.mark.parametrize("mode", get_args(Mode))
@pytest.mark.parametrize("kind", get_args(TraderKind))
def test_every_child_spec_has_a_role(mode: Mode, kind: TraderKind) -> None:
    config = load(ROOT / "config.yaml", [f"trader.kind={kind}"], mode=mode)
    names = [s.name for s in child_specs(config, configured_ports(config))]
    assert {role_of(name) for name in names} <= set(ACTOR_ROLES)
    assert role_of("indicators-majors") is Role.INDICATORS
    assert role_of("trader-api") is Role.TRADER_API
    for name in ("supervisor", "operator", "indicators", "traders", ""):
        with pytest.raises(ValueError, match="expected one of fetcher, indicators-"):
            role_of(name)


def test_users_of_two_namespaces_never_have_the_same_name() -> None:
    spaces = ["", "trader", "api", "dev", "dev-trader"]
    names = [user_name(role, space) for space in spaces for role in Role]
    assert len(set(names)) == len(names)
    assert user_name(Role.TRADER, "dev:") == user_name(Role.TRADER, "dev") == "dev.trader"


def test_line_of_a_user_holds_no_password() -> None:
    users = new_users(RedisSection().namespace)
    text = "\n".join(users.acl(SEVEN)) + repr(users)
    assert not [p for p in users.passwords.values() if p in text]
    line = user_line(Role.HEALTH, "", "secret", SEVEN)
    assert line.startswith("user health on #2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe9")
    assert users.acl(SEVEN)[0].startswith("user default off ")
