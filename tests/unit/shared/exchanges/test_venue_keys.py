"""Keys sign, and show themselves nowhere."""

from __future__ import annotations

import copy
import pickle
import traceback

import orjson
import pytest

from shared.exchanges.venue_keys import VenueKeys

ACCESS_ID, SECRET = "4DA36FFC61334695A66F8D29020EB589", "test-secret"
KEYS = VenueKeys(ACCESS_ID, SECRET)


def test_signature_is_the_known_one() -> None:
    for _ in range(2):  # signing once does not change what is signed next
        sign = KEYS.sign(b"1700490703564")
        assert sign == "bd3d9121246add17da44490a01917b91c7ab38ffe33c5afc4b0d63a65dca2e48"


def shown() -> list[str]:
    return [
        repr(KEYS),
        str(KEYS),
        f"{KEYS}",
        f"{KEYS!r:>40}",
        f"{KEYS:>40}",
        "%s %r" % (KEYS, [KEYS]),  # noqa: UP031
        repr({"keys": KEYS}),
    ]


def test_keys_show_nothing_however_they_are_printed() -> None:
    for text in shown():
        assert "hidden" in text
        assert ACCESS_ID not in text
        assert SECRET not in text


@pytest.mark.parametrize(
    "attempt",
    [
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        orjson.dumps,
        vars,
        lambda keys: keys.__getstate__(),
        lambda keys: setattr(keys, "_access_id", "other"),
        lambda keys: delattr(keys, "_access_id"),
        lambda keys: setattr(keys, "more", 1),
    ],
)
def test_keys_are_neither_copied_nor_changed(attempt: object) -> None:
    assert callable(attempt)
    with pytest.raises((TypeError, AttributeError)) as caught:
        attempt(KEYS)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert KEYS.access_id == ACCESS_ID


def test_secret_is_held_in_no_attribute() -> None:
    held = [getattr(KEYS, name) for name in VenueKeys.__slots__]
    assert not [value for value in held if SECRET in repr(value)]


@pytest.mark.parametrize("name", ["access id", "secret key"])
@pytest.mark.parametrize("bad", ["", "s3cr3t\n", " s3cr3t", "s3cr3t\r\nX-Admin: 1", "s3cr3té"])
def test_what_cannot_be_a_key_is_named_and_not_shown(name: str, bad: str) -> None:
    pair = (bad, SECRET) if name == "access id" else (ACCESS_ID, bad)
    with pytest.raises(ValueError, match=f"the venue's {name} (is empty|holds)") as caught:
        VenueKeys(*pair)
    assert "s3cr3t" not in str(caught.value)


def test_access_id_sent_back_by_a_venue_is_hidden() -> None:
    assert KEYS.hide(f"invalid access_id {ACCESS_ID}!") == "invalid access_id hidden!"
