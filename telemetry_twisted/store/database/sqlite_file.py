"""Whether a file can be the SQLite database of history, told without opening the database."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from telemetry_twisted.store.schema.versions import NEWEST

from .interface import NeverUsable, SchemaTooNew

MAGIC = b"SQLite format 3\0"
"""How every SQLite database begins (https://www.sqlite.org/fileformat.html#the_database_header)."""

VERSION_AT = 60
"""Where the header has the version of the schema, four bytes."""


def check_file(path: Path) -> None:
    """Look whether the database can be at ``path``.

    :raises NeverUsable: if there is something else, or it may not be written by the user that this
        process is now; the message says what to do.
    """
    file = path.absolute()
    if file.is_dir():
        raise NeverUsable(f"{file} is a directory; give the path of a file with --database.")
    if not file.parent.is_dir():
        raise NeverUsable(
            f"there is no directory {file.parent}. Make it, or give the path of another file with "
            "--database."
        )
    for written in (file, file.parent):
        if written.exists() and not os.access(written, os.R_OK | os.W_OK, effective_ids=True):
            raise NeverUsable(
                f"{_user()} may not write {written}. Let that user write the file and its "
                "directory, or give another one with --database."
            )
    if file.exists() and not file.is_file():
        raise NeverUsable(f"{file} is no file; give the path of one with --database.")
    if file.exists():
        _check_header(file)


def _user() -> str:
    user = os.geteuid()
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def _check_header(file: Path) -> None:
    with file.open("rb") as opened:
        header = opened.read(100)
    if header and not header.startswith(MAGIC):
        raise NeverUsable(
            f"{file} is no SQLite database. Give the path of one, or of a file that is not there "
            "yet, with --database."
        )
    version = int.from_bytes(header[VERSION_AT : VERSION_AT + 4], "big")
    if version > NEWEST:
        raise SchemaTooNew(version, NEWEST)
