"""The proof images in a table: where they are, and whether the vendor accepts them.

A table decides which files are uploaded, and tables come from other people. So its images must be in the
folder that the user chose for them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import attrs

from pandapon_async.bulk.vouchers import note_of, picture_rule
from pandapon_async.images import image_format
from pandapon_async.plans.plan_types import SEPARATORS
from pandapon_async.settings import ImageLimits
from pandapon_async.tables.cells import Refused

__all__ = ["Pictures", "PlannedPicture"]

REMEMBERED = 10_000


@attrs.frozen
class PlannedPicture:
    """An image to upload: its full path, the SHA-256 of its bytes, and its size."""

    path: str
    digest: str
    size: int
    note: str | None = attrs.field(default=None, kw_only=True)
    """A note about its format, if any."""


class Pictures:
    """Checks the images of a table; an image in many rows is read once."""

    def __init__(self, folder: Path, limits: ImageLimits | None = None) -> None:
        self._folder = folder.resolve()
        self._limits = limits or ImageLimits()
        self._rule = picture_rule(self._limits)
        self._seen: dict[Path, PlannedPicture | str] = {}

    def of_cell(self, cell: str) -> list[PlannedPicture]:
        """Return the images in a cell, in order. Raises Refused for one that cannot be uploaded."""
        parts = [cell] if self._is_one(cell) else SEPARATORS.split(cell)
        names = [part.strip() for part in parts if part.strip()]
        found = []
        for number, name in enumerate(names, start=1):
            picture = self._look(name)
            if isinstance(picture, str):
                raise Refused(f"image {number} of {len(names)}: {picture}" if len(names) > 1 else picture)
            found.append(picture)
        return found

    def _is_one(self, cell: str) -> bool:
        """Whether the whole cell, including commas, is the name of a file."""
        try:
            return self._path(cell).is_file()
        except (OSError, ValueError):
            return False

    def _path(self, name: str) -> Path:
        path = self._folder / name
        if "\\" in name and not path.exists():  # written on Windows
            path = self._folder / name.replace("\\", "/")
        return path.resolve()

    def _look(self, name: str) -> PlannedPicture | str:
        """Return the image, or why it cannot be used. The reason does not quote the name."""
        try:
            path = self._path(name)
            if not path.is_relative_to(self._folder):
                return "is outside the images folder; choose another folder with --images"
            if not path.is_file():
                return "does not exist in the images folder"
        except (OSError, ValueError):
            return "is not the path of a file"
        if path not in self._seen:
            while len(self._seen) >= REMEMBERED:
                del self._seen[next(iter(self._seen))]
            self._seen[path] = self._check(path)
        return self._seen[path]

    def _check(self, path: Path) -> PlannedPicture | str:
        try:
            data = self._rule.open(path).read()
        except ValueError as error:
            return str(error)
        except OSError as error:
            return f"cannot be read ({error.strerror or type(error).__name__})"
        note = note_of(image_format(data[:16]), self._limits)
        return PlannedPicture(str(path), hashlib.sha256(data).hexdigest(), len(data), note=note)
