"""The kind of a file by its first bytes, and the advice for a file that is not a table.

Portals name HTML files .xls and pack CSV into zips; programs save formats that only they can read. Each of
these gets a message with its real kind and how to save it.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import IO, Protocol

from pandapon_async.errors import InvalidArgumentError

__all__ = ["kind_of", "refusal_of", "unpacked"]

LARGEST_UNPACKED = 2 << 30
"""Bytes that a .gz or .zip may become in the temporary folder."""
HEAD = 1 << 16
_RESAVE = "open it in Excel, WPS or LibreOffice and save it as .xlsx or as CSV in UTF-8"
_OLE = b"\xd0\xcf\x11\xe0"
_PASSWORD = "EncryptedPackage".encode("utf-16-le")
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"ARROW1", "a Feather (Arrow) file", "save it as Parquet or CSV"),
    (b"FEA1", "a Feather file", "save it as Parquet or CSV"),
    (b"ORC", "an ORC file", "save it as Parquet or CSV"),
    (b"Obj\x01", "an Avro file", "save it as Parquet or CSV"),
    (b"ORC", "an ORC file", "save it as Parquet or CSV"),
    (b"PARE", "an encrypted Parquet file", "save it as Parquet without encryption, or as CSV"),
    (b"SQLite format 3\0", "a SQLite database", "save the table as CSV"),
    (b"%PDF", "a PDF", "export the table as .xlsx or CSV"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it first"),
    (b"BZh", "packed with bzip2", "unpack it first"),
    (b"\xfd7zXZ", "packed with xz", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", "unpack it first"),
    (b"\x89PNG", "a picture (PNG)", "export the table as .xlsx or CSV"),
    (b"\xff\xd8\xff", "a picture (JPEG)", "export the table as .xlsx or CSV"),
    (b"\x09\x08", "an old .xls workbook", _RESAVE),
    (b"\x09\x04", "an old .xls workbook", _RESAVE),
    (b"\x09\x02", "an old .xls workbook", _RESAVE),
)
_TAR = slice(257, 262), b"ustar"
_CLUTTER = re.compile(r"(?:^|/)(?:__MACOSX/|\.DS_Store$|Thumbs\.db$|desktop\.ini$)", re.IGNORECASE)
"""Files that systems put into archives."""
_MARKUP: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(form, re.IGNORECASE), name)
    for form, name in (
        (
            r"mime-version:|content-type:\s*multipart",
            "a web archive (MHTML) with the name of a workbook",
        ),
        (
            r"(<\?xml[^>]*>\s*)?(<\?mso[^>]*>\s*)?<([a-z]+:)?workbook\b[^>]*office:spreadsheet",
            "a workbook in XML (2003)",
        ),
        (r"(<\?xml[^>]*>\s*)?<\?mso-application", "a workbook in XML (2003)"),
        (r"(<\?xml[^>]*>\s*)?<office:document", "a workbook of LibreOffice in XML (.fods)"),
        (
            r"<(!doctype html|html|head|meta|table|body|style|div)\b",
            "a web page (HTML) with the name of a workbook",
        ),
        (r"<\?xml|<[a-z]+[ >]", "XML, not a table"),
        (r"[\[{]\s*(\"|\{|\[)", "JSON, not a table"),
    )
)
_ZIP_PARTS: tuple[tuple[str, str], ...] = (
    ("xl/workbook.bin", "a binary workbook (.xlsb)"),
    ("content.xml", "a workbook of LibreOffice (.ods)"),
    ("index/document.iwa", "a workbook of Numbers"),
    ("word/document.xml", "a Word document"),
    ("ppt/presentation.xml", "a presentation"),
)


_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def kind_of(path: Path) -> str:
    """Return `parquet`, `zip`, `gzip`, `csv`, or `other` for an unreadable kind, by the first bytes."""
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    return "other" if refusal_of(path, path.name) else "csv"


def refusal_of(path: Path, name: str) -> InvalidArgumentError | None:
    """Return the message for a file that is not a table; None if it may be CSV."""
    with path.open("rb") as file:
        head = file.read(HEAD)
        if head.startswith(_OLE):
            protected = _holds(file, head, _PASSWORD)
            what = "a workbook with a password" if protected else "an old .xls workbook"
            return InvalidArgumentError(
                f"{name} is {what}: {_RESAVE}{', without the password' if protected else ''}"
            )
    for magic, what, todo in _MAGIC:
        if head.startswith(magic):
            return InvalidArgumentError(f"{name} is {what}: {todo}")
    if head[_TAR[0]] == _TAR[1]:
        return InvalidArgumentError(f"{name} is a tar archive: unpack it first")
    if not head:
        return InvalidArgumentError(f"{name} is empty")
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    text = head[: HEAD // 8].decode(encoding, "replace").lstrip()
    text = re.sub(r"\A(?:<!--.*?-->\s*)+", "", text, flags=re.DOTALL)
    for form, what in _MARKUP:
        if form.match(text):
            return InvalidArgumentError(f"{name} is {what}: {_RESAVE}")
    return None


def _holds(file: IO[bytes], head: bytes, wanted: bytes) -> bool:
    """Whether a file contains a word, read piece by piece."""
    before = b""
    while head:
        if wanted in before + head:
            return True
        before, head = head[-len(wanted) :], file.read(1 << 20)
    return False


def refuse_zip(archive: zipfile.ZipFile, name: str) -> None:
    """Refuse other documents that are zips."""
    parts = {part.lower().replace("\\", "/") for part in archive.namelist()}
    for part, what in _ZIP_PARTS:
        if part in parts:
            raise InvalidArgumentError(f"{name} is {what}: {_RESAVE}")


def unpacked(path: Path, kind: str) -> tuple[Path, str] | None:
    """Unpack the one table of a .gz or .zip to a temporary file; None for a zip that is a workbook."""
    if kind == "gzip":
        with gzip.open(path, "rb") as stream:
            return _copied(stream, path.name), path.name.removesuffix(".gz")
    try:
        with zipfile.ZipFile(path) as archive:
            names = {part.lower().replace("\\", "/").lstrip("./") for part in archive.namelist()}
            if "[content_types].xml" in names or any(
                part.endswith(("workbook.xml", "workbook.xml.rels")) for part in names
            ):
                refuse_zip(archive, path.name)
                return None
            refuse_zip(archive, path.name)
            files = [
                info
                for info in archive.infolist()
                if not info.is_dir() and not _CLUTTER.search(info.filename)
            ]
            if not files:
                raise InvalidArgumentError(f"{path.name} is an empty archive")
            if len(files) != 1:
                listed = ", ".join(_name_of(info) for info in files[:10])
                raise InvalidArgumentError(
                    f"{path.name} has {len(files)} files ({listed}); unpack it and choose one"
                )
            if files[0].flag_bits & 1:
                raise InvalidArgumentError(f"{path.name} has a password; unpack it first")
            if files[0].compress_type not in _METHODS:
                raise InvalidArgumentError(f"{path.name} is packed in an unusual way; unpack it first")
            with archive.open(files[0]) as stream:
                return _copied(stream, path.name), f"{path.name}/{_name_of(files[0])}"
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, LookupError) as error:
        if isinstance(error, InvalidArgumentError):
            raise
        raise InvalidArgumentError(f"{path.name} is a damaged archive; download it again") from None


def _name_of(info: zipfile.ZipInfo) -> str:
    """Decode a file name in a zip; without a stated encoding, Chinese programs use GBK."""
    name = info.filename
    if not info.flag_bits & 0x800 and not name.isascii():
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("gb18030")
    return name.rpartition("/")[2]


def _copied(stream: _Readable, name: str) -> Path:
    """Copy a stream to a temporary file, up to the limit."""
    handle, temporary = tempfile.mkstemp(prefix="pandapon-table-")
    size = 0
    try:
        with os.fdopen(handle, "wb") as file:
            while block := stream.read(1 << 20):
                size += len(block)
                if size > LARGEST_UNPACKED:
                    raise InvalidArgumentError(
                        f"{name} exceeds the limit of {LARGEST_UNPACKED >> 30} GB unpacked; split it"
                    )
                file.write(block)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, gzip.BadGzipFile | zlib.error | EOFError):
            raise InvalidArgumentError(f"{name} is a damaged archive; download it again") from None
        raise
    return Path(temporary)
