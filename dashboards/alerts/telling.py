"""Who is told of alerts: heatwatch itself, by its webhook, a message for each station and kind."""

from __future__ import annotations

from typing import Any

from dashboards.alerts.alarms import Severity
from dashboards.model import OWN, ContactPoint, Receiver, Route, Secret
from dashboards.settings import GrafanaSettings, WebhookKey

PATH = "/api/v1/grafana/webhook"
TOKEN, SECRET = Secret("grafana_webhook_token"), Secret("grafana_webhook_secret")
SIGNATURE, TIMESTAMP = "X-Grafana-Alerting-Signature", "X-Grafana-Alerting-Timestamp"
MINUTE_S, HOUR_S = 60, 3600


def contact_points(settings: GrafanaSettings) -> tuple[ContactPoint, ...]:
    """Return the contact point: none where heatwatch is not to be told."""
    if not settings.webhook_url:
        return ()
    told: dict[str, Any] = {
        "url": settings.webhook_url.rstrip("/") + PATH,
        "httpMethod": "POST",
        "maxAlerts": "0",  # all of them
    }
    if settings.webhook_key is not WebhookKey.SECRET:
        told |= {"authorization_scheme": "Bearer", "authorization_credentials": TOKEN}
    if settings.webhook_key is not WebhookKey.TOKEN:
        told["hmacConfig"] = {"secret": SECRET, "header": SIGNATURE, "timestampHeader": TIMESTAMP}
    return (ContactPoint(OWN, (Receiver(uid=f"{OWN}-webhook", kind="webhook", settings=told),)),)


def route(settings: GrafanaSettings, below: tuple[Route, ...] = ()) -> Route | None:
    """Return our policy; `below` are policies that come before the others, those of planned stops.

    A station is told in one message for each kind, so that a bad night is not a message for each house, and a message
    is of one kind of ticket. What is critical is told without waiting for more of it.
    """
    if not settings.webhook_url:
        return None
    critical = Route(
        receiver=OWN,
        matchers=(("severity", "=", Severity.CRITICAL.value),),
        group_wait_s=10,
        group_interval_s=MINUTE_S,
        repeat_interval_s=HOUR_S,
    )
    return Route(
        receiver=OWN,
        group_by=("station", "kind"),
        group_wait_s=30,
        group_interval_s=5 * MINUTE_S,
        repeat_interval_s=4 * HOUR_S,
        routes=(*below, critical),
    )
