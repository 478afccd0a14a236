"""Where Grafana finds the boards, as its provisioning file says it."""

from __future__ import annotations

from typing import Any

from dashboards.filing import literal
from dashboards.model import OWN
from dashboards.settings import GrafanaSettings, Language

FOLDER_UID = OWN
FOLDERS = {Language.CHINESE: "室温监测", Language.ENGLISH: "Room temperatures"}
RELOAD_S = 30


def provider_file(settings: GrafanaSettings) -> dict[str, Any]:
    """Return ``provisioning/dashboards/heatwatch.yaml``: the files are the truth, a board is not changed by hand."""
    provider = {
        "name": "heatwatch",
        "folder": FOLDERS[settings.language],
        "folderUid": FOLDER_UID,
        "type": "file",
        "disableDeletion": False,
        "allowUiUpdates": False,
        "updateIntervalSeconds": RELOAD_S,
        "options": {"path": literal(settings.boards_dir)},
    }
    return {"apiVersion": 1, "providers": [provider]}
