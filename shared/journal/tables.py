"""The tables of the trader's journal, as SQL. Money is TEXT, times are epoch ms.

Ids of a venue are texts, unique within one market of one environment.
"""

from __future__ import annotations

SCHEMA_VERSION = 2

SCHEMA = (
    "CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    """CREATE TABLE positions (
        own_id INTEGER PRIMARY KEY,
        symbol TEXT NOT NULL,
        side TEXT NOT NULL CHECK (side IN ('long', 'short')),
        entry_id TEXT UNIQUE REFERENCES intents (client_id),
        venue TEXT NOT NULL,
        environment TEXT NOT NULL,
        currency TEXT NOT NULL,
        venue_id TEXT,
        opened_ms INTEGER NOT NULL,
        why TEXT NOT NULL,
        stop_fraction TEXT NOT NULL,
        target_fraction TEXT NOT NULL,
        stop TEXT,
        target TEXT,
        unprotected_ms INTEGER,
        closing TEXT NOT NULL DEFAULT '',
        closing_by TEXT,
        adopted_size TEXT NOT NULL DEFAULT '0',
        adopted_price TEXT NOT NULL DEFAULT '0',
        adopted_pnl TEXT DEFAULT '0',
        closed_ms INTEGER,
        pnl TEXT,
        ended_by TEXT,
        how TEXT NOT NULL DEFAULT '',
        judged INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    # the venue has one net position per market
    "CREATE UNIQUE INDEX one_open ON positions (symbol) WHERE closed_ms IS NULL",
    "CREATE INDEX by_close ON positions (closed_ms)",
    """CREATE TABLE intents (
        client_id TEXT PRIMARY KEY,
        symbol TEXT NOT NULL,
        side TEXT NOT NULL CHECK (side IN ('long', 'short')),
        purpose TEXT NOT NULL CHECK (purpose IN ('entry', 'close')),
        order_side TEXT NOT NULL CHECK (order_side IN ('buy', 'sell')),
        kind TEXT NOT NULL,
        size TEXT,
        price TEXT,
        cycle_ms INTEGER NOT NULL,
        sent_ms INTEGER NOT NULL,
        why TEXT NOT NULL,
        own_id INTEGER REFERENCES positions (own_id),
        stop_fraction TEXT,
        target_fraction TEXT,
        leverage INTEGER,
        state TEXT NOT NULL
            CHECK (state IN ('sending', 'unknown', 'taken', 'refused', 'not_taken')),
        end TEXT NOT NULL,
        order_id TEXT
    ) STRICT""",
    """CREATE TABLE plans (
        client_id TEXT PRIMARY KEY REFERENCES intents (client_id),
        strategy TEXT NOT NULL,
        strategy_version TEXT NOT NULL,
        strategy_hash TEXT NOT NULL,
        base INTEGER NOT NULL,
        bonus INTEGER NOT NULL,
        entry_price TEXT NOT NULL,
        stop TEXT NOT NULL,
        target TEXT NOT NULL,
        risk TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX by_own ON intents (own_id)",
    "CREATE INDEX by_sent ON intents (sent_ms)",
    # queried every few seconds; a handful of all rows
    "CREATE INDEX unsettled ON intents (state) WHERE state IN ('sending', 'unknown')",
    """CREATE TABLE orders (
        venue TEXT NOT NULL,
        environment TEXT NOT NULL,
        symbol TEXT NOT NULL,
        order_id TEXT NOT NULL,
        client_id TEXT NOT NULL UNIQUE REFERENCES intents (client_id),
        side TEXT NOT NULL,
        kind TEXT NOT NULL,
        size TEXT NOT NULL,
        price TEXT,
        filled_size TEXT NOT NULL,
        filled_value TEXT NOT NULL,
        fee TEXT NOT NULL,
        fee_currency TEXT NOT NULL,
        state TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        updated_ms INTEGER NOT NULL,
        why TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (venue, environment, symbol, order_id)
    ) STRICT""",
    """CREATE TABLE fills (
        venue TEXT NOT NULL,
        environment TEXT NOT NULL,
        symbol TEXT NOT NULL,
        fill_id TEXT NOT NULL,
        order_id TEXT NOT NULL,
        position_id TEXT,
        side TEXT NOT NULL,
        price TEXT NOT NULL,
        size TEXT NOT NULL,
        role TEXT,
        fee TEXT NOT NULL,
        fee_currency TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        own_id INTEGER NOT NULL REFERENCES positions (own_id),
        client_id TEXT REFERENCES intents (client_id),
        PRIMARY KEY (venue, environment, symbol, fill_id)
    ) STRICT""",
    "CREATE INDEX fills_of ON fills (own_id)",
    "CREATE INDEX fills_at ON fills (at_ms)",
    """CREATE TABLE funding (
        own_id INTEGER NOT NULL REFERENCES positions (own_id),
        at_ms INTEGER NOT NULL,
        amount TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX funding_of ON funding (own_id)",
    # nothing is ever deleted, so rowids have no gaps
    """CREATE TABLE events (
        event_id INTEGER PRIMARY KEY,
        at_ms INTEGER NOT NULL,
        kind TEXT NOT NULL,
        text TEXT NOT NULL,
        symbol TEXT,
        side TEXT,
        client_id TEXT,
        size_base TEXT,
        price TEXT,
        fee_quote TEXT,
        pnl_quote TEXT
    ) STRICT""",
    """CREATE TABLE equity (
        cycle_ms INTEGER PRIMARY KEY,
        venue TEXT NOT NULL,
        environment TEXT NOT NULL,
        currency TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        equity TEXT NOT NULL,
        available TEXT NOT NULL,
        pnl TEXT NOT NULL,
        fees TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE commands (
        id TEXT PRIMARY KEY,
        command TEXT NOT NULL,
        symbol TEXT,
        who TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        outcome TEXT,
        text TEXT NOT NULL
    ) STRICT""",
)
