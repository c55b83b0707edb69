"""Configuration files of a made-up user, who works in an empty folder with an empty environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

__all__ = ["ACCOUNT", "BY_NAME", "bare", "users", "write"]

ACCOUNT = '[accounts.shop-a]\naccess_key = "key-a"\naccess_secret = "secret-a"\nuser_id = "21"\n'
BY_NAME = '[accounts.shop-b]\naccess_key = "key-b"\naccess_secret_env = "SHOP_B"\nuser_id = 22\n'


def bare(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """No variable of ours, a home without configuration, and an empty folder to work in."""
    for name in [name for name in os.environ if name.startswith("PANDAPON_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "home"))
    (folder / "work").mkdir()
    monkeypatch.chdir(folder / "work")


def write(text: str, name: str = "pandapon.toml") -> Path:
    """A file that only its owner may read."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path.absolute()


def users(text: str) -> Path:
    """The user's own configuration."""
    return write(text, f"{os.environ['XDG_CONFIG_HOME']}/pandapon-async/pandapon.toml")
