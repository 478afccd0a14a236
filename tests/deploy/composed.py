"""`docker-compose.yml` as Compose reads it: merged, with variables put in."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
OURS = "heatwatch:"
_VARIABLE = re.compile(r"\$\$|\$\{(\w+)(?::-([^}]*))?\}|\$")


def interpolated(value: Any) -> Any:
    """Return a value with its variables replaced by their defaults, as in a shell that sets none of them."""
    if isinstance(value, dict):
        return {key: interpolated(one) for key, one in value.items()}
    if isinstance(value, list):
        return [interpolated(one) for one in value]
    if not isinstance(value, str):
        return value

    def put_in(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        assert found[1], f"a lone $ in {value!r}"
        assert found[2] is not None, f"{found[0]} has no default"
        return found[2]

    return _VARIABLE.sub(put_in, value)


@cache
def composed() -> Any:
    """Return the whole file."""
    return interpolated(yaml.safe_load(FILE.read_text(encoding="utf-8")))


def services() -> dict[str, dict[str, Any]]:
    """Return every service by its name, those of profiles too."""
    found: dict[str, dict[str, Any]] = composed()["services"]
    return found


def ours() -> dict[str, dict[str, Any]]:
    """Return the services that run this project's own image."""
    return {name: service for name, service in services().items() if service["image"].startswith(OURS)}


def roles() -> dict[str, dict[str, Any]]:
    """Return the services that serve a role, by the role; one worker of ingest."""
    serving = {name: one for name, one in ours().items() if one.get("command", [])[:2] == ["serve", "--role"]}
    return {one["command"][2]: one for one in serving.values() if "profiles" not in one}


def mounts(service: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """Return what is mounted by where: its source, and whether it is read-only."""
    found = {}
    for volume in service.get("volumes", []):
        if isinstance(volume, dict):
            found[volume["target"]] = (volume["source"], bool(volume.get("read_only")))
        else:
            source, target, *mode = volume.split(":")
            found[target] = (source, mode == ["ro"])
    return found


def secret_files(service: dict[str, Any]) -> dict[str, str]:
    """Return the file of each secret of a service by where the service finds it."""
    known = composed()["secrets"]
    found = {}
    for secret in service.get("secrets", []):
        named = {"source": secret, "target": secret} if isinstance(secret, str) else secret
        target = named["target"] if named["target"].startswith("/") else f"/run/secrets/{named['target']}"
        found[target] = known[named["source"]]["file"]
    return found


def unit(path: Path) -> dict[str, list[tuple[str, str]]]:
    """Return the lines of a unit by section; options may stand in it several times."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), [])
        elif line.strip() and not line.startswith("#"):
            name, equals, value = line.partition("=")
            assert equals, line
            section.append((name, value))
    return found
