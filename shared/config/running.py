"""Where a platform runs, read leniently: commands must work even if config.yaml is broken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from shared.config.defaults import NAMESPACE, OWN, REDIS_URL, STATE_DIR
from shared.config.yaml_document import LOADER


@dataclass(frozen=True, slots=True)
class RunningPlatform:
    """Where to reach a running platform.

    Attributes:
        trader_kind: As the file has it now; a platform that runs may have begun with another.
    """

    state_dir: Path
    redis_url: str
    namespace: str
    trader_kind: str = OWN

    @property
    def socket(self) -> Path:
        """The supervisor's socket."""
        return self.state_dir / "supervisor.sock"


def find_running(config: Path, overrides: Sequence[str]) -> RunningPlatform:
    """Return where a configuration's platform runs, with defaults for what cannot be read.

    Args:
        config: The YAML file; it may be missing or broken.
        overrides: `key.path=value` each, as given by `--set`; the last one wins.

    Raises:
        ConfigError: An override is invalid; the file never raises.
    """
    found = {"state_dir": STATE_DIR, "redis.url": REDIS_URL, "redis.namespace": NAMESPACE}
    found["trader.kind"] = OWN
    try:
        document = yaml.load(config.read_text(encoding="utf-8"), LOADER)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        document = None
    found |= _texts(document)
    if overrides:
        from shared.config.load import overridden  # noqa: PLC0415  # slow; the file needs none of it

        found |= _texts(overridden(overrides))
    return RunningPlatform(
        Path(found["state_dir"]).resolve(),
        found["redis.url"],
        found["redis.namespace"],
        found["trader.kind"],
    )


def _texts(document: Any) -> dict[str, str]:
    """Return the valid values of a document."""
    if not isinstance(document, dict):
        return {}
    given = {"state_dir": document.get("state_dir")}
    for section, names in (("redis", ("url", "namespace")), ("trader", ("kind",))):
        if isinstance(inner := document.get(section), dict):
            given |= {f"{section}.{name}": inner.get(name) for name in names}
    return {name: value for name, value in given.items() if isinstance(value, str)}
