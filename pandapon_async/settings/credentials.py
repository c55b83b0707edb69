"""Who calls: the key pair of the vendor's console and the sub-account."""

from __future__ import annotations

import os
from typing import Self

import attrs

from pandapon_async.core.options import Options, clean_frames
from pandapon_async.environment import WORKING_FOLDER, environment
from pandapon_async.errors import ConfigurationError
from pandapon_async.settings.checks import header_text

__all__ = ["Credentials"]


def _id_text(value: int | str) -> str:
    # The validator refuses the rest.
    return str(value) if type(value) is int else value  # type: ignore[return-value]


def _beginning(key: str) -> str:
    """Enough of a key to tell two accounts apart in a log."""
    return f"'{key[:4]}...'" if len(key) > 12 else "'...'"


@attrs.define(frozen=True)
class Credentials(Options):
    """The key pair of the console and the sub-account (`user_id`) that calls are made for."""

    access_key: str = attrs.field(validator=header_text, repr=_beginning)
    access_secret: str = attrs.field(validator=header_text, repr=False)
    user_id: str = attrs.field(validator=header_text, converter=_id_text)

    @classmethod
    @clean_frames
    def from_env(cls, env_file: str | os.PathLike[str] | None = WORKING_FOLDER) -> Self:
        """From PANDAPON_ACCESS_KEY, PANDAPON_ACCESS_SECRET and PANDAPON_USER_ID."""
        values = environment(env_file)
        names = {field.name: f"PANDAPON_{field.name.upper()}" for field in attrs.fields(cls)}
        missing = [name for name in names.values() if not values.get(name)]
        if missing:
            raise ConfigurationError(f"set {', '.join(missing)} in the environment or in a .env file")
        return cls(**{field: values[name] for field, name in names.items()})
