"""Settings and credentials: what cannot work is refused when they are made, and no secret shows."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import attrs
import pytest

from pandapon_async.client import Client
from pandapon_async.core.rate import SlidingWindow
from pandapon_async.errors import ConfigurationError
from pandapon_async.settings import (
    Credentials,
    ImageLimits,
    ListFacts,
    Override,
    Settings,
    VendorProfile,
    is_loopback,
)

SECRET = "canary-secret-value"
KEY = "58c0201dfdf148eca63cbf6bb5e7cf03"


def test_neither_secret_nor_whole_key_is_in_a_repr() -> None:
    credentials = Credentials(KEY, SECRET, "2100007341207")
    text = f"{credentials!r} {credentials} {[credentials]!r} {Settings(proxy=f'http://u:{SECRET}@proxy')!r}"
    assert SECRET not in text
    assert KEY not in text
    assert "2100007341207" in text
    assert "58c0" in repr(credentials), "enough of the key to tell two accounts apart"
    assert "abc" not in repr(Credentials("abcdef", SECRET, 1))


def test_credentials_are_frozen_values_that_can_be_copied() -> None:
    credentials = Credentials(KEY, SECRET, 2100007341207)
    assert credentials.user_id == "2100007341207"
    assert pickle.loads(pickle.dumps(credentials)) == copy.copy(credentials) == credentials
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        credentials.access_secret = "x"  # type: ignore[misc]


@pytest.mark.parametrize("field", ["access_key", "access_secret", "user_id"])
@pytest.mark.parametrize(
    "value", ["", " ", "a b", "a\n", "a\r\nx: y", "\ta", "a\x00", "a\x7f", "密钥", "é", None, 1.5, True, b"a"]
)
def test_what_no_header_can_carry_is_refused_and_not_repeated(field: str, value: Any) -> None:
    good: dict[str, Any] = {"access_key": KEY, "access_secret": SECRET, "user_id": "1"}
    with pytest.raises(ConfigurationError, match=field) as caught:
        Credentials(**{**good, field: value})
    assert SECRET not in str(caught.value)
    assert not isinstance(value, str) or len(value) < 3 or value not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://api.pandapon.com", "https://api.pandapon.com"),
        ("https://api.pandapon.com/", "https://api.pandapon.com"),
        ("https://www.xportcn.com:8443/open/", "https://www.xportcn.com:8443/open"),
        ("HTTPS://api.pandapon.com", "HTTPS://api.pandapon.com"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_base_urls_that_work(url: str, kept: str) -> None:
    assert Settings(base_url=url).base_url == kept


@pytest.mark.parametrize(
    "url",
    [
        "", "api.pandapon.com", "ftp://api.pandapon.com", "https://", "https:///x", "//api.pandapon.com",
        "https://api.pandapon.com?a=1", "https://api.pandapon.com/?", "https://api.pandapon.com/#",
        "https://user:secret@api.pandapon.com", "https://@api.pandapon.com", "https://:@api.pandapon.com",
        "https://api.pandapon.com\n", "https://api.pandapon.com ", "https://api.panda\tpon.com",
        "https://api.pandapon.com\\@evil.example", "https://[api", "https://api.pandapon.com:99999",
        "https://api.pandapon.com:x", "https://ａpi.pandapon.com", None, 1, b"https://api.pandapon.com",
        "https://api.pandapon.com/a/../b", "https://api.pandapon.com/.", "https://api.pandapon.com/%2e%2e/a",
        "https://api.pandapon.com/a%2f..%2fb", "https://api.pandapon.com/%252e%252e/a", "https://api.pandapon.com//a",
        "https://api.pandapon.com/[a]", "https://api[1].pandapon.com", "https://[::1", "https://[1.2.3.4]",
        "https://[::1]x:80", "https://api.pandapon.com/%", "https://api.pandapon.com/%zz", "https://a..b",
        "https://api.pandapon.com:", "https://-a", "https://api.pandapon.com/{a}", "https://%61pi.pandapon.com",
    ],
)  # fmt: skip
def test_base_urls_that_do_not(url: Any) -> None:
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        Settings(base_url=url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.pandapon.com", "http://localhost.evil.example", "http://127.0.0.1.evil.example",
        "http://0.0.0.0", "http://10.0.0.1", "http://[::]", "http://evil.example/localhost", "http://1270.0.1",
    ],
)  # fmt: skip
def test_plain_http_is_refused_except_towards_this_machine_or_on_purpose(url: str) -> None:
    assert not is_loopback(url)
    with pytest.raises(ConfigurationError, match="plain http"):
        Settings(base_url=url)
    assert Settings(base_url=url, allow_plain_http=True).base_url == url


NUMBERS = ["timeout", "connect_timeout", "settle_after", "concurrency", "max_response_bytes", "rate"]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
    "value", [0, -1, float("nan"), float("inf"), 5e-324, 1e300, True, "10", [1], b"1"], ids=repr
)
def test_numbers_that_cannot_work(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Settings(**{name: value})


@pytest.mark.parametrize("name", NUMBERS)
def test_only_the_rate_may_be_none_and_counts_are_whole(name: str) -> None:
    if name == "rate":
        assert Settings(rate=None).rate is None
        assert Settings(rate=0.5).rate == 0.5
        return
    nothing: dict[str, Any] = {name: None}
    with pytest.raises(ConfigurationError, match=name):
        Settings(**nothing)
    fraction: dict[str, Any] = {name: 2.5}
    if name in ("concurrency", "max_response_bytes"):
        with pytest.raises(ConfigurationError, match=name):
            Settings(**fraction)
    else:
        assert getattr(Settings(**fraction), name) == 2.5


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf"), 5e-324])
def test_a_pace_that_cannot_be_kept_is_refused(rate: float) -> None:
    with pytest.raises(ConfigurationError, match="rate"):
        SlidingWindow(rate)


@pytest.mark.parametrize(
    "wrong",
    [
        {"signer": None}, {"signer": 5}, {"vendor": "pandapon"}, {"generation": "v3"}, {"freight": True},
        {"quota_scope": "host"},
        {"timestamp_unit": "us"}, {"timestamp_unit": None}, {"retry": 3}, {"codes": {404}},
        {"allow_plain_http": "no"}, {"allow_repeat": 1}, {"allow_inferred": "false"}, {"overrides": None},
        {"overrides": {"v1.alibaba.refunds.get": "/x"}},
    ],
    ids=repr,
)  # fmt: skip
def test_settings_of_the_wrong_kind(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Settings(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": "x"}, {"path": ""}, {"path": "//evil.example/x"}, {"path": "/a b"}, {"path": "/a?b=1"},
        {"path": "/a#b"}, {"path": "/a/../b"}, {"path": "/a\n"}, {"path": "/退"}, {"arguments": "header"},
    ],
    ids=repr,
)  # fmt: skip
def test_overrides_that_cannot_work(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"path|arguments"):
        Override(**wrong)


def test_overrides_that_can() -> None:
    assert Override("/v3/x/{refundId}", "query") == Override(path="/v3/x/{refundId}", arguments="query")
    assert Override() == Override(None, None)


def test_a_field_of_the_vendors_profile_may_be_said_like_a_setting() -> None:
    profile = VendorProfile(timestamp_unit="s", freight="added")
    said: dict[str, Any] = {"timestamp_unit": "s", "freight": "added"}
    assert Settings(**said).vendor == Settings.from_env(None, **said).vendor == profile
    other: dict[str, Any] = {"freight": "included"}
    assert Settings(vendor=profile, **other).vendor == attrs.evolve(profile, freight="included")
    changed = attrs.evolve(Settings(vendor=profile, timeout=5), **other)
    assert changed.vendor == attrs.evolve(profile, freight="included")
    assert changed.timeout == 5
    with pytest.raises(ConfigurationError, match="did you mean timestamp_unit"):
        Settings(timestamp_units="s")  # type: ignore[call-arg]


def test_built_in_signers_have_names() -> None:
    text = ("key", "1715669977082", "n" * 32, "secret")
    assert VendorProfile(signer="md5_upper").signer(*text) == "F434C173D787AA8B3DE6DCF8D3EDC48B"
    assert VendorProfile(signer="md5_lower").signer(*text) == "f434c173d787aa8b3de6dcf8d3edc48b"
    with pytest.raises(ConfigurationError, match="did you mean md5_upper"):
        Override(signer="md5_uper")


@pytest.mark.parametrize(
    "wrong",
    [
        {"formats": ("heic",)},
        {"formats": "jpeg"},
        {"noted": ["tiff"]},
        {"largest_bytes": 0},
        {"largest_bytes": 1.5},
    ],
    ids=repr,
)
def test_image_limits_that_cannot_work(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        ImageLimits(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"first_page": 2}, {"unit": "us"}, {"time": "paid"}, {"largest_page": 0}, {"items": 5}],
    ids=repr,
)
def test_facts_of_lists_that_cannot_work(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        ListFacts(**wrong)


def test_settings_are_frozen_and_changed_by_copy(tmp_path: Path) -> None:
    settings = Settings(timeout=5)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        settings.timeout = 6  # type: ignore[misc]
    assert attrs.evolve(settings, timeout=6).timeout == 6
    with pytest.raises(ConfigurationError, match="timeout"):
        attrs.evolve(settings, timeout=0)


def test_the_defaults_are_the_documented_ones() -> None:
    settings = Settings()
    assert settings.base_url == "https://api.pandapon.com"
    assert settings.vendor.timestamp_unit == "ms"
    assert settings.vendor.codes.success == {200}
    assert settings.vendor.codes.not_found == {404}
    assert {settings.allow_plain_http, settings.allow_repeat, settings.vendor.allow_inferred} == {False}


def test_an_override_that_names_no_call_is_refused() -> None:
    overrides = {"v1.alibaba.refund.get": Override(arguments="query")}
    settings = Settings(vendor=VendorProfile(overrides=overrides))
    with pytest.raises(ConfigurationError, match=r"did you mean v1\.alibaba\.refunds\.get"):
        Client(Credentials("key", "secret", "1"), settings)


@pytest.mark.parametrize(
    "url", ["https://api.pandapon.com/a/../b", "https://api.pandapon.com/%zz", "ftp://a"]
)
def test_a_base_url_that_is_refused_is_named(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings(base_url=url)
    assert repr(url) in str(caught.value)


@pytest.mark.parametrize(
    "proxy",
    ["", " ", "none", "proxy.example:3128", "socks5://proxy:1080", "http://", "http://proxy:0", "http://proxy:x",
     "http://proxy/path", "http://proxy?a", "http://pro xy", "http://proxy\r\nX: y", "//proxy", False, 3128, b"http://p"],
)  # fmt: skip
def test_a_proxy_that_is_none_never_means_to_go_straight(proxy: Any) -> None:
    with pytest.raises(ConfigurationError, match="proxy"):
        Settings(proxy=proxy)


def test_a_proxys_password_is_not_told() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings(proxy=f"http://user:{SECRET}@proxy/path")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "proxy", ["http://proxy:3128", "https://u:p@proxy.example", "http://[::1]:3128/", None]
)
def test_proxies_that_work(proxy: str | None) -> None:
    assert Settings(proxy=proxy).proxy_in_use == proxy


def test_the_environments_proxy_holds_only_if_that_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "internal.example")
    assert Settings().proxy_in_use is None
    assert Settings(trust_env=True).proxy_in_use == "http://proxy.example:3128"
    assert Settings(trust_env=True, proxy="http://other:1").proxy_in_use == "http://other:1"
    assert Settings(trust_env=True, base_url="https://internal.example").proxy_in_use is None
    assert Settings(trust_env=True, base_url="http://127.0.0.1:1").proxy_in_use is None
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.example:1080")
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY 'socks5"):
        Settings(trust_env=True)


@pytest.mark.parametrize(
    "journal", ["postgresql://u:word@db.example/x", Path("postgres://u:word@db.example/x")]
)
def test_a_journal_is_not_at_the_address_of_a_database(journal: str | Path) -> None:
    with pytest.raises(ConfigurationError, match="journal must be a file") as caught:
        Settings(journal=journal)
    assert "word" not in str(caught.value)
