"""Which names this server goes by, and whose pages may ask."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from actors.dashboard.headers import POLICY, page_guard
from actors.dashboard.static_files import Files
from shared.web.hosts import host_name, is_loopback, is_same_origin


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost:8892", "localhost"),
        ("LOCALHOST", "localhost"),
        ("127.0.0.1:1", "127.0.0.1"),
        ("[::1]:8892", "::1"),
        ("evil.example:8892", "evil.example"),
        ("localhost:port", None),
        ("user@localhost", None),
        ("localhost/x", None),
        ("[::1", None),
        ("", None),
    ],
)
def test_host_header_is_read(host: str, name: str | None) -> None:
    assert host_name(host) == name


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_names(name: str) -> None:
    assert is_loopback(name)


@pytest.mark.parametrize("name", ["127.0.0.1.nip.example", "localhost.evil.example", "10.0.0.1"])
def test_names_that_look_like_loopback_are_not(name: str) -> None:
    assert not is_loopback(name)


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://evil.example",
        "http://localhost:1",
        "https://localhost.evil.example:8892",
        "file://localhost:8892",
        "http://[::1",
    ],
)
def test_other_origins_are_others(origin: str) -> None:
    assert not is_same_origin(origin, "localhost:8892")


def test_own_origin_is_own() -> None:
    assert is_same_origin("http://LOCALHOST:8892", "localhost:8892")
    assert is_same_origin("https://host.example", "host.example")


def refused(*headers: tuple[str, str], allowed: list[str] | None = None) -> int | None:
    request = make_mocked_request("GET", "/", headers=CIMultiDict(headers))
    refusal = page_guard(allowed or []).refusal(request)
    return None if refusal is None else refusal.status


HOST = ("Host", "localhost:8892")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([HOST], None),
        ([], 400),
        ([HOST, HOST], 400),
        ([("Host", "evil.example")], 421),
        ([HOST, ("Origin", "http://localhost:8892")], None),
        ([HOST, ("Origin", "http://evil.example")], 403),
        ([HOST, ("Origin", "http://localhost:8892"), ("Origin", "http://evil.example")], 403),
        ([HOST, ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")], 403),
        ([HOST, ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")], None),
        ([HOST, ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "cors")], None),
    ],
)
def test_who_may_ask(headers: list[tuple[str, str]], status: int | None) -> None:
    assert refused(*headers) == status


def test_configured_name_is_allowed_with_any_port_and_no_other() -> None:
    assert refused(("Host", "host.example:443"), allowed=["Host.Example"]) is None
    assert refused(("Host", "a.host.example"), allowed=["host.example"]) == 421


def test_policy_lets_no_inline_script_and_no_other_site_in() -> None:
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert "unsafe" not in POLICY and "*" not in POLICY


@pytest.fixture
def files(tmp_path: Path) -> Files:
    root = tmp_path / "static"
    (root / "js").mkdir(parents=True)
    (root / "index.html").write_text("<!doctype html>")
    (root / "js" / "card.js").write_text("export {}")
    (root / ".secret.js").write_text("no")
    (root / "notes.ts").write_text("no")
    (tmp_path / "outside.js").write_text("no")
    (root / "link.js").symlink_to(tmp_path / "outside.js")
    return Files(root, {"vendor/lib.js": tmp_path / "outside.js", "vendor/none.js": root / "nope"})


@pytest.mark.parametrize("name", ["index.html", "js/card.js", "vendor/lib.js"])
def test_file_is_found(files: Files, name: str) -> None:
    assert files.find(name) is not None


@pytest.mark.parametrize(
    "name",
    [
        "../outside.js", "js/../../outside.js", ".secret.js", "js/.x.js", "notes.ts", "js",
        "link.js", "/etc/hosts", "//etc/hosts.txt", "vendor/none.js", "a\0.js", "",
    ],
)  # fmt: skip
def test_nothing_else_is_served(files: Files, name: str) -> None:
    assert files.find(name) is None


async def test_library_that_is_not_installed_says_how_to_get_it(files: Files) -> None:
    request = make_mocked_request("GET", "/", match_info={"name": "vendor/none.js"})
    with pytest.raises(web.HTTPNotFound) as caught:
        await files.serve(request)
    assert "npm ci" in str(caught.value.text)
