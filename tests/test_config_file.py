"""pandapon.toml: what wins, what is refused with its line, and what a downloaded folder cannot do."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async import Client, Codes, Credentials, Override, Settings, VendorProfile
from pandapon_async.environment import told
from pandapon_async.errors import ConfigurationError
from pandapon_async.settings.reading import hints_of, structure
from pandapon_async.settings.sources import OTHER_NAMES, Said, environment_names
from tests.support.config_files import ACCOUNT, BY_NAME, bare, users, write

pytestmark = pytest.mark.may_block("configuration is read where it is asked for")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    bare(monkeypatch, tmp_path)
    before = told.set(None)
    yield
    told.reset(before)


def own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCESS_KEY", "ACCESS_SECRET", "USER_ID"):
        monkeypatch.setenv(f"PANDAPON_{name}", f"own-{name.lower()}")


def refused(account: str | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Client.from_config(account) if account else Client.from_env()
    return str(caught.value)


def credentials_of(client: Client) -> Credentials:
    return client._pipeline.credentials


# --- every setting can be said


def test_every_setting_can_be_said_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    said: dict[str, tuple[str, Any]] = {
        "TIMESTAMP_UNIT": ("s", lambda one: one.vendor.timestamp_unit == "s"),
        "CODES__NOT_FOUND": ("404,500", lambda one: one.vendor.codes.not_found == {404, 500}),
        "CODES__REFUSED": ('"429", Busy', lambda one: one.vendor.codes.refused == {"429", "Busy"}),
        "SIGNER": ("md5_lower", lambda one: one.vendor.signer("a", "b", "c", "d").islower()),
        "FREIGHT": ("added", lambda one: one.vendor.freight == "added"),
        "IMAGES__FORMATS": ("jpeg,png", lambda one: one.vendor.images.formats == ("jpeg", "png")),
        "LIST__FIRST_PAGE": ("0", lambda one: one.vendor.list.first_page == 0),
        "GENERATION": ("none", lambda one: one.vendor.generation is None),
        "OVERRIDES__V1_ALIBABA_REFUNDS_GET__ARGUMENTS": (
            "query",
            lambda one: one.vendor.overrides == {"v1.alibaba.refunds.get": Override(arguments="query")},
        ),
        "RATE": ("none", lambda one: one.rate is None),
        "RETRY__ATTEMPTS": ("3", lambda one: one.retry.attempts == 3),
        "ADAPTIVE_RATE__FLOOR": ("0.5", lambda one: one.adaptive_rate.floor == 0.5),
        "TRUST_ENV": ("yes", lambda one: one.trust_env is True),
        "PROXY": ("http://u:p@proxy.example:1", lambda one: one.proxy == "http://u:p@proxy.example:1"),
        "JOURNAL": (":memory:", lambda one: one.journal == ":memory:"),
    }
    for name, (text, _) in said.items():
        monkeypatch.setenv(f"PANDAPON_{name}", text)
    settings = Settings.from_env()
    for name, (_, right) in said.items():
        assert right(settings), name
    monkeypatch.delenv("PANDAPON_ADAPTIVE_RATE__FLOOR")
    monkeypatch.setenv("PANDAPON_ADAPTIVE_RATE", "none")
    assert Settings.from_env().adaptive_rate is None


def test_no_field_is_forgotten() -> None:
    names = environment_names(Settings)
    for kind, prefix in ((Settings, ""), (VendorProfile, ""), (Codes, "CODES__")):
        for field, hint in hints_of(kind).items():
            name = f"PANDAPON_{prefix}{field.upper()}"
            nested = any(one.startswith(f"{name}__") for one in names)
            assert hint is Any or name in names or nested or field in ("vendor", "overrides"), name
    assert not names.keys() & OTHER_NAMES.keys()
    assert {name for name, hint in hints_of(Settings).items() if hint is Any} == {
        "limiter", "observer", "ssl_context", "clock",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("RATE", "fast", "PANDAPON_RATE: 'fast' is not a number such as 20 or 0.5, or none"),
        ("RATE", "0", "PANDAPON_RATE: rate must be a number above 0"),
        ("CONCURRENCY", "2.5", "PANDAPON_CONCURRENCY: '2.5' is not a whole number"),
        ("ALLOW_INFERRED", "maybe", "PANDAPON_ALLOW_INFERRED: 'maybe' is not true or false"),
        ("FREIGHT", "add", "PANDAPON_FREIGHT: 'add' is not one of ask, added, included; did you mean added?"),
        (
            "SIGNER",
            "os.system",
            "PANDAPON_SIGNER: signer 'os.system' is not a built-in rule; known: md5_upper",
        ),
        ("CODES", "5", "PANDAPON_CODES: must be a section with names such as success"),
        ("IMAGES__FORMATS", "heic", "PANDAPON_IMAGES__FORMATS: formats accepts jpeg"),
        ("OVERRIDES__ALIBABA_REFUNDS_GET__PATH", "x", "PATH: an overriding path must begin with one /"),
        ("PROXY", "socks://user:pa55word@x", "PANDAPON_PROXY: proxy must look like"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(
    name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"PANDAPON_{name}", value)
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_env()
    assert message in str(caught.value)
    assert "pa55word" not in str(caught.value)


def test_an_unknown_name_of_the_environment_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for name in ("TIMESTMP_UNIT", "CODES__NOTFOUND", "CLOCK", "PORT", "PORT_80_TCP", "API_SERVICE_HOST"):
        monkeypatch.setenv(f"PANDAPON_{name}", "x")
    Settings.from_env()
    assert "PANDAPON_TIMESTMP_UNIT is not a setting; did you mean PANDAPON_TIMESTAMP_UNIT?" in caplog.text
    assert "PANDAPON_CODES__NOTFOUND is not a setting; did you mean PANDAPON_CODES__NOT_FOUND?" in caplog.text
    assert "PANDAPON_CLOCK is not used: clock can be set in Python only" in caplog.text
    assert "PORT" not in caplog.text
    assert "SERVICE" not in caplog.text


# --- the file


def test_what_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    users(
        '[defaults]\nrate = 1\ntimeout = 11\nconcurrency = 3\n[vendor]\ntimestamp_unit = "s"\n'
        f"{ACCOUNT}rate = 2\n"
    )
    account = Client.from_config("shop-a").settings
    assert (account.rate, account.timeout, account.vendor.timestamp_unit) == (2, 11, "s")
    monkeypatch.setenv("PANDAPON_TIMEOUT", "12")
    monkeypatch.setenv("PANDAPON_RATE", "4")
    account = Client.from_config("shop-a", concurrency=9).settings
    assert (account.rate, account.timeout, account.concurrency) == (4, 12, 9)
    assert Client.from_config("shop-a", rate=None).settings.rate is None
    own(monkeypatch)
    monkeypatch.delenv("PANDAPON_RATE")
    assert Client.from_env().settings.rate == 1


def test_parts_of_a_nested_setting_come_from_where_each_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    users(
        "[vendor]\ncodes.not_found = [404, 500]\ncodes.throttle = [1]\n"
        f"{ACCOUNT}[accounts.shop-a.codes]\nthrottle = [2]\n"
    )
    monkeypatch.setenv("PANDAPON_CODES__AUTHENTICATION", "3")
    codes = Client.from_config("shop-a").settings.vendor.codes
    assert codes == Codes(not_found={404, 500}, throttle={2}, authentication={3})
    whole = Client.from_config("shop-a", codes=Codes(success={0})).settings.vendor.codes
    assert whole == Codes(success={0})


def test_an_account_brings_its_own_key_and_address(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    users(ACCOUNT + BY_NAME)
    own(monkeypatch)
    monkeypatch.setenv("PANDAPON_BASE_URL", "https://another.example")
    monkeypatch.setenv("SHOP_B", "secret-b")
    client = Client.from_config("shop-a")
    assert credentials_of(client) == Credentials("key-a", "secret-a", "21")
    assert client.settings.base_url == "https://api.pandapon.com"
    assert "ignoring PANDAPON_BASE_URL: account shop-a has a base_url of its own" in caplog.text
    assert (
        "ignoring PANDAPON_ACCESS_KEY, PANDAPON_ACCESS_SECRET, PANDAPON_USER_ID: account shop-a"
        in caplog.text
    )
    monkeypatch.setenv("PANDAPON_ACCOUNT", "shop-b")
    assert Credentials.from_env() == Credentials("key-b", "secret-b", "22")
    assert Client.from_env(base_url="https://said.example").settings.base_url == "https://said.example"


def test_a_secret_in_a_file_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    folder = users('[accounts.c]\naccess_key = "k"\naccess_secret_file = "c.secret"\nuser_id = 1\n').parent
    assert "c.secret cannot be read" in refused("c")
    secret = write("s3cret\n", str(folder / "c.secret"))
    assert credentials_of(Client.from_config("c")).access_secret == "s3cret"
    assert "others may read" not in caplog.text
    secret.chmod(0o644)
    Client.from_config("c")
    assert f"other users can read {secret}; run chmod 600 {secret}" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rate = 5", "line 1: put rate below [defaults] or an account"),
        ("[acounts.a]", "line 1: there is no section [acounts]; did you mean accounts?"),
        ('[vendor]\n\ntimestmp_unit = "s"', "line 3: there is no setting timestmp_unit in [vendor]; did"),
        ("[vendor.codes]\nnot_foun = [1]", "line 2, [vendor]: there is no setting not_foun; did you mean"),
        ("[vendor]\ncodes = 5", "line 2, [vendor]: codes: must be a section"),
        ("[vendor]\nrate = 5", "line 2: there is no setting rate in [vendor]"),
        ('[defaults]\nobserver = "x"', "line 2: there is no setting observer in [defaults]"),
        ('[defaults]\naccess_key = "x"', "line 2: there is no setting access_key in [defaults]"),
        ("[defaults]\nconcurrency = 2.5", "line 2, [defaults]: concurrency: 2.5 is not a whole number"),
        ("[defaults]\nallow_plain_http = 1", "line 2, [defaults]: allow_plain_http: 1 is not true or false"),
        ("[defaults]\nbase_url = 5", "line 2, [defaults]: base_url: 5 is not a text"),
        ('[vendor]\nsigner = "os.system"', "line 2, [vendor]: signer 'os.system' is not a built-in rule"),
        ('[vendor.overrides."alibaba.refunds.gt"]\npath = "/x"', "alibaba.refunds.gt is not a call; did"),
        ("[accounts]\na = 5", "line 2: write the account as a section [accounts.a]"),
        ('[accounts.a]\nusr_id = "1"', "line 2: there is no setting usr_id in [accounts.a]; did you mean"),
        ("[vendor]\ntimestamp_unit = s", "is not TOML: see line 2 (put texts,"),
        ("a = 1\nb = \n", "is not TOML: see line 2"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_in_the_file_is_refused_with_its_line(
    text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = users(text)
    own(monkeypatch)
    said = refused()
    assert message in said
    assert "overrides" in text or str(path) in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no account shop-a"),
        (ACCOUNT.replace("shop-a", "shop-aa"), "has no account shop-a; did you mean shop-aa?"),
        (ACCOUNT.replace('user_id = "21"\n', ""), "line 1: account shop-a has no user_id"),
        (
            f'{ACCOUNT}access_secret_env = "X"',
            "account shop-a has access_secret and access_secret_env; keep only one of them",
        ),
        (
            ACCOUNT.replace("access_secret =", "access_secret_env ="),
            "reads its secret from secret-a, which is not set; set it",
        ),
        (
            ACCOUNT.replace('"key-a"', '"key a"'),
            "access_key contains a character that an HTTP header cannot carry",
        ),
    ],
)
def test_an_account_that_cannot_be_used_is_refused(text: str, message: str) -> None:
    users(text)
    assert message in refused("shop-a")


def test_a_file_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    users(ACCOUNT)
    other = write(ACCOUNT.replace("key-a", "key-o"), "other.toml")
    assert credentials_of(Client.from_config("shop-a", other)).access_key == "key-o"
    monkeypatch.setenv("PANDAPON_CONFIG", "other.toml")
    assert credentials_of(Client.from_config("shop-a")).access_key == "key-o"
    monkeypatch.setenv("PANDAPON_CONFIG", "missing.toml")
    assert "the file missing.toml does not exist; check --config and PANDAPON_CONFIG" in refused("shop-a")


# --- a folder that somebody else made


@pytest.mark.parametrize("name", ["base_url", "proxy", "allow_plain_http", "journal"])
def test_a_downloaded_file_does_not_redirect(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = "true" if name.startswith("allow") else '"https://evil.example"'
    path = write(f"[defaults]\n{name} = {value}\n")
    own(monkeypatch)
    assert refused().startswith(f"{path} sets {name} in [defaults], but the credentials do not come from it")
    assert "--config pandapon.toml" in refused()


def test_a_downloaded_file_that_is_harmless_is_not_used_and_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    here = write(
        '[defaults]\nrate = 999\n[vendor.overrides."alibaba.refunds.get"]\npath = "/alibaba/order/cancel"\n'
    )
    users("[defaults]\nrate = 4\n")
    own(monkeypatch)
    settings = Client.from_env().settings
    assert (settings.rate, settings.vendor.overrides) == (4, {})
    assert f"not using {here}, because the credentials do not come from it" in caplog.text


@pytest.mark.parametrize("way", ['access_secret_env = "SHOP_B"', 'access_secret_file = "../secret"'])
def test_a_downloaded_file_does_not_sign_with_the_secret_of_somebody_else(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_B", "users-own")
    write("users-own", "../secret")
    write(f'[accounts.b]\naccess_key = "k"\nuser_id = 1\nbase_url = "https://evil.example"\n{way}\n')
    assert "takes its secret from elsewhere" in refused("b")
    monkeypatch.setenv("PANDAPON_CONFIG", "pandapon.toml")
    assert Client.from_config("b").settings.base_url == "https://evil.example", "a named file is meant"


def test_a_link_does_not_fetch_a_secret_from_elsewhere() -> None:
    write("users-own", "../secret")
    Path("near").symlink_to("../secret")
    write('[accounts.b]\naccess_key = "k"\nuser_id = 1\naccess_secret_file = "near"\n')
    assert "takes its secret from elsewhere" in refused("b")


def test_a_downloaded_account_does_not_take_the_place_of_the_users(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    write(f'{ACCOUNT}base_url = "https://evil.example"\n')
    assert Client.from_config("shop-a").settings.base_url == "https://evil.example", (
        "its own key, its own host"
    )
    assert "using account shop-a of" in caplog.text
    users(ACCOUNT)
    assert "choose one with --config" in refused("shop-a")
    assert "--config" in refused("shop-a")


def test_an_env_file_of_the_folder_does_not_name_another_file(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("SHOP_B", "users-own")
    write(f'{BY_NAME}base_url = "https://evil.example"\n', "evil.toml")
    given = "PANDAPON_ACCESS_KEY=k\nPANDAPON_ACCESS_SECRET=s\nPANDAPON_USER_ID=1\n"
    write(f"{given}PANDAPON_CONFIG=evil.toml\nPANDAPON_ACCOUNT=shop-b\n", ".env")
    assert Client.from_env().settings.base_url == "https://api.pandapon.com"
    assert "not using PANDAPON_ACCOUNT, PANDAPON_CONFIG of" in caplog.text


# --- the rule of what replaces what


paths = st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map(tuple)


@given(st.lists(st.tuples(paths, st.integers())))
def test_what_is_said_last_holds_and_no_field_has_two_values(
    words: list[tuple[tuple[str, ...], int]],
) -> None:
    said = Said()
    for path, value in words:
        said.say(path, value, str(value))
        assert said.leaves[path] == (value, str(value))
    for one in said.leaves:
        for other in said.leaves:
            assert one == other or one[: len(other)] != other, (
                "a field cannot be a value and a section at once"
            )
    if words:
        assert said.place_of(words[-1][0]) == str(words[-1][1])


def test_what_a_file_gives_is_what_python_gives() -> None:
    tree = {
        "vendor": {"codes": {"not_found": [404, "500"]}, "overrides": {"a": {"path": "/x"}}},
        "rate": "none",
    }
    made = structure(tree, Settings)
    assert made.vendor.codes == Codes(not_found={404, "500"}), "a text of a file stays text"
    assert made.vendor.overrides == {"a": Override(path="/x")}
    assert made.rate is None
