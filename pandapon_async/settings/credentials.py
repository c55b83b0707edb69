"""Credentials: the key pair from the vendor's console and the sub-account."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

import attrs

from pandapon_async.core.options import Options, clean_frames
from pandapon_async.environment import PREFIX, WORKING_FOLDER
from pandapon_async.errors import ConfigurationError
from pandapon_async.settings.checks import header_text

if TYPE_CHECKING:
    from pandapon_async.settings.sources import Sources

__all__ = ["Credentials"]


def _id_text(value: int | str) -> str:
    # The validator refuses everything else.
    return str(value) if type(value) is int else value  # type: ignore[return-value]


def _beginning(key: str) -> str:
    """Enough of a key to tell two accounts apart in a log."""
    return f"'{key[:4]}...'" if len(key) > 12 else "'...'"


@attrs.define(frozen=True)
class Credentials(Options):
    """The key pair from the vendor's console and the sub-account (`user_id`) that makes the calls."""

    access_key: str = attrs.field(validator=header_text, repr=_beginning)
    """The access key from the vendor's console."""
    access_secret: str = attrs.field(validator=header_text, repr=False)
    """The secret of the access key. Never shown."""
    user_id: str = attrs.field(validator=header_text, converter=_id_text)
    """The sub-account that makes the calls."""

    @classmethod
    @clean_frames
    def from_env(cls, env_file: str | os.PathLike[str] | None = WORKING_FOLDER) -> Self:
        """Read credentials from the environment or from the account that PANDAPON_ACCOUNT names."""
        from pandapon_async.settings.sources import Sources

        return cls.of(Sources.find(env_file))

    @classmethod
    @clean_frames
    def of(cls, sources: Sources) -> Self:
        """The named account's credentials, otherwise those of the environment."""
        found = sources.credentials()
        missing = [field.name for field in attrs.fields(cls) if field.name not in found]
        if missing and sources.account is not None and sources.file is not None:
            place = sources.file.place("accounts", sources.account)
            raise ConfigurationError(f"{place}: account {sources.account} has no {', '.join(missing)}")
        if missing:
            names = ", ".join(f"{PREFIX}{name.upper()}" for name in missing)
            raise ConfigurationError(
                f"set {names} in the environment or in a .env file, or name an account with --account; "
                "without an account, try it on a sandbox: pandapon sandbox >> .env &"
            )
        given = {name: value for name, (value, _) in found.items()}
        if sources.account is None or sources.file is None:
            return cls(**given)
        try:
            return cls(**given)
        except ConfigurationError as error:
            problem = str(error)
        place = sources.file.place("accounts", sources.account)
        raise ConfigurationError(f"{place}: account {sources.account}: {problem}")
