"""`pandapon openapi`: the OpenAPI document of the declared calls, for other tools."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pandapon_async.openapi.document import SERVER, document
from pandapon_async.storage.files import EVERYBODY, Mark, whole_file

__all__ = ["openapi", "yaml_lines"]

MARK = Mark("This document is made from the declarations of", "`pandapon openapi`")
_PLAIN_KEY = re.compile(r"[A-Za-z_/$][A-Za-z0-9_/${}.-]*", re.ASCII)
_NOT_PRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_NOT_PLAIN = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def openapi(
    inferred: Annotated[
        bool, typer.Option("--inferred", help="Also include calls with an inferred path (marked).")
    ] = False,
    format: Annotated[Literal["json", "yaml"], typer.Option(help="The format of the document.")] = "json",
    out: Annotated[Path | None, typer.Option(help="The file to write; default: stdout.")] = None,
    server: Annotated[str, typer.Option(help="The server in the document.")] = SERVER,
) -> None:
    """Write the OpenAPI 3.1 document: schemas, examples, the signature, the envelope."""
    made = document(inferred=inferred, server=server)
    if format == "yaml":
        text = "\n".join(yaml_lines(made)) + "\n"
    else:
        text = json.dumps(made, ensure_ascii=False, indent=2) + "\n"
    if out is None:
        sys.stdout.write(text)
    else:
        with whole_file(out, MARK, mode=EVERYBODY) as file:
            file.write(text)


def yaml_lines(value: Any, indent: str = "") -> Iterator[str]:
    """Write a JSON value as YAML in block style; texts are quoted as in JSON, which YAML reads.

    >>> list(yaml_lines({"a": [1, {"b": "x"}], "c": {}}))
    ['a:', '  - 1', '  -', '    b: "x"', 'c: {}']
    """
    entries = (
        ((f"{_key(name)}:", item) for name, item in value.items())
        if isinstance(value, dict)
        else (("-", item) for item in value)
    )
    for head, item in entries:
        if isinstance(item, dict | list) and item:
            yield f"{indent}{head}"
            yield from yaml_lines(item, f"{indent}  ")
        else:
            yield f"{indent}{head} {_quoted(item)}"


def _key(name: str) -> str:
    plain = _PLAIN_KEY.fullmatch(name) and name.lower() not in _NOT_PLAIN
    return name if plain else _quoted(name)


def _quoted(value: Any) -> str:
    """Write a text as JSON does; characters that YAML forbids are escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return _NOT_PRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
