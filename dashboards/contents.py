"""What `render` writes and `push` brings: everything of ours, for the settings of an installation."""

from __future__ import annotations

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
    )
