"""Write the files that Grafana reads: all of them, or none."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from dashboards.contents import contents
from dashboards.filing import alerting_file, datasources_file
from dashboards.model import OWN, GrafanaSet
from dashboards.provider import provider_file
from dashboards.settings import GrafanaSettings
from heatwatch.errors import BadInput


def render(settings: GrafanaSettings, out: Path) -> list[Path]:
    """Write provisioning files and boards under `out`; return the files. Others that are there stay.

    ``provisioning`` belongs in ``/etc/grafana/provisioning``, ``dashboards`` in `settings.boards_dir`. Files are put
    in place one by one, so that folders which a running Grafana has mounted stay the same folders.

    Raises
    ------
    BadInput
        If the folder cannot be written; then it is as it was.
    """
    try:
        with _scratch(out) as scratch:
            written = [_write(scratch / name, text) for name, text in texts(settings).items()]
            return _move_in(scratch, out, [file.relative_to(scratch) for file in written])
    except OSError as error:
        raise BadInput(f"cannot be written: {error.strerror}", where=str(error.filename or out)) from error


def texts(settings: GrafanaSettings, whole: GrafanaSet | None = None) -> dict[str, str]:
    """Return the text of every file by its path; `whole` stands in for the `contents` of the settings."""
    whole = whole or contents(settings)
    boards = {f"dashboards/{board['uid'].removeprefix(f'{OWN}-')}.json": _json(board) for board in whole.boards}
    files = {
        "provisioning/dashboards/heatwatch.yaml": provider_file(settings),
        "provisioning/datasources/heatwatch.yaml": datasources_file(whole, settings.secrets_dir),
    }
    if whole.has_alerts:
        files["provisioning/alerting/heatwatch.yaml"] = alerting_file(whole, settings.secrets_dir)
    return boards | {name: _yaml(content) for name, content in files.items()}


def _json(board: Mapping[str, Any]) -> str:
    return json.dumps(board, ensure_ascii=False, indent=2) + "\n"


def _yaml(content: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    return "# Written by `heatwatch dashboards render`; the next run overwrites what is changed here.\n" + text


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    """Give a folder that goes away again, on the file system of `out`; also `out`, where it did not exist."""
    with ExitStack() as undo:
        _make(out, undo)
        folder = Path(tempfile.mkdtemp(prefix=".heatwatch-", dir=out))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        undo.pop_all()


def _write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="\n") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    return file


def _move_in(scratch: Path, out: Path, names: list[Path]) -> list[Path]:
    with ExitStack() as undo:
        for name in names:
            _make((out / name).parent, undo)
            _replace(scratch / name, out / name, undo)
        undo.pop_all()
    return [out / name for name in names]


def _make(folder: Path, undo: ExitStack) -> None:
    """Make a folder and those above it that are missing; `undo` removes them again."""
    if not folder.is_dir():
        _make(folder.parent, undo)
        folder.mkdir()
        undo.callback(folder.rmdir)


def _replace(new: Path, target: Path, undo: ExitStack) -> None:
    """Put `new` in the place of `target`; `undo` brings back what was there."""
    kept = new.with_name(f"{new.name}.before")
    if target.exists():
        shutil.copy2(target, kept)
        undo.callback(kept.replace, target)
    else:
        undo.callback(target.unlink, missing_ok=True)
    new.replace(target)
