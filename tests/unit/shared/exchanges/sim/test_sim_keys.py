"""The simulated venue's keys in their file: who can read them, and when they are made."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.errors import ConfigError
from shared.exchanges.sim.keys import KeyFile, SimKeys, new_keys
from shared.exchanges.venue_keys import VenueKeys


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keys_are_for_their_owner_and_readable_as_json(tmp_path: Path) -> None:
    (tmp_path / "simulator").mkdir(mode=0o755)
    keys, file = new_keys(), KeyFile(tmp_path)
    file.write(keys)
    assert file.path == tmp_path / "simulator" / "venue-keys.json"
    assert (mode(file.path), mode(file.path.parent)) == (0o600, 0o700)
    assert json.loads(file.path.read_text()) == {
        "access_id": keys.access_id,
        "secret_key": keys.secret_key,
    }
    assert KeyFile(tmp_path).read_or_make() == keys


def test_every_pair_is_new_fit_to_sign_and_hidden() -> None:
    pairs = [new_keys() for _ in range(3)]
    assert len({text for keys in pairs for text in (keys.access_id, keys.secret_key)}) == 6
    VenueKeys(pairs[0].access_id, pairs[0].secret_key)
    for text in (repr(pairs[0]), str(pairs[0]), f"{pairs[0]}"):
        assert pairs[0].access_id not in text
        assert pairs[0].secret_key not in text


@pytest.mark.parametrize("harm", ["removed", "its directory removed", "cut short", "replaced"])
def test_keys_that_are_gone_or_others_are_written_again(tmp_path: Path, harm: str) -> None:
    keys, file = new_keys(), KeyFile(tmp_path)
    assert file.restore(keys) is True
    assert file.restore(keys) is False
    if harm == "replaced":
        file.write(new_keys())
    elif harm == "cut short":
        file.path.write_bytes(b"")
    else:
        file.path.unlink()
        if harm == "its directory removed":
            file.path.parent.rmdir()
    assert file.restore(keys) is True
    assert file.read_or_make() == keys


def test_actors_run_by_hand_at_the_same_time_make_one_pair(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: KeyFile(tmp_path).read_or_make(), range(8)))
    assert found == [found[0]] * 8


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"access_id": "A"}'])
def test_file_that_holds_no_keys_is_named_and_not_shown(tmp_path: Path, content: str) -> None:
    file = KeyFile(tmp_path)
    file.write(SimKeys("A", "B"))
    file.path.write_text(content)
    with pytest.raises(ConfigError, match=r"venue-keys\.json: .*; fix its permissions, or remove"):
        file.read_or_make()
