"""The signature: which headers, which shape, and that the whole rule can be replaced."""

from __future__ import annotations

import hashlib
import re

from hypothesis import given
from hypothesis import strategies as st

from pandapon_async.core.signing import NONCE_LENGTH, SIGNERS, signature, signed_headers

VISIBLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


def test_a_call_carries_exactly_the_five_headers_of_the_pages() -> None:
    headers = signed_headers("key", "secret", "2100007341207", "1715669977082", "n" * NONCE_LENGTH)
    assert headers == {
        "access-key": "key",
        "timestamp": "1715669977082",
        "nonce-str": "n" * 32,
        "user-id": "2100007341207",
        "signature": "F434C173D787AA8B3DE6DCF8D3EDC48B",
    }


@given(VISIBLE, VISIBLE, VISIBLE, VISIBLE)
def test_the_signature_has_the_shape_of_the_sample_and_never_holds_the_secret(
    key: str, timestamp: str, nonce: str, secret: str
) -> None:
    made = signature(key, timestamp, nonce, secret)
    assert re.fullmatch("[0-9A-F]{32}", made)
    assert made == hashlib.md5((key + timestamp + nonce + secret).encode()).hexdigest().upper()
    assert len(secret) < 3 or secret not in "".join(signed_headers(key, secret, "1", timestamp, nonce)) + made


def test_every_part_that_is_signed_changes_the_signature_and_the_user_id_does_not() -> None:
    parts = ("key", "1715669977082", "n" * 32, "secret")
    base = signature(*parts)
    for position in range(4):
        changed = [part + ("x" if position == index else "") for index, part in enumerate(parts)]
        assert signature(*changed) != base
    one, other = (
        signed_headers("key", "secret", user, "1715669977082", "n" * 32)["signature"] for user in "12"
    )
    assert one == other == base


def test_the_rule_can_be_replaced_and_is_given_all_four_parts_in_order() -> None:
    seen: list[tuple[str, str, str, str]] = []

    def signer(access_key: str, timestamp: str, nonce: str, access_secret: str) -> str:
        seen.append((access_key, timestamp, nonce, access_secret))
        return "mine"

    assert signed_headers("k", "s", "u", "t", "n", signer)["signature"] == "mine"
    assert seen == [("k", "t", "n", "s")]


def test_both_built_in_rules_are_the_same_but_for_the_case_of_their_letters() -> None:
    parts = ("key", "1715669977082", "n" * NONCE_LENGTH, "secret")
    assert SIGNERS["md5_upper"](*parts) == "F434C173D787AA8B3DE6DCF8D3EDC48B"
    assert SIGNERS["md5_lower"](*parts) == "f434c173d787aa8b3de6dcf8d3edc48b"
