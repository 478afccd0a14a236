"""What every picture has in common: colours, letters, and how Vega draws it without a browser.

References
----------
.. [1] Vega-Lite 6, https://vega.github.io/vega-lite/docs/
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from heatwatch.domain.findings import FindingKind

Spec = dict[str, Any]
"""A picture in Vega-Lite."""

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
PAPER, INK, QUIET, GRID, AXIS = "#ffffff", "#1c2733", "#52606d", "#e4e9ee", "#9aa5b1"
FILLS: Mapping[FindingKind, str] = {
    FindingKind.COLD_SPELL: "#3b2a98",
    FindingKind.HEAT_OUTAGE: "#b83508",
    FindingKind.DATA_OUTAGE: "#5d6872",
    FindingKind.SENSOR_FAULT: "#7a5c00",
}
"""What each kind of finding is filled with; white text on it can be read."""
TICK_PX = 62
"""How much room a tick of an axis of time asks for."""
_FONT = "Noto Sans CJK SC, Noto Sans SC, PingFang SC, Microsoft YaHei, Helvetica, Arial, sans-serif"
_FONTS = ("/usr/share/fonts/opentype/noto", "/usr/share/fonts/noto-cjk", "/usr/share/fonts/google-noto-cjk")
"""Where systems keep Noto CJK."""
_FIRST_WIDE = "\u2e80"
_drawing = threading.Lock()


def config() -> Spec:
    """Return how axes and titles look."""
    quiet = {"labelColor": QUIET, "titleColor": QUIET, "domainColor": AXIS, "tickColor": AXIS}
    return {
        "font": _FONT,
        "view": {"stroke": None},
        "axis": {**quiet, "gridColor": GRID, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"},
        "title": {"fontSize": 15, "subtitleFontSize": 12, "color": INK, "subtitleColor": QUIET},
    }


def text_px(text: str, size: int) -> float:
    """Return about how wide a text is [px]."""
    return sum(size if sign >= _FIRST_WIDE else 0.58 * size for sign in text)


def svg(spec: Spec) -> str:
    """Draw a picture as SVG."""
    with engine() as made:
        drawn: str = made.vegalite_to_svg(spec)
    return drawn


def png(spec: Spec, scale: float = 2.0) -> bytes:
    """Draw a picture as PNG, so many of its pixels for each of the specification's."""
    with engine() as made:
        drawn: bytes = made.vegalite_to_png(spec, scale=scale)
    return drawn


def write(spec: Spec, path: Path, scale: float = 2.0) -> None:
    """Write a picture: SVG or PNG, by the file's ending."""
    if path.suffix.lower() == ".svg":
        path.write_text(svg(spec), encoding="utf-8")
    else:
        path.write_bytes(png(spec, scale))


@contextmanager
def engine() -> Iterator[Any]:
    """Give the engine (`vl_convert`) to one at a time."""
    with _drawing:
        yield _loaded()


@cache
def _loaded() -> Any:
    """Return the engine, with the letters of Chinese made known to it."""
    import vl_convert  # noqa: PLC0415 - carries a JavaScript engine: only where a picture is asked for

    for folder in _FONTS:
        if Path(folder).is_dir():
            vl_convert.register_font_directory(folder)
    return vl_convert
