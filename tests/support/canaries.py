"""Canaries: what must not be seen, in which forms it is looked for, and what a search has found."""

from __future__ import annotations

import base64
import html
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import attrs
from pyarrow import parquet

from tests.support.clients import KEY, SECRET
from tests.support.server import FaultServer

PHONE, NAME, ADDRESS = "13800138000", "王小明", "河南省张掖市西城区7号"
NOTE = "goods came broken, ask canary-neighbour"
PERSONAL = {
    "sellerMobile": PHONE,
    "buyerPhone": PHONE,
    "receiver": NAME,
    "detailAddress": ADDRESS,
    "remark": f"{NAME} {PHONE}",
    "receiverAddress": {"phone": PHONE, "receiver": NAME, "detailAddress": ADDRESS},
}
KINDS: Mapping[str, str] = {
    "access secret": SECRET,
    "access key": KEY,
    "phone": PHONE,
    "name": NAME,
    "address": ADDRESS,
    "free text": NOTE,
}


@attrs.define
class Evidence:
    """What a scene left behind: pieces by name, each of which is searched.

    `planted` are the kinds that were in the work; `kept` what a piece holds on purpose, and why.
    """

    planted: set[str] = attrs.field(factory=lambda: set(KINDS))
    pieces: dict[str, bytes] = attrs.field(factory=dict)
    kept: dict[tuple[str, str], str] = attrs.field(factory=dict)
    signatures: set[str] = attrs.field(factory=set)

    def add(self, name: str, what: bytes | str) -> None:
        """One more piece, or more of one."""
        data = what.encode("utf-8", "surrogateescape") if isinstance(what, str) else what
        self.pieces[name] = self.pieces.get(name, b"") + data

    def add_files(self, folder: Path, *patterns: str) -> None:
        """The bytes of files, also of those that SQLite keeps beside its own, and what is packed in them."""
        for pattern in patterns:
            for file in sorted(folder.rglob(pattern)):
                if file.is_file():
                    self.add(str(file.relative_to(folder)), file.read_bytes() + unpacked(file))

    def saw(self, server: FaultServer) -> None:
        """Signatures of requests are secrets too, until their time is over."""
        self.signatures |= {value for seen in server.requests if (value := seen.header("signature"))}

    def keep(self, piece: str, kinds: str, why: str) -> None:
        """A piece holds these kinds on purpose."""
        self.kept |= {(piece, kind): why for kind in kinds.split(", ")}

    @property
    def size(self) -> int:
        """How many bytes were searched."""
        return sum(map(len, self.pieces.values()))

    def found(self) -> list[tuple[str, str]]:
        """Piece and kind of everything that was found and is not kept on purpose."""
        wanted = [(kind, KINDS[kind]) for kind in KINDS if kind in self.planted]
        wanted += [("signature", signature) for signature in sorted(self.signatures)]
        return [
            (piece, kind)
            for piece, data in self.pieces.items()
            for kind, canary in wanted
            if any(form in data for form in forms(canary)) and (piece, kind) not in self.kept
        ]


def unpacked(file: Path) -> bytes:
    """What a search of the bytes would not see: the parts of a workbook, the cells of a frame."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as package:
            parts = [package.read(name).decode("utf-8", "replace") for name in package.namelist()]
        return html.unescape("\n".join(parts)).encode()
    if file.suffix == ".parquet":
        table = parquet.read_table(file)
        cells = json.dumps(table.to_pylist(), ensure_ascii=False, default=str)
        return f"{table.schema.metadata}{cells}".encode()
    return b""


def forms(canary: str) -> Iterator[bytes]:
    """The canary as it may have been written down."""
    plain = canary.encode()
    yield plain
    yield json.dumps(canary)[1:-1].encode()
    yield repr(plain)[2:-1].encode()
    yield quote(canary, safe="").encode()
    yield plain.hex().encode()
    yield canary.encode("gb18030")
    yield canary.encode("utf-16-le")
    for offset in range(3):  # within a longer text base64 has three ways to write it
        yield base64.b64encode(bytes(offset) + plain)[offset and offset + 1 : -4]


def table(found: Mapping[str, Evidence]) -> str:
    """What was planted, where it was looked for, what was found: as a table of the page."""
    lines = [
        "| work | planted | looked through | bytes | kept on purpose | found |",
        "|---|---|---|--:|---|--:|",
    ]
    for name, evidence in found.items():
        kinds = sorted(evidence.planted) + ["signature"] * bool(evidence.signatures)
        kept = sorted({f"{kind} in {piece}" for piece, kind in evidence.kept if piece in evidence.pieces})
        lines.append(
            f"| {name} | {', '.join(kinds)} | {', '.join(sorted(evidence.pieces))} | {evidence.size:,} "
            f"| {', '.join(kept)} | {len(evidence.found())} |"
        )
    return "\n".join(lines)
