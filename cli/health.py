"""`heatwatch health`: whether the `serve` of these settings can do its work.

Containers ask it every half minute: it loads nothing but the settings.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, build_opener

import click

from heatwatch.errors import HeatwatchError
from heatwatch.settings import Settings

ANSWER_S = 5.0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print each check as JSON.")
def health(*, as_json: bool) -> None:
    """Ask the `serve` of these settings, on this machine, whether it can do its work: exit code 0 if so."""
    settings = Settings.read()
    port = settings.health_port or settings.api_port
    host = settings.health_host if settings.health_port else settings.api_host
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - what listens everywhere is asked here
    told = _asked(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
    failing = [check["name"] for check in told["checks"] if not check["ok"]]
    click.echo(json.dumps(told) if as_json else "ready" if told["ready"] else f"not ready: {', '.join(failing)}")
    if not told["ready"]:
        raise click.exceptions.Exit(1)


def _asked(url: str) -> dict[str, Any]:
    try:
        with build_opener(ProxyHandler({})).open(f"{url}/health/ready", timeout=ANSWER_S) as answer:
            body = answer.read()
    except HTTPError as error:
        if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
            raise HeatwatchError(f"{url} answers {error.code}") from error
        body = error.read()
    except (URLError, OSError) as error:
        raise HeatwatchError(f"nothing answers at {url}: {getattr(error, 'reason', error)}") from error
    told: dict[str, Any] = json.loads(body)
    return told
