"""Every script of Flux passes the parser and the type checker of its makers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from dashboards.boards import boards
from dashboards.boards.spelling import query
from dashboards.pictures.asking import Reader, in_flux
from dashboards.queries.asking import Ask, Values
from dashboards.settings import GrafanaSettings, Limits

SETTINGS = GrafanaSettings(Limits(16.0, 18.0))
READER = Reader(0, 3_600_000, {"station": ["S'1"], "building": ['a"b'], "point": ["p"], "source": ["p/1", "q"]})
CHECKER = Path(__file__).with_name("flux_checker.mjs")
PACKAGE = "@influxdata/flux-lsp-browser"


def _modules() -> str | None:
    """Return the folder of node's packages that has the checker."""
    places = [os.environ.get("HEATWATCH_NODE_MODULES", ""), *os.environ.get("NODE_PATH", "").split(os.pathsep)]
    return next((place for place in places if place and (Path(place) / PACKAGE).is_dir()), None)


def _checked(scripts: Sequence[str]) -> list[bool]:
    modules, node = _modules(), shutil.which("node")
    if modules is None or node is None:
        pytest.skip(f"node with {PACKAGE} is not there")
    told = subprocess.run(
        [node, str(CHECKER), modules], input=json.dumps(scripts), capture_output=True, text=True, check=True, timeout=60
    )
    valid: list[bool] = json.loads(told.stdout)
    return valid


def _scripts() -> Iterator[str]:
    for board in boards(SETTINGS.limits):
        asks: list[Ask | Values] = [asked.ask for panel in board.panels for asked in panel.asked]
        asks += [marked.ask for marked in board.marked]
        asks += [variable.values for variable in board.variables]
        for ask in asks:
            yield in_flux(query(ask, SETTINGS), READER, "heatwatch")


def test_every_script_is_flux() -> None:
    scripts = list(_scripts())
    invalid = [script for script, valid in zip(scripts, _checked(scripts), strict=True) if not valid]
    assert not invalid, invalid[0]
    assert len(scripts) > 60


def test_the_checker_finds_what_is_wrong() -> None:
    """A word of another function, a number for a text, an open bracket."""
    good = next(_scripts())
    wrong = [good.replace("range(", "rnge("), good.replace("v.defaultBucket", "5"), good.replace(")", "", 1)]
    assert _checked([good, *wrong]) == [True, False, False, False]
