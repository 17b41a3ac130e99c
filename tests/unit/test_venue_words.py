"""No file names an exchange to trade on but that exchange's own.

Binance is none here: it is where candles come from. One exchange has the name that the product
has, too, so the product's name is taken out first.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

import pytest

from shared.config.venue_catalog import venue_catalog
from shared.console.command_line import parser
from tests.support.paths import ROOT, tree_files

VENUES = tuple(venue_catalog())
HISTORY = ("CHANGELOG.md", "docs/adr/")
RULES = "tests/unit/test_venue_words.py"

METRICS_FILE = ROOT / "actors" / "health" / "metrics.py"
METRICS = sorted(set(re.findall(r"\bcoinex_\w+", METRICS_FILE.read_text())), reverse=True)
"""Names of metrics, or their beginnings."""


def own_of(venue: str) -> re.Pattern[str]:
    """Return what the paths of a venue's own files look like: directories, tests, a page."""
    return re.compile(
        rf"(?:^|/){venue}/ | (?:^|/)test_{venue}_\w+[.]py$ | ^docs/venues/{venue}[.]md$", re.VERBOSE
    )


OWN = {venue: own_of(venue) for venue in VENUES}


def _run(_: argparse.Namespace) -> int:
    raise NotImplementedError


PRODUCT = re.compile(
    rf"""
      \b CoinEx [ ] platform \b                                  # in titles and its licence
    # the command
    | \b coinex (?= \s+ (?: {"|".join(parser(_run).commands)} ) \b)
    | \b coinex (?= [ ] (?: -- | \[-- | (?: prod | dev ) [ ] status ) )
    | (?<= [("] ) coinex (?= [ ] [{{"] )
    | ` coinex ` (?= [ ] command \b)
    | \b command [ ] ` coinex `
    | "(?:bin|deploy)" [ ] / [ ] "coinex"
    | prog="coinex"
    | "coinex" (?= , [ ] (?: "--instance" | \* ) )
    | \b _shtab_coinex \b
    # variables, and the shell's way to make one
    | \b COINEX_ (?: REDIS_PASSWORD | VENUE_KEY | VENUE_SECRET | ALERT_URLS | DATA_DIR ) \b
    | \b COINEX_ (?= \$\{{ )
    # directories, units, users, processes; temporary directories of tests
    | (?: /opt | /etc | /run | /var/lib | /var/cache | /bin | \b deploy ) / coinex \b
    | (?<= Directory= ) coinex (?= /%i )
    | \b coinex- (?= [a-z%$] | " | \{{ )
    | [*] coinex [*]
    | (?<= " ) coinex (?= : [ ] )
    # metrics, alerts and their titles
    | \b (?: {"|".join(METRICS)} )
    | (?: \b | (?<= \\b ) ) coinex_ (?= \\w )
    | \b Coinex (?= [A-Z] | [.][+] )
    | \b coinex (?= [ ] (?: demo | paper | live | \{{mode\}} ) : )
    | (?<= job= ) "coinex"
    | (?: (?<= job[ ] ) | (?<= job:[ ] ) | (?<= job_name:[ ] ) ) coinex \b
    # the page of a venue, which any other may point to
    | \b venues/ (?: {"|".join(VENUES)} ) [.]md \b
    """,
    re.VERBOSE,
)

# File, text, reason.
EXCEPTIONS = (
    ("shared/config/defaults.py", 'UNNAMED_VENUE = "coinex"', "the default"),
    ("config.yaml", "name: coinex", "the default, shown"),
    ("shared/candles/parquet.py", 'METADATA = b"coinex"', "the product's mark in its files"),
    ("deploy/grafana-dashboard.json", '  "coinex"\n', "the product's tag"),
)


def named(path: str, text: str) -> Iterator[str]:
    """Yield the lines of a file, or its path, that name a venue it is not of."""
    if path.startswith(HISTORY) or path == RULES:
        return
    others = "|".join(venue for venue in VENUES if not OWN[venue].search(path))
    for file, allowed, _ in EXCEPTIONS:
        if file == path:
            text = text.replace(allowed, "\n" * allowed.count("\n"), 1)
    for number, line in enumerate(without_product(f"{path}\n{text}").splitlines()):
        if others and re.search(others, line, re.IGNORECASE):
            yield f"{path}:{number}: {line.strip()}" if number else path


def without_product(text: str) -> str:
    return PRODUCT.sub(lambda found: "\n" * found[0].count("\n"), text)


def test_no_file_names_a_venue_but_its_own() -> None:
    assert [fault for path, text in tree_files() for fault in named(path, text)] == []


@pytest.mark.parametrize(("path", "text", "reason"), EXCEPTIONS)
def test_every_exception_is_needed(path: str, text: str, reason: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8").count(text) == 1, reason
    assert re.search("|".join(VENUES), without_product(text), re.IGNORECASE)


@pytest.mark.parametrize(
    "line",
    [
        "from shared.exchanges.coinex.client import CoinExClient",
        "shared/exchanges/coinex/client.py",
        'if section.name == "coinex":',
        "name = 'coinex'",
        "The venue is CoinEx.",
        "CoinEx's platform",
        "https://api.coinex.com/v2",
        "async def coinex(session): ...",
        "coinex_client = None",
        "coinex_account = None",
        '"X-COINEX-KEY": key',
        'environ["COINEX_ACCESS_ID"]',
        'environ["COINEX_SECRET_KEY"]',
        "no keys for coinex (no answer yet)",
        'f"no keys for coinex {why}"',
        "coinex: no keys",
        "The venue `coinex` has closed",
        "coinex = CoinEx()",
        "class Coinex:",
    ],
)
def test_a_named_venue_is_found(line: str) -> None:
    assert list(named("shared/trading/sizing.py", f"x = 1\n{line}\n")) != []
    assert list(named("tests/property/test_coinex_rows_laws.py", line)) == []


@pytest.mark.parametrize("path", ["shared/coinex.py", "tests/unit/coinex_client.py", "coinex.md"])
def test_a_path_that_names_a_venue_is_found(path: str) -> None:
    assert list(named(path, "")) == [path]


@pytest.mark.parametrize(
    "line",
    [
        "`coinex trader release`, `coinex --instance prod status`, `coinex\nreload`",
        "the `coinex` command; the command `coinex`",
        "/opt/coinex/releases, /etc/coinex/prod, /var/lib/coinex, .venv/bin/coinex",
        "coinex-platform@prod.service, coinex-prod, coinex-%i",
        'setproctitle("coinex: supervisor (demo)")',
        "coinex_trader_mode, coinex_health{status='ok'}",
        "COINEX_VENUE_KEY and COINEX_VENUE_SECRET",
        "alert CoinexDown: coinex live: 2 problems",
        "the authors of the CoinEx platform",
        "as documented in docs/venues/coinex.md#pnl",
    ],
)
def test_the_product_is_not_found(line: str) -> None:
    assert list(named("docs/trading.md", line)) == []
