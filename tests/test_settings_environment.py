"""Settings from the environment and a .env file: what wins, and what is said of junk."""

from __future__ import annotations

from pathlib import Path

import pytest

from pandapon_async.errors import ConfigurationError
from pandapon_async.settings import Credentials, Settings

NAMES = (
    "PANDAPON_ACCESS_KEY",
    "PANDAPON_ACCESS_SECRET",
    "PANDAPON_USER_ID",
    "PANDAPON_BASE_URL",
    "PANDAPON_RATE",
)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*NAMES, "PANDAPON_JOURNAL", "PANDAPON_ENV_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def write(text: str | bytes, name: str = ".env") -> None:
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())


COMPLETE = "PANDAPON_ACCESS_KEY=key\nPANDAPON_ACCESS_SECRET='se$cret${HOME}#x'\nPANDAPON_USER_ID=7\n"


def test_a_dotenv_file_in_the_current_directory_is_read_to_the_letter() -> None:
    write(f"# comment\n\n{COMPLETE}export PANDAPON_RATE=2.5\n")
    assert Credentials.from_env() == Credentials("key", "se$cret${HOME}#x", "7")
    assert Settings.from_env().rate == 2.5


def test_nothing_is_filled_into_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER", "filled in")
    write('PANDAPON_ACCESS_KEY=key\nPANDAPON_ACCESS_SECRET="a${OTHER}b"\nPANDAPON_USER_ID=7\n')
    assert Credentials.from_env().access_secret == "a${OTHER}b"


def test_a_byte_order_mark_hides_no_name() -> None:
    write(b"\xef\xbb\xbf" + COMPLETE.encode() + b"\r\n")
    assert Credentials.from_env().access_key == "key"


def test_the_environment_wins_over_the_file_and_arguments_over_both(monkeypatch: pytest.MonkeyPatch) -> None:
    write(f"{COMPLETE}PANDAPON_RATE=1\nPANDAPON_BASE_URL=https://file.example\nPANDAPON_JOURNAL=file.db")
    monkeypatch.setenv("PANDAPON_RATE", "2")
    settings = Settings.from_env()
    assert (settings.rate, settings.base_url, settings.journal) == (2, "https://file.example", "file.db")
    settings = Settings.from_env(rate=3, base_url="https://argument.example", journal=":memory:")
    assert (settings.rate, settings.base_url, settings.journal) == (3, "https://argument.example", ":memory:")
    assert Settings.from_env(None).base_url == "https://api.pandapon.com"


def test_another_file_can_be_named_and_one_that_is_missing_is_as_if_empty() -> None:
    write(COMPLETE, "other.env")
    assert Credentials.from_env("other.env").access_key == "key"
    assert Credentials.from_env(Path("other.env")).access_key == "key"
    for nowhere in (None, ".env", "missing.env", "."):
        with pytest.raises(
            ConfigurationError, match="PANDAPON_ACCESS_KEY, PANDAPON_ACCESS_SECRET, PANDAPON_USER_ID"
        ):
            Credentials.from_env(nowhere)


def test_what_is_missing_or_empty_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    write(COMPLETE)
    monkeypatch.setenv("PANDAPON_USER_ID", "")
    with pytest.raises(ConfigurationError, match=r"^set PANDAPON_USER_ID in") as caught:
        Credentials.from_env()
    assert "se$cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "rate"), [("5", 5.0), ("0.5", 0.5), (" 5 ", 5.0), ("none", None), ("None", None), ("", 10.0)]
)
def test_rates(text: str, rate: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANDAPON_RATE", text)
    assert Settings.from_env().rate == rate


@pytest.mark.parametrize("text", ["fast", "0", "-1", "nan", "inf", "1,5", "10/s", "0x10", "1_0", "１０"])
def test_a_junk_rate_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANDAPON_RATE", text)
    with pytest.raises(ConfigurationError, match=r"PANDAPON_RATE|rate"):
        Settings.from_env()


@pytest.mark.parametrize("content", ["PANDAPON_ACCESS_SECRET=密".encode("gbk"), b"\xff\xfeP\x00A\x00"])
def test_a_file_that_is_no_utf_8_text_is_a_clear_error_without_its_content(content: bytes) -> None:
    write(content)
    with pytest.raises(ConfigurationError, match="UTF-8") as caught:
        Credentials.from_env()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None, "the decoder's own error carries the whole file along"
