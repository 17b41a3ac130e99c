"""The commands of a running supervisor: control actors, show their status, reload."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from shared.config.sections import Config
from shared.errors import ConfigError, did_you_mean
from shared.messages.actors import ControlCommand, ControlReply
from shared.supervision.children import Children

FIXED = ("mode", "redis", "state_dir")
STARTS = frozenset({"start", "restart", "release"})
STOPPING = "the platform is stopping: nothing is started or changed any more"


class SupervisorCommands:
    """Answers control commands.

    Args:
        config: The current configuration; `reload` replaces it.
        reread: Reads the configuration again; raises ConfigError.
        missing_secrets: Returns the secrets that a configuration needs and that are not there.
        own_status: Returns the supervisor's own part of `status`.
        shut_down: Begins the orderly stop.
        is_stopping: Returns whether it has begun: what was stopped is not started any more.
    """

    def __init__(
        self,
        config: Config,
        children: Children,
        *,
        reread: Callable[[], Config],
        missing_secrets: Callable[[Config], list[str]],
        own_status: Callable[[], dict[str, Any]],
        shut_down: Callable[[], None],
        is_stopping: Callable[[], bool],
        log: logging.Logger,
    ) -> None:
        self.config = config
        self._children = children
        self._reread = reread
        self._missing_secrets = missing_secrets
        self._own_status = own_status
        self._shut_down = shut_down
        self._is_stopping = is_stopping
        self._log = log

    async def answer(self, command: ControlCommand) -> AsyncIterator[ControlReply]:
        """Carry out one command, yielding its replies."""
        reply = ControlReply(id=command.id, outcome="done")
        if command.command in STARTS and self._is_stopping():
            yield dataclasses.replace(reply, outcome="failed", reason=STOPPING)
            return
        match command.command:
            case "status":
                yield dataclasses.replace(
                    reply, body={"supervisor": self._own_status(), "actors": self._children.rows()}
                )
            case "reload":
                yield dataclasses.replace(reply, outcome="accepted")
                try:
                    yield dataclasses.replace(reply, reason=self.reload())
                except ConfigError as error:
                    reason = f"nothing was changed:\n{error}"
                    yield dataclasses.replace(reply, outcome="failed", reason=reason)
            case "shutdown":
                yield dataclasses.replace(reply, outcome="accepted")
                self._shut_down()
                yield dataclasses.replace(reply, reason="stopping")
            case verb:
                names = self._children.names(command.actor)
                if not names:
                    reason = self._no_such_actor(command.actor)
                    yield dataclasses.replace(reply, outcome="error", reason=reason)
                    return
                self._log.info("%s %s asked for", verb, ", ".join(names))
                yield dataclasses.replace(reply, outcome="accepted", reason=", ".join(names))
                results = await asyncio.gather(*(self._children.carry_out(verb, n) for n in names))
                yield dataclasses.replace(
                    reply,
                    outcome="done" if all(ok for ok, _ in results) else "failed",
                    reason="; ".join(text for _, text in results),
                )

    def _no_such_actor(self, name: str) -> str:
        names = self._children.names()
        hint = did_you_mean(name, names) or f"known: {', '.join(names)}"
        return f"no actor {name!r:.80}: {hint}"

    def reload(self) -> str:
        """Read the configuration again and apply it; only what changed is restarted.

        Raises:
            ConfigError: The new configuration is wrong, or the platform is stopping; nothing was
                changed.
        """
        if self._is_stopping():
            raise ConfigError([STOPPING])
        fresh = self._reread()
        kept: dict[str, Any] = {name: getattr(self.config, name) for name in FIXED}
        waiting = [name for name in FIXED if getattr(fresh, name) != kept[name]]
        if fresh.trader.kind != (kind := self.config.trader.kind):
            waiting.append("trader.kind")  # the rights on Redis follow from it
            kept["trader"] = dataclasses.replace(fresh.trader, kind=kind)
        fresh = dataclasses.replace(fresh, **kept)
        if faults := self._children.check_ports(fresh):
            raise ConfigError(faults)
        changed = self._children.adopt(fresh)
        self.config = fresh
        summary = f"restarted: {', '.join(changed)}" if changed else "no actor's section changed"
        if waiting:
            summary += f"; a restart of the supervisor is needed for: {', '.join(waiting)}"
        if missing := self._missing_secrets(fresh):
            summary += (
                f"; there is no {', '.join(missing)}: secrets are read at start only, so one "
                "added since needs a restart (systemctl restart)"
            )
        summary = "\n".join((summary, *self._children.remarks))
        self._log.info("configuration reloaded, %s", summary)
        return summary
