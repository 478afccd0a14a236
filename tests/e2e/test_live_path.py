"""From a broker to a ticket, with real processes: what comes out live is what `judge` finds, whatever happens."""

import json
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from heatwatch.domain.findings import FindingKind
from heatwatch.wire import reading_topic
from tests.e2e.processes import Serve, run
from tests.peers import Mosquitto, wait_for

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
CLOCK = ("--clock", "replay")


def judged(out: Path, readings: Path, points: Path, now: str) -> dict[FindingKind, str]:
    """Return the files of an offline run over the same readings."""
    done = run("judge", readings, "--points", points, "--as-of", now, "--out", out)
    assert done.returncode == 0, done.stderr
    return {kind: (out / f"{kind.file_stem}.csv").read_text() for kind in FindingKind}


def found(serve: Serve) -> dict[FindingKind, str]:
    """Return the findings of a running service as the same files."""
    return {kind: serve.raw(f"findings/{kind}.csv") for kind in FindingKind}


def replayed(readings: Path, points: Path, serve: Serve, step: str) -> str:
    """Replay a file and return where the clock stands at the end."""
    done = run("replay", readings, "--points", points, "--to", serve.where["broker"], "--step", step, "--json")
    assert done.returncode == 0, done.stderr
    now: str = json.loads(done.stdout)["now"]
    return now


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real measurements are not beside the project")
def test_real_measurements_through_a_real_broker_give_the_findings_of_judge(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    readings, points = SHARED / "nab_ambient.csv.gz", SHARED / "nab_ambient.points.csv"
    broker = f"mqtt://{mosquitto.host}:{mosquitto.port}"
    assert run("points", "import", points, "--data-dir", tmp_path / "data").returncode == 0
    with Serve(tmp_path / "data", "--broker", broker, *CLOCK) as serve:
        now = replayed(readings, points, serve, "12h")
        assert found(serve) == judged(tmp_path / "judged", readings, points, now)
        delivery = serve.get("health")["delivery"]
        assert delivery["readings"]["stored"] == delivery["readings"]["decoded"] == 7267
        assert serve.get("tickets")["total"] > 0
        assert serve.stop() == 0


def small_town(folder: Path) -> tuple[Path, Path]:
    """Write two days of 12 rooms: cold ones, a building without heat, a gap, duplicates and a conflict."""
    rng = np.random.default_rng(11)
    minutes = np.arange(0, 48 * 60, 10)
    frames = []
    for room in range(12):
        temp_c = 21.0 - 0.2 * (room % 3) + rng.normal(0, 0.05, len(minutes))
        if room in {2, 9}:
            temp_c -= 4.0
        if room < 6:
            stopped = (minutes >= 20 * 60) & (minutes < 31 * 60)
            temp_c[stopped] -= (minutes[stopped] - 20 * 60) / 60 * 0.5
        keep = (room != 4) | (minutes < 5 * 60) | (minutes > 16 * 60)
        time = pd.Timestamp("2026-01-12T00:00:00Z") + pd.to_timedelta(minutes[keep] * 60 + room, unit="s")
        frames.append(pd.DataFrame({"time": time, "point_id": f"r/{room}", "temperature_c": temp_c[keep].round(2)}))
    rows = pd.concat(frames)
    rows = pd.concat(
        [rows, rows.sample(20, random_state=1), rows.sample(3, random_state=2).assign(temperature_c=19.125)]
    )
    rows["time"] = rows["time"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    rows.to_csv(folder / "readings.csv", index=False)
    points = pd.DataFrame({"point_id": [f"r/{room}" for room in range(12)]})
    points["building_id"] = ["b0"] * 6 + ["b1"] * 6
    points["station_id"], points["room_class"], points["interval_s"] = "s", "apartment", 600
    points.to_csv(folder / "points.csv", index=False)
    return folder / "readings.csv", folder / "points.csv"


def test_killed_in_the_middle_of_a_replay_it_loses_nothing_and_doubles_nothing(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    readings, points = small_town(tmp_path)
    assert run("points", "import", points, "--data-dir", tmp_path / "data").returncode == 0
    ended: list[str] = []
    broker = f"mqtt://{mosquitto.host}:{mosquitto.port}"
    with Serve(tmp_path / "data", "--broker", broker, *CLOCK) as serve:
        replay = threading.Thread(target=lambda: ended.append(replayed(readings, points, serve, "10min")))
        replay.start()
        rng = np.random.default_rng(5)
        for _ in range(3):
            time.sleep(float(rng.uniform(0.3, 1.2)))
            assert replay.is_alive(), "the replay was over before the kill"
            serve.kill()
            serve.start()
        replay.join(120)
        assert ended
        rows = pd.read_csv(readings)
        distinct = len(rows.drop_duplicates())
        delivery = serve.get("health")["delivery"]
        kept = delivery["readings"]["stored"] + delivery["readings"]["conflict"]
        assert kept == distinct
        assert delivery["readings"]["decoded"] >= len(rows)
        assert delivery["readings"]["decoded"] == kept + delivery["readings"]["duplicate"]
        assert found(serve) == judged(tmp_path / "judged", readings, points, ended[0])
        assert_one_ticket_per_cause(serve)
        before = {ticket["id"] for ticket in serve.get("tickets")["items"]}
        assert serve.stop() == 0
        serve.start()
        assert {ticket["id"] for ticket in serve.get("tickets")["items"]} == before
        assert serve.stop() == 0


def assert_one_ticket_per_cause(serve: Serve) -> None:
    """Every finding that is worth a ticket belongs to exactly one."""
    tickets = [serve.get(f"tickets/{ticket['id']}") for ticket in serve.get("tickets")["items"]]
    belongs = [finding["id"] for ticket in tickets for finding in ticket["findings"]]
    spells = serve.get("findings?kind=cold_spell&confirmed=true&limit=1000")["items"]
    outages = serve.get("findings?kind=heat_outage&limit=1000")["items"]
    assert sorted(belongs) == sorted(finding["id"] for finding in [*spells, *outages])
    assert {ticket["kind"] for ticket in tickets} == {"low_temperature", "heat_outage"}


def test_the_embedded_broker_serves_a_replay_too(tmp_path: Path) -> None:
    readings, points = small_town(tmp_path)
    assert run("points", "import", points, "--data-dir", tmp_path / "data").returncode == 0
    with Serve(tmp_path / "data", "--broker-port", 0, *CLOCK) as serve:
        now = replayed(readings, points, serve, "1h")
        assert found(serve) == judged(tmp_path / "judged", readings, points, now)
        assert serve.stop() == 0


def test_without_a_register_every_point_is_an_apartment_live_as_offline(tmp_path: Path) -> None:
    readings, _ = small_town(tmp_path)
    with Serve(tmp_path / "data", "--broker-port", 0, *CLOCK) as serve:
        done = run("replay", readings, "--to", serve.where["broker"], "--step", "1h", "--json")
        assert done.returncode == 0, done.stderr
        now = json.loads(done.stdout)["now"]
        offline = run("judge", readings, "--as-of", now, "--out", tmp_path / "judged")
        assert offline.returncode == 0
        spells = (tmp_path / "judged" / "cold_spells.csv").read_text()
        assert serve.raw("findings/cold_spell.csv") == spells
        assert serve.stop() == 0


def test_by_the_wall_clock_a_cold_room_has_its_ticket_at_once_and_the_future_is_quarantined(tmp_path: Path) -> None:
    now_ms = time.time_ns() // 1_000_000
    readings = [{"ts": now_ms - minutes * 60_000, "t": 15.0} for minutes in range(120, 0, -10)]
    strange = [{"ts": now_ms + 3_600_000, "t": 20.0}, {"ts": 0, "t": 20.0}]
    with Serve(tmp_path / "data", "--broker-port", 0) as serve:
        address = urlsplit(serve.where["broker"])
        client = mqtt.Client(CallbackAPIVersion.VERSION2)
        client.connect(str(address.hostname), int(address.port or 0))
        client.loop_start()
        topic = reading_topic("s", "b", "1-301")
        for payload in (json.dumps(readings), json.dumps(strange), "not json"):
            client.publish(topic, payload, qos=1).wait_for_publish(10)
        wait_for(lambda: serve.get("tickets")["total"] == 1, 30)
        client.disconnect()
        client.loop_stop()
        ticket = serve.get(f"tickets/{serve.get('tickets')['items'][0]['id']}")
        assert ticket["kind"] == "low_temperature"
        assert [reading["temperature_c"] for reading in ticket["evidence"]][:2] == [15.0, 15.0]
        delivery = serve.get("health")["delivery"]
        assert delivery["messages"] == {"received": 3, "decoded": 2, "no_reading": 0, "quarantined": 1, "waiting": 0}
        assert delivery["readings"]["stored"] == len(readings)
        assert delivery["readings"]["quarantined"] == len(strange)
        assert serve.get("quarantine")["total"] == 3
        assert serve.stop() == 0
