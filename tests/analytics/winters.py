"""A small town's week with a bit of everything, for tests that compare two ways of judging the same."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from analytics.judge import Findings
from heatwatch.domain.instants import HOUR_MS, MINUTE_MS
from heatwatch.domain.register import PointRow, Register
from heatwatch.domain.temperature import RoomClass
from heatwatch.files.findings_file import write_findings

START = datetime(2026, 1, 12, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)
DAYS = 6
POINTS = 40
INTERVAL_MS = 30 * MINUTE_MS


def point_name(number: int) -> str:
    """Return the name of a point."""
    return f"p{number:02}"


def town() -> Register:
    """Return eight buildings in two stations, five rooms each; one room is in two buildings, one after the other."""
    moves = START + timedelta(days=3)
    rows = [
        PointRow(
            point_id=point_name(number),
            building_id=f"b{number // 5}",
            station_id=f"s{number // 20}",
            room_class=RoomClass.APARTMENT,
            interval_s=INTERVAL_MS // 1000,
            valid_to=moves if number == POINTS - 1 else None,
        )
        for number in range(POINTS)
    ]
    moved = PointRow(
        point_id=point_name(POINTS - 1),
        building_id="b1",
        station_id="s0",
        room_class=RoomClass.APARTMENT,
        valid_from=moves,
    )
    return Register.of([*rows, moved])


def winter(seed: int) -> pd.DataFrame:
    """Return the readings of that town: cold rooms, outages, silences, stuck and broken thermometers, repeated rows."""
    rng = np.random.default_rng(seed)
    each = DAYS * 24 * HOUR_MS // INTERVAL_MS
    step = np.arange(each)
    temp_c = rng.normal(20.0, 1.5, (POINTS, 1)) + rng.normal(0, 0.2, (POINTS, each)) + np.sin(2 * np.pi * step / 48)
    temp_c[5:10, 100:140] -= np.minimum(np.arange(40) * 0.25, 6)  # b1 without heat
    temp_c[rng.integers(POINTS), 60:200] -= 4
    temp_c[3, 50:120] = 21.0
    temp_c = np.round(temp_c, 2)
    temp_c[rng.integers(POINTS, size=20), rng.integers(each, size=20)] = 85.0
    temp_c[rng.integers(POINTS, size=20), rng.integers(each, size=20)] = np.nan
    late_ms = (rng.random((POINTS, each)) < 0.05) * rng.integers(0, 10 * MINUTE_MS, (POINTS, each))
    time_ms = START_MS + step * INTERVAL_MS + np.arange(POINTS)[:, None] * 7_000 + late_ms
    heard = rng.random((POINTS, each)) > 0.1
    heard[20:, 180:220] = False  # s1 is silent
    heard[int(rng.integers(20)), 150:] = False
    point, at = np.nonzero(heard)
    again = rng.integers(len(point), size=60)
    point, at = np.append(point, point[again]), np.append(at, at[again])
    values = temp_c[point, at]
    values[-20:] += 0.5  # at the same instant another value
    names = np.array([point_name(number) for number in range(POINTS)])[point]
    names[rng.integers(len(names), size=10)] = "nobody"
    stamps = time_ms[point, at].view("datetime64[ms]")
    frame = pd.DataFrame(
        {"time": pd.DatetimeIndex(stamps, tz="UTC"), "point_id": pd.Categorical(names), "temperature_c": values}
    )
    return frame.sample(frac=1, random_state=seed, ignore_index=True)


def files_of(findings: Findings, folder: Path) -> dict[str, bytes]:
    """Return the files that findings are written to, by name."""
    write_findings(folder, findings.frames, findings.summary)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
