"""Files and folders that appear whole, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from heatwatch.errors import BadInput, HeatwatchError

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def files_in(out: Path, names: Sequence[str]) -> Iterator[Path]:
    """Give a folder for files of these names; what is in it when the block ends well is moved to `out`.

    Files of other names that are in `out` already stay.

    Raises
    ------
    BadInput
        If `out` cannot be written.
    HeatwatchError
        If the disk is full.
    """
    scratch: Path | None = None
    made: list[Path] = []
    with _told(f"{out}"):
        try:
            taken = [name for name in names if (out / name).is_dir()]
            if taken:
                raise BadInput(f"{taken[0]} is a folder there", where=str(out))
            made = _make_folders(out)
            scratch = Path(tempfile.mkdtemp(prefix=".findings-", dir=out))
            yield scratch
            for file in sorted(scratch.iterdir()):
                file.replace(out / file.name)
            made = []
        finally:
            if scratch is not None:
                shutil.rmtree(scratch, ignore_errors=True)
            for folder in made:
                with suppress(OSError):
                    folder.rmdir()


@contextmanager
def folder_at(out: Path, where: str) -> Iterator[Path]:
    """Give a folder beside `out` that takes its place when the block ends well, and is gone when it does not.

    `where` names `out` in errors, which are those of `files_in`.
    """
    out = out.absolute()
    scratch: Path | None = None
    with _told(where):
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
            made = scratch / "new"
            made.mkdir()
            yield made
            sync(made)
            _exchange(made, out, scratch / "old")
            sync(out.parent)
        finally:
            if scratch is not None:
                shutil.rmtree(scratch, ignore_errors=True)


def sync(path: Path) -> None:
    """Return when the disk has a file, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _told(where: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = f"{where}: cannot be written: {error.strerror or error}"
        if error.errno in _FULL:
            raise HeatwatchError(why) from error
        raise BadInput(why) from error


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder and those above it; return the ones that were not there, the innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _exchange(made: Path, out: Path, old: Path) -> None:
    """Put what was made in the place of what is there, which goes to `old`; or leave all as it was."""
    there = out.exists()
    if there:
        out.rename(old)
    try:
        made.rename(out)
    except BaseException:
        if there and not out.exists():
            old.rename(out)
        raise
