"""Keys under the names of earlier releases."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.config.secrets import SECRET_VARIABLES, OldName, old_names, secrets_from
from shared.errors import ConfigError

OLD = old_names()
VENUE = OLD[0].venue
VALUES = {"venue_key": "hunter2-id", "venue_secret": "hunter2-key"}


def by_variable() -> dict[str, str]:
    return {old.variable: VALUES[old.secret] for old in OLD}


def test_each_secret_of_a_venue_has_its_old_name() -> None:
    assert [old.secret for old in OLD if old.venue == VENUE] == list(VALUES)
    assert not {old.variable for old in OLD} & set(SECRET_VARIABLES.values())


def test_they_are_still_read_with_a_hint(tmp_path: Path) -> None:
    key, secret = OLD
    (tmp_path / secret.credential).write_text("hunter2-key\n")
    found = secrets_from({key.variable: "hunter2-id"}, tmp_path, VENUE)
    assert (found.venue_key, found.venue_secret) == ("hunter2-id", "hunter2-key")
    assert found.renamed() == [
        f"environment variable {key.variable}: a name of earlier releases, still read; it is now "
        "COINEX_VENUE_KEY (credential venue_key)",
        f"credential {tmp_path / secret.credential}: a name of earlier releases, still read; it "
        "is now COINEX_VENUE_SECRET (credential venue_secret)",
    ]
    assert (
        secrets_from({SECRET_VARIABLES[name]: VALUES[name] for name in VALUES}, None).renamed()
        == []
    )


def test_with_another_venue_every_one_is_a_fault_beside_the_others() -> None:
    with pytest.raises(ConfigError) as caught:
        secrets_from(by_variable() | {"COINEX_ALERT_URLS": ""}, None, "elsewhere")
    assert list(caught.value.faults) == [
        "environment variable COINEX_ALERT_URLS: empty, expected a secret; set it or remove it",
        *(
            f"environment variable {old.variable}: names a key of {VENUE}, and venue.name is "
            f"elsewhere; set {SECRET_VARIABLES[old.secret]} (credential {old.secret}) instead"
            for old in OLD
        ),
    ]


@pytest.mark.parametrize("old", OLD, ids=lambda old: old.secret)
def test_old_and_new_name_must_give_the_same(old: OldName) -> None:
    new = SECRET_VARIABLES[old.secret]
    assert secrets_from(by_variable() | {new: VALUES[old.secret]}, None).venue_key == "hunter2-id"
    with pytest.raises(ConfigError, match=f"{new} and .*{old.variable} differ; keep one") as caught:
        secrets_from(by_variable() | {new: "hunter3"}, None)
    assert "hunter" not in str(caught.value)
