"""The tree of errors: one root, copies that keep everything, texts that tell nothing private."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest

import pandapon_async
from pandapon_async import errors
from pandapon_async.errors import (
    Attempt,
    ConnectionLostError,
    ErrorKind,
    Outcome,
    OutcomeUnknownError,
    PandaponError,
    error_kind_of,
)

CLASSES = [
    kind
    for kind in vars(errors).values()
    if inspect.isclass(kind) and issubclass(kind, PandaponError) and kind.__module__ == errors.__name__
]
ABOVE = {
    "ConfigurationError": "PandaponError",
    "InvalidArgumentError": "PandaponError",
    "NotSentError": "PandaponError",
    "OutcomeUnknownError": "PandaponError",
    "DeadlineExceededError": "PandaponError",
    "MalformedResponseError": "PandaponError",
    "ResponseTooLargeError": "PandaponError",
    "DecodeError": "PandaponError",
    "ApiError": "PandaponError",
    "AuthenticationError": "ApiError",
    "RateLimitError": "ApiError",
    "RejectedError": "ApiError",
    "TryLaterError": "RejectedError",
    "NotFoundError": "ApiError",
}
CANARY = "13800001111"
HISTORY = (
    Attempt(1, "unknown", 0.5, reason="ConnectionLostError"),
    Attempt(2, "ok", 0.25, waited=1.0, code=200),
)
each = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)


def full(kind: type[PandaponError]) -> PandaponError:
    """One with every argument that its own and its parents' __init__ take, and every later attribute."""
    own: dict[str, Any] = {}
    for base in kind.__mro__:
        if base in CLASSES:
            for name, parameter in inspect.signature(base).parameters.items():
                if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                    own.setdefault(name, f"value of {name}")
    own |= {"attempts": 2, "history": HISTORY, "retryable": True, "endpoint": "v1.x", "request_id": "r-1"}
    for name in ("msg", "error_info", "data"):
        if name in own:
            own[name] = CANARY
    error = kind("what happened", **own)
    error.outcome = Outcome.UNKNOWN
    return error


def test_the_tree_is_the_documented_one() -> None:
    for name, parent in ABOVE.items():
        assert issubclass(getattr(errors, name), getattr(errors, parent))
    for kind in CLASSES:
        assert issubclass(kind, PandaponError)
        assert issubclass(kind, Exception)


def test_every_error_is_public() -> None:
    for kind in CLASSES:
        assert kind.__name__ in errors.__all__
        assert getattr(pandapon_async, kind.__name__) is kind
        assert kind.__doc__


@each
@pytest.mark.parametrize(
    "again",
    [
        *(
            lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol))
            for protocol in range(2, 6)
        ),
        copy.copy,
        copy.deepcopy,
    ],
)
def test_a_copy_keeps_everything(kind: type[PandaponError], again: Any) -> None:
    error = full(kind)
    twin = again(error)
    assert type(twin) is kind
    assert vars(twin) == vars(error)
    assert (twin.args, str(twin), twin.outcome, twin.retryable) == (
        error.args,
        str(error),
        Outcome.UNKNOWN,
        True,
    )


@each
def test_every_error_answers_the_four_questions(kind: type[PandaponError]) -> None:
    bare = kind("what happened")
    assert (bare.endpoint, bare.attempts, bare.request_id, bare.history) == (None, 0, None, ())
    assert isinstance(bare.retryable, bool)
    assert isinstance(bare.outcome, Outcome)
    assert str(bare) == "what happened"
    text = str(full(kind))
    for fact in ("what happened", "endpoint=v1.x", "attempts=2", "request_id=r-1"):
        assert fact in text


@each
def test_what_the_vendor_said_is_not_in_the_text(kind: type[PandaponError]) -> None:
    error = full(kind)
    assert CANARY not in f"{error} {error!r} {error.args}"


@each
def test_only_what_may_be_sensible_to_repeat_says_so(kind: type[PandaponError]) -> None:
    expected = {
        "NotSentError",
        "ConnectionLostError",
        "DeadlineExceededError",
        "MalformedResponseError",
        "RateLimitError",
    }
    assert kind.retryable is (kind.__name__ in expected)
    assert kind("x", retryable=not kind.retryable).retryable is not kind.retryable


def test_refused_values_are_value_errors() -> None:
    assert issubclass(errors.InvalidArgumentError, ValueError)
    assert issubclass(errors.ConfigurationError, ValueError)


def test_an_unknown_outcome_names_its_intent() -> None:
    assert "[intent abc]" in str(errors.OutcomeUnknownError("lost", intent_id="abc"))


def test_outcomes_of_the_classes() -> None:
    found = {kind.__name__: kind.outcome for kind in CLASSES}
    unknown = {name for name, outcome in found.items() if outcome is Outcome.UNKNOWN}
    answered = {name for name, outcome in found.items() if outcome is Outcome.ANSWERED}
    assert unknown == {
        "ConnectionLostError",
        "OutcomeUnknownError",
        "MalformedResponseError",
        "ResponseTooLargeError",
    }
    assert answered == {
        "DecodeError",
        "ApiError",
        "AuthenticationError",
        "NotFoundError",
        "RateLimitError",
        "RejectedError",
        "TryLaterError",
    }


def test_every_class_has_an_error_kind_of_its_own() -> None:
    codes = [error_kind_of(kind("x")) for kind in CLASSES]
    assert len(set(codes)) == len(CLASSES)
    assert error_kind_of(CLASSES[0]("x")) is ErrorKind.OTHER, "the root is no kind of its own"
    assert error_kind_of(ValueError()) is ErrorKind.OTHER


def test_the_kind_of_an_unknown_outcome_is_what_hid_the_answer() -> None:
    error = OutcomeUnknownError("x")
    assert error_kind_of(error) is ErrorKind.OUTCOME_UNKNOWN
    error.__cause__ = ConnectionLostError("x")
    assert error_kind_of(error) is ErrorKind.CONNECTION_LOST
