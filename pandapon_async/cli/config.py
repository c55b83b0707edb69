"""`pandapon config`: show the settings and their sources, and check every account."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs
import typer

from pandapon_async.cli.output import for_people, print_lines, print_table
from pandapon_async.config_file import ConfigFile, any_file, readable_by_others, users_file
from pandapon_async.core.signing import SIGNERS
from pandapon_async.environment import WORKING_FOLDER
from pandapon_async.errors import ConfigurationError
from pandapon_async.settings import Credentials, Settings
from pandapon_async.settings.sources import CREDENTIAL_NAMES, Said, Sources

__all__ = ["config_app"]

config_app: Final = typer.Typer(help="Show and check the configuration.", pretty_exceptions_enable=False)


@config_app.command()
def show() -> None:
    """Show every setting, its value and its source; secrets and passwords are masked.

    Exit codes: 0, or 2 if a setting cannot be used.
    """
    sources = Sources.find(WORKING_FOLDER)
    said = sources.said(Settings, {})
    settings = said.make(Settings)
    rows = [*_of_credentials(sources), *_of_settings(settings, said)]
    if for_people():
        print_table(("setting", "value", "from"), rows)
    else:
        print_lines(rows)


def _of_credentials(sources: Sources) -> Iterator[dict[str, Any]]:
    """Return the credentials as far as they are set."""
    yield {"setting": "account", "value": sources.account or "", "from": ""}
    found = sources.credentials()
    for name in CREDENTIAL_NAMES:
        value, place = found.get(name, (None, "not set"))
        shown = "" if value is None else str(value)
        if name != "user_id" and shown:
            shown = f"{shown[:4]}..." if name == "access_key" and len(shown) > 12 else "..."
        yield {"setting": name, "value": shown, "from": place}


def _of_settings(options: Any, said: Said, path: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    """Return every field that is not an object itself, by its path."""
    for field in attrs.fields(type(options)):
        if not field.init:
            continue
        value, here = getattr(options, field.name), (*path, field.name)
        if field.metadata.get("python_only"):
            continue
        if attrs.has(type(value)) and not callable(value):
            yield from _of_settings(value, said, here)
        elif isinstance(value, Mapping) and value:
            for name, one in value.items():
                yield from _of_settings(one, said, (*here, name))
        else:
            yield {"setting": ".".join(here), "value": _shown(value), "from": said.place_of(here)}


def _shown(value: Any) -> Any:
    """Convert a value for JSON; the password of a url is masked, a rule is its name."""
    if callable(value):
        return next((name for name, signer in SIGNERS.items() if signer is value), "a function")
    if isinstance(value, frozenset | set | tuple):
        return sorted(value, key=str) if not isinstance(value, tuple) else list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return re.sub(r"//[^/@]*@", "//...@", str(value))


@config_app.command()
def check() -> None:
    """Check every account of the configuration file: its values, and who can read its secret.

    Exit codes: 0 all can be used, 1 some cannot or share a key and user, 2 no readable file.
    """
    file = any_file()
    if file is None:
        raise ConfigurationError(
            f"there is no pandapon.toml in this folder and no {users_file()}; name a file with --config FILE"
        )
    Sources({}, file, None).said(Settings, {}).make(Settings)
    rows = [*_of_shops(file), *_of_accounts(file)]
    if readable_by_others(file.path) and any("access_secret" in entry for entry in file.accounts.values()):
        found = f"other users can read {file.path}, which contains a secret"
        rows.insert(0, _row("file", "warning", found, f"chmod 600 {file.path}"))
    if for_people():
        print_table(("check", "state", "found", "what to do"), rows)
    else:
        print_lines(rows)
    raise typer.Exit(1 if any(row["state"] == "bad" for row in rows) else 0)


def _row(check: str, state: str, found: str, advice: str = "") -> dict[str, str]:
    return {"check": check, "state": state, "found": found, "what to do": advice}


def _of_accounts(file: ConfigFile) -> Iterator[dict[str, str]]:
    seen: dict[tuple[str, str], str] = {}
    keys: dict[str, str] = {}
    for name in file.accounts:
        sources = Sources({}, file, name)
        try:
            credentials = Credentials.of(sources)
            settings = Settings.of(sources)
        except ConfigurationError as error:
            yield _row(name, "bad", str(error), "correct the file")
            continue
        first = seen.setdefault((credentials.access_key, credentials.user_id), name)
        other = keys.setdefault(credentials.access_key, name)
        found = f"user {credentials.user_id} at {settings.base_url}"
        if first != name:
            yield _row(
                name, "bad", f"{found}; it has the key and user of {first}", "keep only one of the two"
            )
        elif other != name:
            shared = "shares the quota of" if settings.vendor.quota_scope == "key" else "has the key of"
            yield _row(name, "ok", f"{found}; {shared} {other}")
        else:
            yield _row(name, "ok", found)


def _of_shops(file: ConfigFile) -> Iterator[dict[str, str]]:
    for shop, account in file.section("shops").items():
        if account not in file.accounts:
            place = file.place("shops", shop)
            yield _row(f"shop {shop}", "bad", f"{place}: there is no account {account}", "correct the file")
