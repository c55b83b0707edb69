"""Signatures of pushes: computed here by hand, told apart by the library."""

from __future__ import annotations

import copy
import hashlib
import hmac
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async.callbacks import CallbackReason, CallbackRefusedError, verify
from pandapon_async.errors import ConfigurationError, PandaponError
from pandapon_async.settings import Credentials

KEY, SECRET = "canary-key-91bc", "canary-secret-7f3a"
CREDENTIALS = Credentials(KEY, SECRET, "77001")
BODY = b'{"messageType":"1688_ORDER_BUYER_VIEW_ORDER_PRICE_MODIFY","messageBody":{"phone":"13800001111"}}'


def signed(body: bytes = BODY, *, key: str = KEY, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), key.encode() + body, hashlib.sha256).hexdigest()


def test_a_known_answer() -> None:
    # echo -n 'key{"a":1}' | openssl dgst -sha256 -hmac secret
    expected = "f8f6c7bec0efe0094eda808ad36ce10dbff1293f8e54ae64b3fba6e42849b8cd"
    assert signed(b'{"a":1}', key="key", secret="secret") == expected
    credentials = Credentials("key", "secret", "1")
    assert verify(b'{"a":1}', expected, credentials) is credentials


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("header", [str, str.encode])
def test_the_bytes_that_came_verify(wrap: Any, header: Any) -> None:
    assert verify(wrap(BODY), header(signed()), CREDENTIALS) is CREDENTIALS


@given(st.binary(max_size=200))
def test_any_body_verifies_with_its_own_signature_alone(body: bytes) -> None:
    verify(body, signed(body), CREDENTIALS)
    with pytest.raises(CallbackRefusedError) as refused:
        verify(body + b" ", signed(body), CREDENTIALS)
    assert refused.value.reason is CallbackReason.WRONG_SIGNATURE


@given(st.none() | st.text() | st.binary() | st.integers(), st.binary(max_size=50) | st.text(max_size=50))
def test_whatever_comes_is_one_typed_error(authorization: Any, body: Any) -> None:
    with pytest.raises(CallbackRefusedError) as refused:
        verify(body, authorization, CREDENTIALS)
    assert isinstance(refused.value, PandaponError)
    assert isinstance(refused.value.reason, CallbackReason)


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        (None, CallbackReason.UNSIGNED),
        ("", CallbackReason.MALFORMED_SIGNATURE),
        (signed()[:-1], CallbackReason.MALFORMED_SIGNATURE),
        (signed() + "0", CallbackReason.MALFORMED_SIGNATURE),
        (f" {signed()}", CallbackReason.MALFORMED_SIGNATURE),
        (f"{signed()}\n", CallbackReason.MALFORMED_SIGNATURE),
        (f"Bearer {signed()}", CallbackReason.MALFORMED_SIGNATURE),
        (f"{signed()}, {signed()}", CallbackReason.MALFORMED_SIGNATURE),
        ("é" * 64, CallbackReason.MALFORMED_SIGNATURE),
        ("\udcff" * 64, CallbackReason.MALFORMED_SIGNATURE),
        ("１" * 64, CallbackReason.MALFORMED_SIGNATURE),
        (b"\xff" * 64, CallbackReason.MALFORMED_SIGNATURE),
        ("g" * 64, CallbackReason.MALFORMED_SIGNATURE),
        (signed().upper(), CallbackReason.SIGNED_OTHERWISE),
        (signed()[:32] + signed()[32:].upper(), CallbackReason.SIGNED_OTHERWISE),
        (signed(secret="another").upper(), CallbackReason.WRONG_SIGNATURE),
        ("0" * 64, CallbackReason.WRONG_SIGNATURE),
        (signed()[::-1], CallbackReason.WRONG_SIGNATURE),
        (signed(secret="another"), CallbackReason.WRONG_SIGNATURE),
        (signed(key="another"), CallbackReason.WRONG_SIGNATURE),
        (hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest(), CallbackReason.SIGNED_OTHERWISE),
        (hashlib.sha256(BODY).hexdigest(), CallbackReason.WRONG_SIGNATURE),
    ],
)
def test_a_bad_signature_has_its_reason(authorization: Any, reason: CallbackReason) -> None:
    with pytest.raises(CallbackRefusedError) as refused:
        verify(BODY, authorization, CREDENTIALS)
    assert refused.value.reason is reason


def test_the_case_of_the_hex_digits_is_a_setting() -> None:
    for written in (signed(), signed().upper(), signed()[:32] + signed()[32:].upper()):
        assert verify(BODY, written, CREDENTIALS, hex_case="any") is CREDENTIALS
    assert verify(BODY, signed().upper(), CREDENTIALS, hex_case="upper") is CREDENTIALS
    with pytest.raises(CallbackRefusedError, match="not in upper case; change the setting `hex_case`"):
        verify(BODY, signed(), CREDENTIALS, hex_case="upper")


def test_what_is_signed_is_a_setting() -> None:
    body_alone = hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
    assert verify(BODY, body_alone, CREDENTIALS, base="body") is CREDENTIALS
    with pytest.raises(CallbackRefusedError, match="another base than 'body'; change the setting `base`"):
        verify(BODY, signed(), CREDENTIALS, base="body")
    for one in (body_alone, signed()):
        assert verify(BODY, one, CREDENTIALS, base="either") is CREDENTIALS
    own = hmac.new(SECRET.encode(), BODY + KEY.encode(), hashlib.sha256).hexdigest()
    assert verify(BODY, own, CREDENTIALS, base=lambda key, body: body + key.encode()) is CREDENTIALS


def test_during_a_rotation_the_old_secret_still_counts() -> None:
    new = Credentials(KEY, "new-secret", "77001")
    assert verify(BODY, signed(), [new, CREDENTIALS]) is CREDENTIALS
    assert verify(BODY, signed(secret="new-secret"), (new, CREDENTIALS)) is new
    with pytest.raises(CallbackRefusedError):
        verify(BODY, signed(), iter([new]))


def test_size_is_checked_before_anything_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hmac, "digest", None)
    with pytest.raises(CallbackRefusedError) as refused:
        verify(bytes(1025), signed(), CREDENTIALS, maximum_bytes=1024)
    assert refused.value.reason is CallbackReason.TOO_LARGE
    with pytest.raises(
        CallbackRefusedError
    ) as refused:  # nor is it for what has not the shape of a signature
        verify(BODY, "é" * 64, CREDENTIALS)
    assert refused.value.reason is CallbackReason.MALFORMED_SIGNATURE


def test_text_is_no_body() -> None:
    for body in (BODY.decode(), {"messageType": "X"}, None):
        with pytest.raises(CallbackRefusedError) as refused:
            verify(body, signed(), CREDENTIALS)  # type: ignore[arg-type]
        assert refused.value.reason is CallbackReason.NOT_BYTES


def test_ones_own_mistakes_are_another_error() -> None:
    for known in ([], ["secret"]):
        with pytest.raises(ConfigurationError):
            verify(BODY, signed(), known)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        verify(BODY, signed(), CREDENTIALS, base="everything")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        verify(BODY, signed(), CREDENTIALS, hex_case="title")  # type: ignore[arg-type]


def test_an_error_tells_nothing_of_what_came_and_survives_copying() -> None:
    for authorization in (signed()[:-1], "0" * 64, None):
        with pytest.raises(CallbackRefusedError) as refused:
            verify(BODY, authorization, CREDENTIALS)
        error = refused.value
        for secret in (SECRET, KEY, "13800001111", "messageType", signed()[:20]):
            assert secret not in f"{error} {error!r} {error.args} {vars(error)}"
        assert error.__cause__ is None
        for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
            assert (type(twin), twin.reason, str(twin)) == (CallbackRefusedError, error.reason, str(error))
