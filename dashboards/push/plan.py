"""What bringing a `GrafanaSet` into a Grafana would change: found by reading alone, in the order in which it is done.

What is needed comes before what needs it, and what is no longer needed goes last and the other way round; so that a run
which breaks off leaves nothing that points into the void, and the next one goes on from there.
"""

from __future__ import annotations

from dashboards.model import GrafanaSet, MuteTime, Template
from dashboards.push import alerting
from dashboards.push.boards import board_change, boards_gone, folder_change, source_change
from dashboards.push.change import Change, Kind, Site
from dashboards.push.policies import policy_changes


def plan(site: Site, whole: GrafanaSet) -> list[Change]:
    """Return what is to be done, also what stays as it is. Folder and data sources are never removed: others use them.

    Raises
    ------
    BadInput
        If something that is not ours has our name, or a file of Grafana's keeps what is to change: nothing is done.
        Also as `Grafana.get` does.
    Unavailable
        If Grafana does not answer.
    """
    rules = alerting.listed(site, alerting.RULES)
    points = alerting.listed(site, alerting.POINTS)
    mute_times = alerting.listed(site, alerting.MUTE_TIMES)
    templates = site.grafana.find(alerting.TEMPLATES) or []
    return [
        folder_change(site, whole.folder),
        *(source_change(site, source) for source in whole.sources),
        *(board_change(site, board, whole.folder.uid) for board in whole.boards),
        *alerting.template_changes(site, whole, templates),
        *alerting.contact_point_changes(site, whole, points),
        *alerting.mute_time_changes(site, whole, mute_times),
        *policy_changes(site, whole),
        *alerting.group_changes(site, whole, rules),
        *alerting.rules_gone(site, whole, rules),
        *alerting.named_gone(site, Kind.MUTE_TIME, alerting.MUTE_TIMES, mute_times, _names(whole.mute_times)),
        *alerting.contact_points_gone(site, whole, points),
        *alerting.named_gone(site, Kind.TEMPLATE, alerting.TEMPLATES, templates, _names(whole.templates)),
        *boards_gone(site, whole),
    ]


def _names(wanted: tuple[MuteTime, ...] | tuple[Template, ...]) -> set[str]:
    return {each.name for each in wanted}
