"""The files of a backup, in a folder or a tar file: written whole or not at all, read with their digests checked."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from heatwatch.errors import BadInput, Damaged, HeatwatchError
from heatwatch.files.appearing import sync
from heatwatch.records.audit import digest

MANIFEST = "manifest.json"
FORMAT = 1
TAR = ".tar"
MOST_MANIFEST_BYTES = 256 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Writer:
    """Takes files one by one; each is on disk, and its digest taken, when it is in.

    Attributes
    ----------
    scratch
        A folder for what is in the making; gone when the backup is done.
    """

    def __init__(self, scratch: Path, folder: Path, tar: tarfile.TarFile | None) -> None:
        self.scratch = scratch
        self._folder, self._tar = folder, tar
        self._files: dict[str, dict[str, Any]] = {}

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """Give the path of a file, which is in the backup when the block ends well."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path
        sync(path)
        with path.open("rb") as file:
            self._files[name] = {"sha256": _sha256(file), "bytes": path.stat().st_size}
        self._keep(name, path)

    def finish(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Put in the manifest, the last file of all; return it as written."""
        told = {"format": FORMAT, **manifest, "files": self._files}
        told["sha256"] = digest(told)
        path = self._folder / MANIFEST
        path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        sync(path)
        self._keep(MANIFEST, path)
        return told

    def _keep(self, name: str, path: Path) -> None:
        if self._tar is not None:
            self._tar.add(path, name, recursive=False, filter=_anonymous)
            path.unlink()


@contextmanager
def new_archive(out: Path) -> Iterator[Writer]:
    """Give a backup to be filled, which appears at `out` when the block ends well: a tar file if it ends so.

    Raises
    ------
    BadInput
        If something is there already, or nothing can be written there.
    HeatwatchError
        If the disk is full.
    """
    out = out.absolute()
    scratch: Path | None = None
    try:
        if out.exists() and not (out.is_dir() and out.suffix != TAR and not any(out.iterdir())):
            raise BadInput("is there already", where=str(out), mend="name a new folder or file: a backup replaces none")
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        folder, packed = scratch / "new", scratch / "packed"
        folder.mkdir(mode=0o700)
        if out.suffix == TAR:
            with _packing(packed) as tar:
                yield Writer(scratch, folder, tar)
            sync(packed)
            packed.replace(out)
        else:
            yield Writer(scratch, folder, None)
            for path in sorted({folder, *(path.parent for path in folder.rglob("*"))}):
                sync(path)
            folder.replace(out)
        sync(out.parent)
    except OSError as error:
        why = f"{out}: cannot be written: {error.strerror or error}"
        raise (HeatwatchError if error.errno in _FULL else BadInput)(why) from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


class Archive:
    """A backup that is read; its manifest is as it was written, of the files `verify` tells.

    Raises
    ------
    BadInput
        If a newer heatwatch has written it.
    Damaged
        If it has no manifest, or a broken one.
    """

    def __init__(self, where: Path, tar: tarfile.TarFile | None) -> None:
        self.where, self._tar = where, tar
        self._members = {one.name: one for one in tar.getmembers() if one.isreg()} if tar is not None else {}
        self.manifest = self._read_manifest()
        self.files: Mapping[str, Mapping[str, Any]] = self.manifest["files"]

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in one of its folders, in order."""
        return sorted(name for name in self.files if name.startswith(f"{folder}/"))

    def where_is(self, name: str) -> str:
        """Name a file of the backup as a person finds it."""
        return str(self.where / name) if self._tar is None else f"{self.where}, {name}"

    def open(self, name: str) -> IO[bytes]:
        """Open a file of the backup.

        Raises
        ------
        Damaged
            If it is not there.
        """
        try:
            found = (self.where / name).open("rb") if self._tar is None else self._tar.extractfile(self._members[name])
        except (KeyError, OSError) as error:
            raise Damaged("is missing", where=self.where_is(name)) from error
        if found is None:
            raise Damaged("is no file", where=self.where_is(name))
        return found

    def verify(self) -> None:
        """Read every file once.

        Raises
        ------
        Damaged
            Naming the first file that is not as it was written, or that is none of the backup's.
        """
        for name, told in sorted(self.files.items()):
            try:
                with self.open(name) as file:
                    same = _sha256(file) == told["sha256"]
            except (OSError, tarfile.TarError) as error:
                raise Damaged(f"cannot be read: {error}", where=self.where_is(name)) from error
            if not same:
                raise Damaged("is not as it was written: its digest is another one", where=self.where_is(name))
        for name in sorted(self._there() - self.files.keys() - {MANIFEST}):
            raise Damaged("is not of this backup: its manifest does not know it", where=self.where_is(name))

    def _there(self) -> set[str]:
        if self._tar is not None:
            return set(self._members)
        return {str(path.relative_to(self.where)) for path in self.where.rglob("*") if path.is_file()}

    def _read_manifest(self) -> Mapping[str, Any]:
        with self.open(MANIFEST) as file:
            text = file.read(MOST_MANIFEST_BYTES)
        try:
            told = json.loads(text)
            whole = told.pop("sha256") == digest(told)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Damaged("is no manifest of a backup", where=self.where_is(MANIFEST)) from error
        if not whole:
            raise Damaged("is not as it was written: its digest is another one", where=self.where_is(MANIFEST))
        if told["format"] != FORMAT:
            raise BadInput("a newer heatwatch has written it", where=str(self.where), mend="use that version")
        found: Mapping[str, Any] = told
        return found


@contextmanager
def open_archive(where: Path) -> Iterator[Archive]:
    """Open a backup for reading.

    Raises
    ------
    BadInput
        If nothing is there, or what a newer heatwatch has written.
    Damaged
        If it is no backup, or a broken one.
    """
    if where.is_dir():
        yield Archive(where, None)
        return
    try:
        with where.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            yield Archive(where, tar)
    except tarfile.TarError as error:
        raise Damaged(f"is no tar file of a backup, or was cut off: {error}", where=str(where)) from error
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror or error}", where=str(where)) from error


@contextmanager
def _packing(path: Path) -> Iterator[tarfile.TarFile]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w+b") as file, tarfile.open(fileobj=file, mode="w:", format=tarfile.PAX_FORMAT) as tar:
        yield tar


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out whose file it was: that says nothing on another machine."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o600
    return member


def _sha256(file: IO[bytes]) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
