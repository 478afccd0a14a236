"""A board as the JSON that Grafana keeps (schema version 42, Grafana 12.4 and later).

What is spelled here goes through the types of Grafana's own builder package: a key that they do not know is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dashboards.boards.layout import Asked, Board, Kind, Marked, Panel, Style, Variable
from dashboards.boards.typed import unknown
from dashboards.looks import BLUE, HOT_K, HOURS, LOOKS, ORANGE, PURPLE, ROOM, SKY, VERMILION, WARM_K, Look, Steps
from dashboards.model import OWN
from dashboards.queries import flux, influxql
from dashboards.queries.asking import TIME, Ask, Curve, Latest, Rows, Sums, Values
from dashboards.settings import GrafanaSettings, InfluxVersion, Limits
from dashboards.sources import KIND as SOURCE_KIND
from dashboards.sources import UID as SOURCE_UID
from dashboards.words import STALE, Said

SCHEMA_VERSION = 42
ON_TIME = 2
"""The values of a variable are asked for when another time is chosen."""
LINKED = {
    "station": ("station",),
    "building": ("station", "building"),
    "room": ("station", "building", "point"),
}
"""The boards that a column leads to, and the choices that it brings along."""
CONSOLE = {
    "ticket": ("tickets/${__data.fields.ticket}", Said("在控制台打开工单", "Open the ticket in the console")),
    "room": ("rooms/${__data.fields.point:percentencode}", Said("在控制台打开房间", "Open the room in the console")),
}
"""The console's pages that a column leads to."""
TALL = 5
"""From this height on tiles are to be read from three metres."""
_SOURCE = {"type": SOURCE_KIND, "uid": SOURCE_UID}


def uid(name: str) -> str:
    """Return the uid of a board by its name."""
    return f"{OWN}-{name}"


def query(ask: Ask | Values, settings: GrafanaSettings) -> str:
    """Return a query in the language of the installation."""
    ones = settings.version is InfluxVersion.ONE
    if isinstance(ask, Values):
        return influxql.values(ask) if ones else flux.values(ask)
    return influxql.text(ask, settings.timezone) if ones else flux.text(ask, settings.timezone)


def room_steps(limits: Limits, of: str) -> Steps:
    """Return the colours of room temperatures: `ROOM`, or `ROOM_MAP`."""
    cold: Steps = ((None, VERMILION), (limits.lowest_c, ORANGE))
    if of == ROOM:
        return (*cold, (limits.highest_c, BLUE))
    high_c = limits.highest_c
    return (*cold, (high_c, SKY), (high_c + WARM_K, BLUE), (high_c + HOT_K, PURPLE))


def spelled(board: Board, settings: GrafanaSettings) -> dict[str, Any]:
    """Return a board as Grafana keeps it.

    Raises
    ------
    ValueError
        If a key of it is none of Grafana's.
    """
    made = _Speller(settings).board(board)
    amiss = unknown(made)
    if amiss:
        raise ValueError(f"{board.name}: Grafana does not know {', '.join(amiss)}")
    return made


class _Speller:
    """Spells a board for the settings of an installation."""

    def __init__(self, settings: GrafanaSettings) -> None:
        self._settings = settings

    def board(self, board: Board) -> dict[str, Any]:
        return {
            "uid": uid(board.name),
            "title": self._t(board.title),
            "description": self._t(board.note),
            "tags": [OWN],
            "schemaVersion": SCHEMA_VERSION,
            "editable": False,
            "graphTooltip": 1,  # one crosshair on all panels
            "timezone": self._settings.timezone,
            "weekStart": "monday",
            "refresh": board.refresh,
            "time": {"from": board.since, "to": "now"},
            "links": self._links(),
            "templating": {"list": [self._variable(each) for each in board.variables]},
            "annotations": {"list": [self._marked(each) for each in board.marked]},
            "panels": [self._panel(number, each) for number, each in enumerate(board.panels, 1)],
        }

    def _t(self, said: Said) -> str:
        return said.in_(self._settings.language)

    def _links(self) -> list[dict[str, Any]]:
        boards = {
            "type": "dashboards",
            "title": self._t(Said("监测看板", "Boards")),
            "tags": [OWN],
            "asDropdown": True,
            "includeVars": True,
            "keepTime": True,
            "targetBlank": False,
            "icon": "external link",
            "tooltip": "",
            "url": "",
        }
        if not self._settings.console_url:
            return [boards]
        title = self._t(Said("控制台", "Console"))
        more = {"type": "link", "title": title, "tags": [], "url": self._console(""), "targetBlank": True}
        return [boards, {**boards, **more, "asDropdown": False, "includeVars": False, "keepTime": False}]

    def _console(self, page: str) -> str:
        return f"{self._settings.console_url.rstrip('/')}/{page}"

    def _variable(self, variable: Variable) -> dict[str, Any]:
        text = query(variable.values, self._settings)
        many, everything = variable.choice.many, variable.choice.many and variable.everything
        return {
            "type": "query",
            "name": variable.name,
            "label": self._t(variable.said),
            "datasource": _SOURCE,
            "query": text,
            "definition": text,
            "refresh": ON_TIME,
            "sort": 7,  # as people count: 2 before 10
            "multi": many,
            "includeAll": everything,
            **({"allValue": ".*", "current": {"text": ["All"], "value": ["$__all"]}} if everything else {}),
            "hide": 0,
        }

    def _marked(self, marked: Marked) -> dict[str, Any]:
        text = query(marked.ask, self._settings)
        told: dict[str, Any] = {"target": {"refId": "Anno", "datasource": _SOURCE, "query": text}}
        if self._settings.version is InfluxVersion.ONE:  # its plugin has keys of its own
            told = {"query": text, "textColumn": "text", "tagsColumn": "tags", "timeEndColumn": "timeEnd"}
        return {
            "name": self._t(marked.said),
            "datasource": _SOURCE,
            "enable": True,
            "iconColor": marked.colour,
            **told,
        }

    def _panel(self, number: int, panel: Panel) -> dict[str, Any]:
        x, y, w, h = panel.at
        stale = any(isinstance(each.ask, Latest | Sums) and 0 < each.ask.window.back_h < 1 for each in panel.asked)
        defaults: dict[str, Any] = {"noValue": self._t(STALE if stale else panel.nothing)}
        config = {Kind.TILES: self._tiles, Kind.TABLE: self._table, Kind.CURVES: self._curves, Kind.LANES: self._lanes}
        own, overrides, options, transformations = config[panel.kind](panel)
        recent = panel.recent or ("1h" if all(each.ask.window.back_h for each in panel.asked) else "")
        return {
            "id": number,
            "type": panel.kind.value,
            "title": self._t(panel.title),
            "description": self._t(panel.note).format(
                low=f"{self._settings.limits.lowest_c:g}",
                high=f"{self._settings.limits.highest_c:g}",
                notice=f"{self._settings.limits.notice_h:g}",
            ),
            "datasource": _SOURCE,
            "gridPos": {"x": x, "y": y, "w": w, "h": h},
            "targets": [self._target(letter, each) for letter, each in zip("ABCDEF", panel.asked, strict=False)],
            **({"interval": panel.least_step} if panel.least_step else {}),
            **({"timeFrom": recent, "hideTimeOverride": True} if recent else {}),
            "fieldConfig": {"defaults": {**defaults, **own}, "overrides": overrides},
            "options": options,
            **({"transformations": transformations} if transformations else {}),
        }

    def _target(self, letter: str, asked: Asked) -> dict[str, Any]:
        target: dict[str, Any] = {"refId": letter, "datasource": _SOURCE, "query": query(asked.ask, self._settings)}
        if self._settings.version is InfluxVersion.ONE:
            target |= {"rawQuery": True, "resultFormat": "table" if asked.ask.is_table else "time_series"}
        return target

    def _tiles(self, panel: Panel) -> tuple[Any, ...]:
        options = {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "background_solid",
            "graphMode": "none",
            "justifyMode": "center",
            "orientation": "vertical",
            "textMode": "value_and_name",
            "wideLayout": False,
            "text": {"titleSize": 20, "valueSize": 56 if panel.at[3] >= TALL else 36},
        }
        own = {"color": {"mode": "thresholds"}, "thresholds": self._thresholds(((None, BLUE),))}
        return own, list(self._overrides(panel)), options, self._organized(panel)

    def _table(self, panel: Panel) -> tuple[Any, ...]:
        look = self._look(panel, panel.sort) if panel.sort else None
        sort = [{"displayName": self._t(look.said), "desc": panel.down}] if look else []
        options = {"showHeader": True, "cellHeight": "sm", **({"sortBy": sort} if sort else {})}
        own = {"custom": {"align": "auto", "filterable": False}}
        return own, list(self._overrides(panel)), options, self._organized(panel)

    def _curves(self, panel: Panel) -> tuple[Any, ...]:
        many = bool(panel.label)
        legend: dict[str, Any] = {"displayMode": "table" if many else "list", "showLegend": True}
        legend |= {"placement": "right" if many else "bottom", "calcs": ["lastNotNull"] if many else []}
        own: dict[str, Any] = {
            **self._measure(panel),
            "color": {"mode": "palette-colorblind"},
            "custom": {"drawStyle": "line", "lineWidth": 2, "showPoints": "auto", "pointSize": 4, "spanNulls": False},
        }
        if panel.lines:
            own["custom"]["thresholdsStyle"] = {"mode": "dashed"}
            own["thresholds"] = self._thresholds(ROOM)
        if many:
            own["displayName"] = f"${{__field.labels.{panel.label}}}"
        if panel.to:
            own["links"] = [self._line_link(panel)]
        overrides = [self._line(letter, each) for letter, each in zip("ABCDEF", panel.asked, strict=False)]
        options = {"legend": legend, "tooltip": {"mode": "multi", "sort": "asc"}}
        return own, [each for each in overrides if each["properties"]], options, self._renamed(panel)

    def _renamed(self, panel: Panel) -> list[dict[str, Any]]:
        """Return the steps that put words in the place of a tag's values: names of lines have no mappings."""
        return [
            {"id": "renameByRegex", "options": {"regex": f"/.*\\b{value}\\b.*/", "renamePattern": self._t(said)}}
            for value, said in (panel.words or {}).items()
        ]

    def _lanes(self, panel: Panel) -> tuple[Any, ...]:
        own: dict[str, Any] = {
            **self._measure(panel),
            "color": {"mode": "thresholds"},
            "thresholds": self._thresholds(panel.steps),
            "displayName": f"${{__field.labels.{panel.label}}}",
            "custom": {"lineWidth": 0, "fillOpacity": 85},
        }
        if panel.to:
            own["links"] = [self._line_link(panel)]
        options = {
            "showValue": "auto",
            "rowHeight": 0.9,
            "mergeValues": False,
            "alignValue": "center",
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
            "tooltip": {"mode": "single", "sort": "none"},
        }
        return own, [], options, []

    def _measure(self, panel: Panel) -> dict[str, Any]:
        return {
            **({"unit": self._unit(panel.unit)} if panel.unit else {}),
            **({} if panel.decimals is None else {"decimals": panel.decimals}),
        }

    def _unit(self, unit: str) -> str:
        """Return a unit; hours are spelled out, for Grafana would make days of them."""
        return self._t(Said("suffix: 小时", "suffix: h")) if unit == HOURS else unit

    def _line_link(self, panel: Panel) -> dict[str, Any]:
        brought = {name: f"${{{name}:percentencode}}" for name in LINKED[panel.to]}
        brought[panel.label] = f"${{__field.labels.{panel.label}:percentencode}}"
        return self._to_board(panel.to, brought)

    def _line(self, letter: str, asked: Asked) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        if asked.said:
            properties["displayName"] = self._t(asked.said)
        if asked.colour:
            properties["color"] = {"mode": "fixed", "fixedColor": asked.colour}
        properties |= _STYLES[asked.style]
        return _override("byFrameRefID", letter, properties)

    def _overrides(self, panel: Panel) -> Iterator[dict[str, Any]]:
        for name in columns_of(panel):
            look = self._look(panel, name)
            properties: dict[str, Any] = {"displayName": self._t(look.said)}
            if look.unit:
                properties["unit"] = self._unit(look.unit)
            if look.decimals is not None:
                properties["decimals"] = look.decimals
            if look.steps:
                properties |= {"thresholds": self._thresholds(look.steps), "color": {"mode": "thresholds"}}
                if panel.kind is Kind.TABLE:
                    properties["custom.cellOptions"] = {"type": "color-text"}
            if look.words:
                properties["mappings"] = [self._mapping(look)]
            if look.width and panel.kind is Kind.TABLE:
                properties["custom.width"] = look.width
            link = self._link(panel, name, look)
            if link:
                properties["links"] = [link]
            yield _override("byName", name, properties)

    def _look(self, panel: Panel, name: str) -> Look:
        return panel.looks.get(name) or LOOKS[name]

    def _mapping(self, look: Look) -> dict[str, Any]:
        told = {
            value: {"text": self._t(said), "index": index}
            for index, (value, said) in enumerate((look.words or {}).items())
        }
        return {"type": "value", "options": told}

    def _link(self, panel: Panel, name: str, look: Look) -> dict[str, Any] | None:
        there = set(columns_of(panel))
        if look.to in CONSOLE and (look.to == "ticket" or panel.looks.get(name)):
            page, said = CONSOLE[look.to]
            if not self._settings.console_url:
                return None
            return {"title": self._t(said), "url": self._console(page), "targetBlank": True}
        if look.to in LINKED and name in there:
            values = {
                each: f"${{__data.fields.{each}:percentencode}}" if each in there else f"${{{each}:percentencode}}"
                for each in LINKED[look.to]
            }
            return self._to_board(look.to, values)
        return None

    def _to_board(self, name: str, values: Mapping[str, str]) -> dict[str, Any]:
        chosen = "&".join(f"var-{each}={value}" for each, value in values.items())
        titles = {
            "station": Said("打开供热站看板", "Open the station"),
            "building": Said("打开楼栋看板", "Open the building"),
            "room": Said("打开房间看板", "Open the room"),
        }
        url = f"/d/{uid(name)}?{chosen}&${{__url_time_range}}"
        return {"title": self._t(titles[name]), "url": url, "targetBlank": False}

    def _thresholds(self, steps: Steps | str) -> dict[str, Any]:
        limits = self._settings.limits
        told = room_steps(limits, steps) if isinstance(steps, str) else steps
        return {"mode": "absolute", "steps": [{"color": colour, "value": value} for value, colour in told]}

    def _organized(self, panel: Panel) -> list[dict[str, Any]]:
        """Return the step that puts columns in order, and times away that nobody asked for."""
        columns = columns_of(panel)
        hidden = {} if TIME in columns else {TIME: True}
        options = {"indexByName": {name: place for place, name in enumerate(columns)}, "excludeByName": hidden}
        return [{"id": "organize", "options": {**options, "renameByName": {}}}]


_STYLES: Mapping[Style, Mapping[str, Any]] = {
    Style.LINE: {},
    Style.THIN: {"custom.lineWidth": 1},
    Style.LIMIT: {
        "custom.lineInterpolation": "stepAfter",
        "custom.lineWidth": 2,
        "custom.lineStyle": {"fill": "dash", "dash": [10, 6]},
        "custom.showPoints": "never",
    },
    Style.TARGET: {
        "custom.lineInterpolation": "stepAfter",
        "custom.lineWidth": 1,
        "custom.lineStyle": {"fill": "dot", "dash": [2, 6]},
        "custom.showPoints": "never",
    },
    Style.BARS: {"custom.drawStyle": "bars", "custom.fillOpacity": 80, "custom.lineWidth": 0},
    Style.POINTS: {"custom.drawStyle": "points", "custom.pointSize": 6},
}


def columns_of(panel: Panel) -> list[str]:
    """Return the columns of a table, in their order."""
    names: list[str] = []
    for each in panel.asked:
        ask = each.ask
        match ask:
            case Rows():
                names += [*([TIME] if ask.dated else []), *ask.columns]
            case Latest():
                names += [*([TIME] if ask.dated else []), *ask.by, *ask.columns]
            case Sums():
                names += [*ask.by, *ask.columns]
            case Curve():
                raise TypeError(f"a curve in {panel.title.en}")
    return list(dict.fromkeys(names))


def _override(matcher: str, named: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    told = [{"id": name, "value": value} for name, value in properties.items()]
    return {"matcher": {"id": matcher, "options": named}, "properties": told}
