"""Crash reporters print the variables of frames: none of ours holds the secret of a wrong configuration.

What the frames of the caller's own code hold is the caller's; a signer and a module of handlers are the
user's code too, so their errors are told and not chained.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import typer

from pandapon_async import Client, Credentials, Override, RetryPolicy, Settings, VendorProfile
from pandapon_async.callbacks import CallbackSettings, Receiver, verify
from pandapon_async.cli import callbacks
from pandapon_async.errors import ConfigurationError, PandaponError
from tests.support.clients import CREDENTIALS, REFUND, SECRET
from tests.support.server import FaultServer

PASSWORD = "canary-password-5512"
PROXY = f"http://user:{PASSWORD}@proxy.example:3128"


def linked(error: BaseException | None) -> Iterator[BaseException]:
    """The error and all that hang on it, also what would not be shown."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__]


def variables(error: BaseException) -> Iterator[tuple[str, Any]]:
    """Every local variable of every frame that is not this file's."""
    for one in linked(error):
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if frame.f_code.co_filename != __file__:
                for name, value in frame.f_locals.items():
                    yield f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}:{name}", value


def leaks(error: BaseException) -> list[str]:
    told = "".join(map(str, linked(error)))
    found = [
        place for place, value in variables(error) if any(one in repr(value) for one in (SECRET, PASSWORD))
    ]
    return found + [one for one in (SECRET, PASSWORD) if one in told]


def bad_environment() -> None:
    Path("broken.env").write_bytes(f"PANDAPON_ACCESS_SECRET={SECRET}\n".encode() + b"\xff\xfe")
    Credentials.from_env("broken.env")


def credentials_of(**changes: Any) -> Credentials:
    return Credentials(**{"access_key": "k", "access_secret": SECRET, "user_id": "1", **changes})


WRONG: dict[str, Callable[[], Any]] = {
    "no key": lambda: credentials_of(access_key=""),
    "a blank in the secret": lambda: credentials_of(access_secret=f"{SECRET} x"),
    "a secret that is not text": lambda: credentials_of(access_secret=SECRET.encode()),
    "no user": lambda: credentials_of(user_id=None),
    "a name that is not known": lambda: credentials_of(acces_key="k"),
    "too many": lambda: Credentials("k", SECRET, "1", "2"),  # type: ignore[call-arg]
    "too few": lambda: Credentials(access_secret=SECRET),  # type: ignore[call-arg]
    "the user of the environment": lambda: Credentials.from_env(),
    "a client of the environment": lambda: Client.from_env(),
    "a broken file": bad_environment,
    "a rate beside a proxy": lambda: Settings(proxy=PROXY, rate=-1),
    "a name beside a proxy": lambda: Settings(proxy=PROXY, ratee=1),  # type: ignore[call-arg]
    "an address beside a proxy": lambda: Settings(proxy=PROXY, base_url="http://example.com"),
    "an address with a password": lambda: Settings(base_url=f"https://user:{PASSWORD}@example.com"),
    "settings of the environment": lambda: Settings.from_env(proxy=PROXY, rate=-1),
    "changed settings": lambda: Client(CREDENTIALS, Settings(proxy=PROXY)).with_settings(timeout=-1),
    "a receiver": lambda: Receiver([CREDENTIALS, SECRET]),  # type: ignore[list-item]
    "credentials for verify": lambda: verify(b"{}", None, [SECRET]),  # type: ignore[list-item]
    "an override": lambda: VendorProfile(overrides={"x": Override(path="x")}),
    "a policy": lambda: Settings(proxy=PROXY, retry=RetryPolicy(attempts=0)),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_configuration(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {"ACCESS_KEY": "k", "ACCESS_SECRET": SECRET, "USER_ID": "a b", "RATE": "fast"}.items():
        monkeypatch.setenv(f"PANDAPON_{name}", value)
    with pytest.raises(PandaponError) as caught:
        WRONG[kind]()
    assert isinstance(caught.value, ConfigurationError)
    assert leaks(caught.value) == []


def test_the_search_finds_what_is_there() -> None:
    with pytest.raises(ConfigurationError) as caught:
        attrs.evolve(CREDENTIALS, user_id="a b")  # the frame of attrs.evolve is not ours
    assert leaks(caught.value) == ["_make.py:evolve:changes"]


def raising(access_key: str, timestamp: str, nonce: str, access_secret: str) -> str:
    raise RuntimeError(f"cannot sign with {access_secret}")


def raising_deeper(*given: str) -> str:
    try:
        return raising(*given)
    except RuntimeError as error:
        raise LookupError(given) from error


def junk(*given: str) -> Any:
    return given[3].encode()


@pytest.mark.parametrize(
    ("signer", "said"),
    [
        (raising, "the signer failed: RuntimeError in {file}, line {line}"),
        (raising_deeper, "the signer failed: LookupError in {file}, line"),
        (junk, "must return text that an HTTP header can carry"),
    ],
)
@pytest.mark.parametrize("by", ["settings", "override"])
async def test_a_signer_that_fails(signer: Any, said: str, by: str) -> None:
    given: dict[str, Any] = {"signer": signer}
    if by == "override":
        given = {"overrides": {"alibaba.refunds.get": Override(signer=signer)}}
    line = raising.__code__.co_firstlineno + 1
    async with (
        FaultServer() as server,
        Client(CREDENTIALS, Settings(base_url=server.url, journal=":memory:", **given)) as client,
    ):
        with pytest.raises(ConfigurationError) as caught:
            await client.alibaba.refunds.get(refund_id=REFUND)
        assert server.requests == []
    assert said.format(file=__file__, line=line) in str(caught.value)
    assert leaks(caught.value) == []


MODULES = {
    "raises.py": "secret = __import__('os').environ['PANDAPON_ACCESS_SECRET']\nraise KeyError(secret)\n",
    "registers.py": "def register(receiver):\n    s = receiver.credentials[0].access_secret\n    1 / 0\n",
    "imports.py": "secret = __import__('os').environ['PANDAPON_ACCESS_SECRET']\nimport nowhere_to_be_found\n",
    "holds.py": "register = 5\n",
    "broken.py": "def\n",
}


@pytest.mark.parametrize("name", [*MODULES, "missing.py"])
def test_a_module_of_handlers_that_fails(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    for variable, value in {"ACCESS_KEY": "k", "ACCESS_SECRET": SECRET, "USER_ID": "1"}.items():
        monkeypatch.setenv(f"PANDAPON_{variable}", value)
    if name in MODULES:
        (tmp_path / f"frames_{name}").write_text(MODULES[name])
    with pytest.raises(typer.BadParameter) as caught:
        callbacks.serve(store=tmp_path / "cb.sqlite", handlers=f"frames_{name.removesuffix('.py')}")
    assert f"frames_{name.removesuffix('.py')}: " in str(caught.value)
    assert leaks(caught.value) == []


def test_a_receiver_that_is_set_up_wrongly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for variable, value in {"ACCESS_KEY": "k", "ACCESS_SECRET": SECRET, "CALLBACK_BASE": "x"}.items():
        monkeypatch.setenv(f"PANDAPON_{variable}", value)
    with pytest.raises(ConfigurationError) as caught:
        callbacks.serve(store=tmp_path / "cb.sqlite")
    assert leaks(caught.value) == []
    monkeypatch.setenv("PANDAPON_CALLBACK_BASE", "body")
    (tmp_path / "cb.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(PandaponError) as other:
        callbacks.serve(port=0, store=tmp_path / "cb.sqlite")
    assert leaks(other.value) == []
    with pytest.raises(ConfigurationError):
        CallbackSettings(base="x")  # type: ignore[arg-type]
