"""What `render` writes and `push` brings: everything of ours, for the settings of an installation."""

from __future__ import annotations

from dashboards.alerts.making import rule_groups
from dashboards.alerts.telling import contact_points, route
from dashboards.boards import all_spelled
from dashboards.model import Folder, GrafanaSet
from dashboards.provider import FOLDER_UID, FOLDERS
from dashboards.settings import GrafanaSettings
from dashboards.sources import readings_source


def contents(settings: GrafanaSettings) -> GrafanaSet:
    """Return the folder, the data source, the boards and the alerts."""
    return GrafanaSet(
        folder=Folder(FOLDER_UID, FOLDERS[settings.language]),
        sources=(readings_source(settings),),
        boards=all_spelled(settings),
        groups=rule_groups(settings),
        contact_points=contact_points(settings),
        route=route(settings),
    )
