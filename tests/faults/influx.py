"""The plant with an InfluxDB 1.x as its store, behind a proxy in changing moods."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

import numpy as np

from heatwatch.settings import Settings, StoreKind
from heatwatch.stores.influx.connecting import open_readings
from heatwatch.stores.readings import ReadingColumns
from tests.faults.driver import Deed, KillServe, Plant, StartServe, Timed
from tests.influxdb import influxdb1
from tests.proxy import CALM, Mood, Proxy

STREAM = 29
SPAN = (0.04, 0.9)
ANSWER_S = 0.5
"""How long `serve` waits for an answer here."""
WRITES = "/write"
MOODS = (
    *(Mood(status=status, forward=False) for status in (401, 403, 404, 429, 500, 503)),
    *(Mood(status=status, only=WRITES) for status in (400, 422, 500, 503)),
    Mood(status=413, forward=False, only=WRITES, over_bytes=400),
    Mood(delay_s=2 * ANSWER_S),
    Mood(delay_s=0.6 * ANSWER_S),
    Mood(cut=True),
    Mood(cut=True, forward=False),
    Mood(cut=True, only=WRITES),
)
"""It refuses by itself; or it lets the server take what is written, and says that this went wrong."""


class InfluxPlant(Plant):
    """A plant whose readings are kept in an InfluxDB 1.x."""

    def _open_store(self, stack: ExitStack) -> dict[str, str]:
        (self.folder / "influxdb").mkdir()
        self.influx = stack.enter_context(influxdb1(self.folder / "influxdb"))
        self.proxy = stack.enter_context(Proxy(self.influx.url))
        named = {"STORE": StoreKind.INFLUXDB_1, "INFLUX_URL": self.proxy.url, "INFLUX_TIMEOUT_S": str(ANSWER_S)}
        return {f"HEATWATCH_{name}": str(value) for name, value in named.items()}

    def mend(self) -> None:
        """Put everything right again."""
        self.proxy.mood = CALM
        self.influx.send_signal(signal.SIGCONT)
        if not self.influx.running:
            self.influx.start()
        super().mend()

    def _stored(self) -> ReadingColumns:
        settings = Settings(store=StoreKind.INFLUXDB_1, influx_url=self.influx.url)
        with closing(open_readings(settings)) as store:
            return store.read()


@dataclass(frozen=True)
class Feel:
    """The proxy is in a mood from now on."""

    mood: Mood

    def do(self, plant: Plant) -> None:
        assert isinstance(plant, InfluxPlant)
        plant.proxy.mood = self.mood


@dataclass(frozen=True)
class EndInflux:
    """InfluxDB ends: as at a power cut, or asked to."""

    kill: bool

    def do(self, plant: Plant) -> None:
        assert isinstance(plant, InfluxPlant)
        plant.influx.kill() if self.kill else plant.influx.stop()


@dataclass(frozen=True)
class StartInflux:
    """InfluxDB starts."""

    def do(self, plant: Plant) -> None:
        assert isinstance(plant, InfluxPlant)
        plant.influx.start()


@dataclass(frozen=True)
class SignalInflux:
    """InfluxDB stands still (SIGSTOP), or goes on (SIGCONT)."""

    number: signal.Signals

    def do(self, plant: Plant) -> None:
        assert isinstance(plant, InfluxPlant)
        plant.influx.send_signal(self.number)


Episode = Sequence[tuple[float, Deed]]


def influx_faults(seed: int) -> list[Timed]:
    """Return what is done in the run of a seed: every mood once, and the server ends, stops and stands still."""
    rng = np.random.default_rng([seed, STREAM])
    episodes = [_mood(rng, mood) for mood in MOODS] + [draw(rng) for draw in SERVER]
    shares = np.sort(rng.uniform(*SPAN, len(episodes))).round(3).tolist()
    order = rng.permutation(len(episodes)).tolist()
    return [
        Timed(share, round(after_s, 3), deed)
        for share, number in zip(shares, order, strict=True)
        for after_s, deed in episodes[number]
    ]


def _mood(rng: np.random.Generator, mood: Mood) -> Episode:
    return [(float(rng.uniform(0, 0.05)), Feel(mood)), (float(rng.uniform(0.1, 0.7)), Feel(CALM))]


def _ends(rng: np.random.Generator, *, kill: bool) -> Episode:
    return [(float(rng.uniform(0, 0.05)), EndInflux(kill)), (float(rng.uniform(0.0, 0.5)), StartInflux())]


def _is_killed(rng: np.random.Generator) -> Episode:
    return _ends(rng, kill=True)


def _restarts(rng: np.random.Generator) -> Episode:
    return _ends(rng, kill=False)


def _stands_still(rng: np.random.Generator) -> Episode:
    pause = float(rng.uniform(0.2, 3 * ANSWER_S))
    return [(float(rng.uniform(0, 0.05)), SignalInflux(signal.SIGSTOP)), (pause, SignalInflux(signal.SIGCONT))]


def _both_are_killed(rng: np.random.Generator) -> Episode:
    """`serve` comes back before its store does."""
    return [
        (float(rng.uniform(0, 0.05)), EndInflux(kill=True)),
        (float(rng.uniform(0, 0.05)), KillServe()),
        (0.0, StartServe()),
        (float(rng.uniform(1.0, 2.0)), StartInflux()),
    ]


def _serve_is_killed_when_answers_are_lost(rng: np.random.Generator) -> Episode:
    return [
        (float(rng.uniform(0, 0.05)), Feel(Mood(cut=True, only=WRITES))),
        (float(rng.uniform(0.05, 0.3)), KillServe()),
        (0.0, StartServe()),
        (float(rng.uniform(0.5, 1.5)), Feel(CALM)),
    ]


SERVER: tuple[Callable[[np.random.Generator], Episode], ...] = (
    _is_killed,
    _restarts,
    _stands_still,
    _both_are_killed,
    _serve_is_killed_when_answers_are_lost,
)
