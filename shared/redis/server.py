"""Choose the Redis of this platform, and supervise the embedded one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from shared.backoff import backoff_s
from shared.clock import Clock, utc_text
from shared.config import ports
from shared.config.sections import RedisSection
from shared.errors import BusNotServing, ConfigError
from shared.redis.acl import CONFINES_WRITERS, Table, Version
from shared.redis.binary import Binary, Release, bundled_server, find_binaries
from shared.redis.connections import probe, server_version
from shared.redis.files import RedisFiles, read_operator_url
from shared.redis.hang import HangWatch, excuse
from shared.redis.process import RedisProcess
from shared.redis.users import Users, new_users
from shared.schema import TABLE, Role
from shared.web.hosts import is_loopback

__all__ = ["RedisServer", "read_operator_url"]

READY_S = 30.0
PREDECESSOR_S = 5.0
HEALTHY_S = 60.0
BACKOFF_FIRST_S, BACKOFF_CAP_S = 0.4, 5.0
NOTE_S = 3600.0
REFUSALS = 2
END_S = 10.0
NOT_LET_IN = frozenset({"WRONGPASS", "NOAUTH", "NOPERM"})


def starts_own(section: RedisSection, mode: str) -> bool | None:
    """Return whether the embedded Redis is used; None if that depends on what answers."""
    if section.embedded != "auto":
        return section.embedded == "always"
    return True if mode == "demo" else None


def choose_binary(
    files: RedisFiles, directories: Sequence[str], mode: str
) -> tuple[Binary, Release | None]:
    """Return the server to start; with it, in demo mode, who wrote files that it cannot open.

    The first one found, unless only a later one opens the files that are there.

    Raises:
        ConfigError: There is none, or, but for demo mode, none that opens the files.
    """
    binaries = find_binaries(directories, bundled_server())
    written_by = files.written_by()
    for binary in binaries:
        if binary.release.reads(written_by):
            return binary, None
    if mode == "demo":
        return binaries[0], written_by
    found = ", ".join(f"{binary.path} ({binary.release})" for binary in binaries)
    raise ConfigError(
        [f"redis.embedded: the files in {files.directory} were written by {written_by}, which no "
         f"server found can read: {found}; install {written_by} or newer, or move the directory "
         "away"]
    )  # fmt: skip


class RedisServer:
    """Chooses between the embedded and an external Redis; restarts the embedded one.

    Reads and writes `state_dir/redis` and `state_dir/log/redis.log`. Runs on the event loop of
    the main thread, to which the server's death signal is tied. Requires the lock on `state_dir`:
    a redis-server found running there is treated as a left-over.

    Args:
        users: Of an external Redis; None when all log in with `section.url`. The embedded server
            gets new passwords in each run.
        directories: Where to search for redis-server; PATH unless given.
        hung_s: Silence after which the own server is replaced.
        table: Who may read and write what on the own server.

    Attributes:
        is_own: The server is a child of this process.
    """

    def __init__(
        self,
        section: RedisSection,
        *,
        mode: str,
        state_dir: Path,
        clock: Clock,
        log: logging.Logger,
        rng: random.Random | None = None,
        users: Users | None = None,
        directories: Sequence[str] | None = None,
        hung_s: float = 15.0,
        table: Table = TABLE,
    ) -> None:
        self._section = section
        self._mode = mode
        self._state_dir = state_dir
        self._clock = clock
        self._log = log
        self._rng = rng or random.Random()
        self._directories = os.get_exec_path() if directories is None else directories
        self._files = RedisFiles(state_dir / "redis")
        self._parsed_url = urlsplit(section.url)
        self._url = section.url
        self._users = users
        self._table = table
        self._version: Version | None = None
        self.is_own = False
        self._port = 0
        self._server: RedisProcess | None = None
        self._hung_s = hung_s
        self._watch = HangWatch()
        self._ending: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._ever_ready = False
        self._refusals = 0
        self._failures = 0
        self._failure = ""
        self._notes: list[tuple[float, str]] = []

    def url(self, role: Role) -> str:
        """Return the Redis URL of a role, password included: never to be logged."""
        return self._users.into_url(self._url, role) if self._users else self._url

    @property
    def pid(self) -> int | None:
        """Pid of the own server; None when it is not running or not ours."""
        return self._server.pid if self._server else None

    @property
    def is_up(self) -> bool:
        """Return whether the own server runs and has answered; always true of an external one."""
        return not self.is_own or (self._ready.is_set() and self.pid is not None)

    def problems(self) -> list[str]:
        """Return the server's problems, in words."""
        now = self._clock.monotonic()
        self._notes = [(until, note) for until, note in self._notes if now < until]
        found = [note for _, note in self._notes]
        if self._version is not None and self._version < CONFINES_WRITERS:
            found.append(
                f"writers not confined: redis {self._version[0]}.{self._version[1]} lets whoever "
                "reads a key or channel write it too; install redis-server 7 or newer"
            )
        if not self.is_up:
            found.append(f"the embedded redis is not up: {self._failure or 'starting'}")
        if self._watch.silent_s >= self._hung_s and self.pid and (why := excuse(self.pid)):
            silent = f"the embedded redis has answered nothing for {self._watch.silent_s:.0f} s"
            found.append(f"{silent}, and is left alone because {why}")
        return found

    async def check(self) -> None:
        """Raise what `start` would, with nothing started or written.

        An external Redis that wants a password when none is known is a warning only: it may be a
        credential that just the service is given.

        Raises:
            ConfigError: As `start`.
        """
        self._files.check()
        if await self._runs_own():
            choose_binary(self._files, self._directories, self._mode)
            return
        try:
            await self._log_in()
        except ConfigError as error:
            if self._users or self._parsed_url.password:
                raise
            self._log.warning("%s, unless the service has a password", error)

    async def start(self) -> None:
        """Find or start the Redis to use and wait until it answers, at most 30 s.

        Raises:
            ConfigError: No usable Redis (the fault names the owner of the port), or an external
                one rejects our login.
        """
        self._files.prepare()
        self._files.check()
        if self._section.embedded != "never":
            await self._end_predecessor()
        self.is_own = await self._runs_own()
        if not self.is_own:
            await self._log_in()
            self._files.write_logins(self.url(Role.OPERATOR))
            return
        binary, unreadable = choose_binary(self._files, self._directories, self._mode)
        if unreadable is not None:
            target = self._set_aside(f"of-{unreadable}".lower().replace(" ", "-"))
            self._log.warning(
                "%s cannot read what %s wrote: the files are in %s, and redis starts empty",
                binary.release, unreadable, target,
            )  # fmt: skip
        self._files.claim(binary.release)
        self._users = new_users(self._section.namespace)
        self._version = binary.release.version
        self._server = RedisProcess(binary, self._state_dir / "log" / "redis.log")
        self._choose_port()
        self._keeping = asyncio.create_task(self._keep(self._server), name="redis")
        waiting = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait(
                {waiting, self._keeping}, timeout=READY_S, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            waiting.cancel()
        self.tick()
        if not self._ready.is_set():
            self._log.error("going on without redis: %s", "; ".join(self.problems()))

    def restore_files(self) -> bool:
        """Write the logins again if they were removed; return whether they were.

        Raises:
            OSError: They cannot be written.
        """
        if self._files.has_logins():
            return False
        if self.is_own and not self._files.directory.exists():
            self._note(
                f"{self._files.directory} was removed while running: the embedded redis goes on, "
                "but saves nothing; restart the platform"
            )
        self._files.prepare()
        self._files.write_logins(self.url(Role.OPERATOR), self._users if self.is_own else None)
        return True

    def tick(self, now: float | None = None) -> None:
        """Replace an own server that hangs; raise what ended the task that supervises it, if any.

        Args:
            now: Monotonic seconds.
        """
        if now is not None and self._server is not None:
            self._watch.turn(self._server.pid, self._port, now)
            if self._watch.silent_s >= self._hung_s:
                self._replace_hung(self._server)
        if self._keeping is not None and self._keeping.done() and not self._keeping.cancelled():
            self._keeping.result()

    async def stop(self, timeout_s: float = 10.0) -> None:
        """Let the own server save and exit; an external one is left alone."""
        self._watch.close()
        for task in (self._keeping, self._ending):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        if self._server is not None:
            await self._server.stop(timeout_s)
            self._files.remove_logins()

    # Choosing a Redis

    async def _runs_own(self) -> bool:
        is_own = starts_own(self._section, self._mode)
        if is_own is not None:
            return is_own
        failure = await probe(self.url(Role.SUPERVISOR), name="supervisor", timeout_s=2)
        if failure is None or isinstance(failure, BusNotServing):
            return False  # also one that is loading or does not let us in
        place = (
            self._parsed_url.path if self._parsed_url.scheme == "unix" else self._parsed_url.netloc
        )
        place = place.rpartition("@")[2]
        if self._parsed_url.scheme != "unix" and await self._nothing_listens():
            if is_loopback(self._parsed_url.hostname or "localhost"):
                return True
            raise ConfigError(
                [f"redis.url: nothing listens at {place}, and only on this host one is started; "
                 f"expected a running Redis there ({failure})"]
            )  # fmt: skip
        holder = ports.holder(self._parsed_url.port or 6379)
        raise ConfigError(
            [f"redis.url: {place} is held by {holder}, which does not answer as a Redis to the "
             f"URL's credentials ({failure}); stop it, give its credentials, set redis.url to "
             f"another port, or set redis.embedded to always"]
        )  # fmt: skip

    async def _log_in(self) -> None:
        """Try every login once, waiting for a Redis that does not answer.

        Raises:
            ConfigError: It refuses logins; carries a fault for each.
        """
        faults = []
        for role in self._users.passwords if self._users else (Role.SUPERVISOR,):
            failure = await probe(self.url(role), name="supervisor", timeout_s=2)
            if isinstance(failure, BusNotServing) and failure.code in NOT_LET_IN:
                faults.append(f"redis.url: {failure}")
            elif failure is not None:
                self._log.warning("going on without redis: %s", failure)
                break
        if faults:
            raise ConfigError(faults)
        if self._users is not None:
            self._version = await server_version(self.url(Role.SUPERVISOR), timeout_s=2)

    async def _nothing_listens(self) -> bool:
        host, port = self._parsed_url.hostname or "localhost", self._parsed_url.port or 6379
        try:
            async with asyncio.timeout(2):
                _, writer = await asyncio.open_connection(host, port)
        except TimeoutError:
            return False
        except OSError:
            return True
        writer.close()
        return False

    def _choose_port(self) -> None:
        wanted = 0 if self._parsed_url.scheme == "unix" else self._parsed_url.port
        wanted = 6379 if wanted is None else wanted
        self._port = wanted if wanted and ports.is_free(wanted) else ports.free_port()
        if wanted and self._port != wanted:
            self._log.warning(
                "redis.url: port %d is held by %s; the embedded redis listens on %d",
                wanted, ports.holder(wanted), self._port,
            )  # fmt: skip
        database = self._parsed_url.path if self._parsed_url.scheme != "unix" else "/0"
        self._url = f"redis://127.0.0.1:{self._port}{database or '/0'}"
        self._files.write_logins(self.url(Role.OPERATOR), self._users)

    # Supervising the own server

    async def _keep(self, server: RedisProcess) -> None:
        while True:
            started = self._clock.monotonic()
            try:
                self._launch(server)
            except OSError as error:  # disk full, no more processes: retried
                self._failed(f"it cannot be started: {error}")
            else:
                await self._await_answer(server)
                code = await server.gone()
                answered = self._ready.is_set()
                self._ready.clear()
                if self._clock.monotonic() - started >= HEALTHY_S:
                    self._failures = 0
                self._failed(
                    f"ended by OS signal {-code}"
                    if code < 0
                    else f"ended with exit code {code}: {server.last_words()}"
                )
                if not answered and server.refused_its_files():
                    self._refusals += 1
            pause_s = backoff_s(self._failures, BACKOFF_FIRST_S, BACKOFF_CAP_S, self._rng.random())
            await self._clock.sleep(pause_s)
            self._failures += 1

    def _replace_hung(self, server: RedisProcess) -> None:
        """End a server that hangs, so that it is started anew, unless it has an excuse."""
        is_ending = self._ending is not None and not self._ending.done()
        if server.pid is None or is_ending or excuse(server.pid):
            return
        self._log.error(
            "the embedded redis (pid %d) has answered nothing for %.0f s and is replaced",
            server.pid,
            self._watch.silent_s,
        )
        self._ending = asyncio.create_task(server.end(END_S), name="end redis")

    def _failed(self, failure: str) -> None:
        self._failure = failure
        self._log.warning("the embedded redis: %s", failure)

    def _launch(self, server: RedisProcess) -> None:
        if self._refusals >= REFUSALS:
            self._set_files_aside()
        if not self._ever_ready and not ports.is_free(self._port):
            self._choose_port()  # the port was taken meanwhile, and the URL is not in use yet
        assert self._users is not None, "made before the first launch"
        config = self._files.write_config(
            port=self._port,
            users=self._users,
            maxmemory_mb=self._section.maxmemory_mb,
            release=server.binary.release,
            log_path=server.log_path,
            table=self._table,
        )
        server.start(config)

    async def _await_answer(self, server: RedisProcess) -> None:
        pause_s = 0.02
        while server.pid is not None:
            failure = await probe(self.url(Role.SUPERVISOR), name="supervisor", timeout_s=2)
            if failure is None:
                self._refusals = 0
                self._failure = ""
                self._ever_ready = True
                self._ready.set()
                self._log.info("the embedded redis is up on port %d", self._port)
                return
            self._failure = str(failure)
            await self._clock.sleep(pause_s)
            pause_s = min(0.5, pause_s * 1.5)

    def _set_files_aside(self) -> None:
        target = self._set_aside("damaged")
        self._refusals = 0
        self._note(
            f"redis refused its own files {REFUSALS} times and started empty; the files are in "
            f"{target}"
        )

    def _set_aside(self, why: str) -> Path:
        utc = utc_text(self._clock.now_ms()).replace("-", "").replace(":", "")
        return self._files.set_aside(f"{why}-{utc}")

    def _note(self, note: str) -> None:
        self._log.error("%s", note)
        self._notes.append((self._clock.monotonic() + NOTE_S, note))

    async def _end_predecessor(self) -> None:
        """End a server that an earlier supervisor left in our directory."""
        found = _servers_in(self._files.directory)
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.terminate()
                process.resume()  # a stopped one has not handled its death signal
        for process in await self._wait_gone(found):
            self._note(f"an earlier redis (pid {process.pid}) would not end and was killed")
            with contextlib.suppress(psutil.Error):
                process.kill()
            await self._wait_gone([process])

    async def _wait_gone(self, processes: list[psutil.Process]) -> list[psutil.Process]:
        deadline = self._clock.monotonic() + PREDECESSOR_S
        while processes := [process for process in processes if _is_alive(process)]:
            if self._clock.monotonic() > deadline:
                break
            await self._clock.sleep(0.02)
        return processes


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _servers_in(directory: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            is_server = any(product in process.name() for product in ("redis", "valkey"))
            if is_server and process.cwd() == str(directory):
                found.append(process)
        except psutil.Error:
            continue  # ended meanwhile, or another user's
    return found
