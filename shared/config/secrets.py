"""Secrets, read from the environment and systemd credentials, then wiped from both."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from shared.config.defaults import UNNAMED_VENUE
from shared.config.venue_catalog import venue_catalog
from shared.errors import ConfigError

# field of Secrets (and name of its systemd credential) -> environment variable
SECRET_VARIABLES: Mapping[str, str] = {
    "redis_password": "COINEX_REDIS_PASSWORD",
    "venue_key": "COINEX_VENUE_KEY",
    "venue_secret": "COINEX_VENUE_SECRET",
    "alert_urls": "COINEX_ALERT_URLS",
}

HOW_TO_SET_KEYS = (
    f"set {SECRET_VARIABLES['venue_key']} and {SECRET_VARIABLES['venue_secret']} in the "
    "environment, or the systemd credentials venue_key and venue_secret, and restart the platform"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OldName:
    """A secret's name of earlier releases.

    Attributes:
        secret: Its field of `Secrets`.
        venue: The one venue whose key it names.
    """

    secret: str
    credential: str
    variable: str
    venue: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Secrets:
    """Values that must never appear in a file of this project, a log or a process title.

    `old_names`: Where some were given under a name of earlier releases.
    """

    redis_password: str | None = None
    venue_key: str | None = None
    venue_secret: str | None = None
    alert_urls: str | None = None
    old_names: Mapping[str, OldName] = field(default_factory=dict)

    def __repr__(self) -> str:
        return "Secrets(hidden)"

    def alert_services(self) -> list[str]:
        """Return the URLs of the alert services, separated by blanks, commas or line ends.

        A comma inside a URL does not end it: the next one starts with a scheme.
        """
        urls = re.split(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)", self.alert_urls or "")
        return [stripped for url in urls if (stripped := url.strip(", \t\r\n"))]

    def renamed(self) -> list[str]:
        """Return what to rename, in words."""
        return [
            f"{where}: a name of earlier releases, still read; it is now "
            f"{SECRET_VARIABLES[old.secret]} (credential {old.secret})"
            for where, old in self.old_names.items()
        ]

    def of_another_venue(self, venue: str) -> list[str]:
        """Return the faults of keys whose names say that they are another venue's."""
        return [
            f"{where}: names a key of {old.venue}, and venue.name is {venue}; set "
            f"{SECRET_VARIABLES[old.secret]} (credential {old.secret}) instead"
            for where, old in self.old_names.items()
            if old.venue != venue
        ]

    def into_url(self, url: str) -> str:
        """Return a Redis URL with the password in it, if there is one."""
        if self.redis_password is None:
            return url
        # redis-cli would log in with the empty user name of "redis://:password@"
        user = urlsplit(url).netloc.rpartition("@")[0].partition(":")[0] or "default"
        return with_login(url, user, self.redis_password)


def with_login(url: str, user: str, password: str) -> str:
    """Return a Redis URL with its login replaced."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    # joined by hand: without a host, as in unix://, urllib would drop slashes
    login = f"{user}:{quote(password, safe='')}@{host}"
    rest = url.removeprefix(f"{parts.scheme}://{parts.netloc}")
    return f"{parts.scheme}://{login}{rest}"


def old_names() -> list[OldName]:
    """Return the names of earlier releases that are still read."""
    return [
        OldName(secret=secret, credential=credential, variable=variable, venue=venue.name)
        for venue in venue_catalog().values()
        for secret, (credential, variable) in venue.old_names.items()
    ]


def secrets_from(
    environment: Mapping[str, str], credentials_dir: Path | None, venue: str = UNNAMED_VENUE
) -> Secrets:
    """Return the secrets given by systemd credentials or by the environment.

    Args:
        environment: Variables as in `SECRET_VARIABLES`.
        credentials_dir: `CREDENTIALS_DIRECTORY` of systemd, if set: one file per secret, named
            like the field of `Secrets`.
        venue: `venue.name` of the configuration.

    Raises:
        ConfigError: A secret is empty, unreadable, given twice with different values, one of
            the two venue keys without the other, no valid key, or one of another venue. No fault
            shows a value.
    """
    faults: list[str] = []
    found: dict[str, str | None] = {}
    places: dict[str, str] = {}
    by_old_name: dict[str, OldName] = {}
    for name, variable in SECRET_VARIABLES.items():
        given = _given(environment, credentials_dir, name, variable, faults)
        for old in (each for each in old_names() if each.secret == name):
            by_its_name = _given(environment, credentials_dir, old.credential, old.variable, faults)
            by_old_name |= dict.fromkeys(by_its_name, old)
            given |= by_its_name
        faults += [
            f"{where}: empty, expected a secret; set it or remove it"
            for where, value in given.items()
            if not value
        ]
        if len(set(given.values())) > 1:
            faults.append(f"{' and '.join(given)} differ; keep one of them")
        places[name], found[name] = next(iter(given.items()), ("", None))
    secrets = Secrets(**found, old_names=by_old_name)
    faults += _half_a_pair(found, places) + _unfit(found, places)
    faults += secrets.of_another_venue(venue)
    if faults:
        raise ConfigError(faults)
    return secrets


def _given(
    environment: Mapping[str, str],
    credentials_dir: Path | None,
    credential: str,
    variable: str,
    faults: list[str],
) -> dict[str, str]:
    """Return the values given by a pair of names, each by where it was found."""
    given: dict[str, str] = {}
    if variable in environment:
        given[f"environment variable {variable}"] = environment[variable]
    path = credentials_dir / credential if credentials_dir else None
    if path is not None and path.exists():
        try:
            text = path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            faults.append(f"credential {path}: not readable ({error}); make it a text file")
        else:
            given[f"credential {path}"] = text
    return given


_VENUE_KEYS = ("venue_key", "venue_secret")


def _unfit(found: Mapping[str, str | None], places: Mapping[str, str]) -> list[str]:
    return [
        f"{places[name]}: holds a blank, a line end or a letter outside ASCII, which no key does; "
        "give it as the venue showed it"
        for name in _VENUE_KEYS
        if not all("!" <= letter <= "~" for letter in found[name] or "")
    ]


def _half_a_pair(found: Mapping[str, str | None], places: Mapping[str, str]) -> list[str]:
    missing = [name for name in _VENUE_KEYS if found[name] is None]
    if len(missing) != 1:
        return []
    given = next(name for name in _VENUE_KEYS if name not in missing)
    return [
        f"{places[given]} is given without {SECRET_VARIABLES[missing[0]]} "
        f"(credential {missing[0]}); give both, or neither"
    ]


# In /proc/PID/stat, counted from the field behind the command's name.
_ENV_START, _ENV_END = 47, 48


def credentials_folder(environment: Mapping[str, str]) -> Path | None:
    """Return systemd's directory of this process's credentials; None if there is none."""
    given = environment.get("CREDENTIALS_DIRECTORY")
    return Path(given) if given else None


def take_secrets(environment: MutableMapping[str, str], venue: str = UNNAMED_VENUE) -> Secrets:
    """Return this process's secrets and remove them, so that no child inherits them.

    Args:
        environment: `os.environ`, from which they are removed.
        venue: As of `secrets_from`.

    Raises:
        ConfigError: As `secrets_from`.
    """
    secrets = secrets_from(environment, credentials_folder(environment), venue)
    environment.pop("CREDENTIALS_DIRECTORY", None)
    variables = [*SECRET_VARIABLES.values(), *(old.variable for old in old_names())]
    for name in variables:
        environment.pop(name, None)
    _wipe(variables)
    return secrets


def _wipe(names: Iterable[str]) -> None:
    """Overwrite variables in the process's initial environment, shown in /proc/PID/environ.

    Unsetting a variable leaves it there.
    """
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[_ENV_START]), int(fields[_ENV_END])
    if end <= start:  # the kernel does not tell
        return
    block = ctypes.string_at(start, end - start)
    for name in names:
        for found in re.finditer(rb"(?:^|\0)%s=([^\0]*)" % re.escape(name).encode(), block):
            ctypes.memset(start + found.start(1), ord("x"), len(found[1]))
