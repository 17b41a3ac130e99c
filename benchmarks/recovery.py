"""Time from `kill -9` of an indicators actor to its successor's first heartbeat on the bus.

The clock starts just before the kill and stops when the heartbeat key shows another pid. With
`--peers` the same is done, in turns, to workers with the same imports under supervisord, circus
and gunicorn, and the idle cost of each supervisor is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import psutil
import redis

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.tables import percentile, table, verdict
from tests.support.platform_run import Platform, wait_for
from tests.support.private_redis import PrivateRedis, chosen_redis

ACTOR, COIN = "indicators-majors", "BTCUSDT"
OURS = "this supervisor"
AIM_PUBLISH_MS = 100


def kill_one(running: Platform, client: redis.Redis) -> tuple[float, float]:
    """Return milliseconds to the first heartbeat, and to the first signal published after it."""
    wait_for(lambda: running.actor(ACTOR)["state"] == "ready", 30)
    old = running.pid(ACTOR)
    started_ms = time.time_ns() // 1_000_000
    started = time.perf_counter()
    os.kill(old, signal.SIGKILL)
    until(lambda: _pid(client) not in (None, old))
    first_beat = time.perf_counter() - started
    until(lambda: _computed_at_ms(client) > started_ms)
    return first_beat * 1000, (time.perf_counter() - started) * 1000


def until(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    """Poll about every half millisecond, which is the resolution of the figures."""
    deadline = time.perf_counter() + within_s
    while not condition():
        if time.perf_counter() > deadline:
            raise SystemExit(f"not within {within_s:g} s; the actor did not come back")
        time.sleep(0.0003)


def _pid(client: redis.Redis) -> int | None:
    pid: int | None = orjson.loads(client.get(f"actor:heartbeat:{ACTOR}") or b"{}").get("pid")
    return pid


def _computed_at_ms(client: redis.Redis) -> int:
    found = orjson.loads(client.get(f"ta:latest:{COIN}") or b"{}")
    computed_at_ms: int = found.get("computed_at_ms", 0)
    return computed_at_ms


def line(name: str, values: list[float]) -> str:
    """Return median and 95th percentile in words."""
    p95 = statistics.quantiles(values, n=20)[-1]
    return (
        f"{name:<34} median {statistics.median(values):6.1f} ms   p95 {p95:6.1f} ms   "
        f"min {min(values):6.1f}   max {max(values):6.1f}   n {len(values)}"
    )


def alone(runs: int) -> None:
    """Print our figures."""
    with platform() as running, running.redis() as client:
        found = [kill_one(running, client) for _ in range(runs)]
    beats, signals = zip(*found, strict=True)
    print(line("kill -9 to first heartbeat", list(beats)))
    print(line("kill -9 to first published signal", list(signals)))


@contextlib.contextmanager
def platform() -> Iterator[Platform]:
    with tempfile.TemporaryDirectory(prefix="coinex-") as home:
        running = Platform(Path(home) / "var", "supervisor.healthy_s=0")
        running.start()
        try:
            yield running
        finally:
            running.stop()


@dataclass
class Compared:
    """Measurements by supervisor, ours first.

    Attributes:
        costs: Percent of a core and MB, of the supervising processes.
        signals: Milliseconds to our first signal after each kill.
        failed: Why a peer is missing.
    """

    actors: int = 0
    beats: dict[str, list[float]] = field(default_factory=lambda: {OURS: []})
    costs: dict[str, tuple[float, float]] = field(default_factory=dict)
    signals: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def with_peers(runs: int, idle_s: float) -> Compared:
    """Measure ours and the other supervisors, in turns."""
    # They need packages that `bench-recovery` does not.
    from benchmarks.peer_supervisors import SOURCE, Peer, cost, used_so_far  # noqa: PLC0415
    from benchmarks.peer_venv import NoPeers, peer_python  # noqa: PLC0415

    peers: list[Peer] = []
    found = Compared()
    server = PrivateRedis(str(chosen_redis().path))
    with tempfile.TemporaryDirectory(prefix="peers-") as home, contextlib.ExitStack() as ends:
        server.start()
        ends.callback(server.remove)
        try:
            peer_python()
            for number, name in enumerate(SOURCE):
                folder = Path(home) / name
                folder.mkdir()
                peer = Peer(name, folder, server.socket, number)
                ends.callback(peer.stop)
                try:
                    peer.wait_up()
                    peers.append(peer)
                except (RuntimeError, redis.RedisError) as error:
                    found.failed.append(f"{peer.title}: left out, {error}")
        except NoPeers as why:
            found.failed.append(f"supervisord, circus and gunicorn: left out, {why}")
        running = ends.enter_context(platform())
        client = ends.enter_context(running.redis())
        for _ in range(runs):
            beat, signal = kill_one(running, client)
            found.beats[OURS].append(beat)
            found.signals.append(signal)
            for peer in peers:
                found.beats.setdefault(peer.title, []).append(peer.kill_one() * 1000)
        wait_for(running.all_ready, 30)
        actors = {row["pid"] for row in running.actors()}
        pids = {OURS: [p.pid for p in running.tree() if p.pid not in actors and not _serves(p)]}
        pids |= {peer.title: list(peer.overhead()) for peer in peers}
        before = {name: used_so_far(chosen) for name, chosen in pids.items()}
        time.sleep(idle_s)
        found.actors = len(actors)
        found.costs = {name: cost(before[name], chosen, idle_s) for name, chosen in pids.items()}
    return found


def show(found: Compared) -> None:
    """Print our figures beside those of the others, as Markdown."""
    print("## Recovery and idle cost\n")

    print(
        "From `kill -9` of a worker to its successor's first heartbeat. Ours is the actor itself,"
    )
    print("by the demo's heartbeat key; theirs is a worker with the same imports and modules that")
    print("writes one key. The supervising processes (ours: supervisor, zygote, app zygote) with")
    print(f"{found.actors} actors of ours at work and 10 idle workers each of theirs.\n")
    ours = statistics.median(found.beats[OURS])
    rows = [
        [
            name,
            f"{statistics.median(values):.1f} ms",
            f"{percentile(values, 0.95):.1f} ms",
            "1" if name == OURS else f"{ours / statistics.median(values):.3f}",
            f"{found.costs[name][0]:.2f} %",
            f"{found.costs[name][1]:.0f} MB",
        ]
        for name, values in found.beats.items()
    ]
    head = (
        "kept alive by",
        "median",
        "p95",
        "ours / theirs",
        "cpu, supervising",
        "PSS, supervising",
    )
    print(table(head, rows))
    print(f"\nn = {len(found.signals)} kills each, in turns.")
    for text in found.failed:
        print(f"\n{text}")
    for name, values in found.beats.items():
        if name != OURS:
            no_slower = name.startswith("gunicorn")
            wording = "no slower than" if no_slower else "at most 1/10 of"
            met = ours <= (1.0 if no_slower else 0.1) * statistics.median(values)
            print(f"- Aim: to the first heartbeat {wording} {name}: {verdict(met)}.")
    p95 = percentile(found.signals, 0.95)
    print(
        f"- Aim: crash to first valid publish of that group, p95 at most {AIM_PUBLISH_MS} ms: "
        f"{p95:.0f} ms (median {statistics.median(found.signals):.0f}): "
        f"{verdict(p95 <= AIM_PUBLISH_MS)}."
    )


def _serves(process: psutil.Process) -> bool:
    return "redis" in process.name()


def main() -> None:
    """Run a demo of its own and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", "--runs", type=int, help="how many kills (20)")
    parser.add_argument("--peers", action="store_true", help="with supervisord, circus, gunicorn")
    parser.add_argument("--quick", action="store_true", help="fewer kills, a shorter idle time")
    options = parser.parse_args()
    runs = options.runs or (5 if options.quick else 20)
    if options.peers:
        show(with_peers(runs, 4.0 if options.quick else 15.0))
    else:
        alone(runs)


if __name__ == "__main__":
    main()
