"""What is done to the plant in a run, and when: drawn from a seed, pure, and printable."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tests.faults.driver import (
    CrashServe,
    CutPublisher,
    Deed,
    KillBroker,
    KillServe,
    PauseBroker,
    PauseServe,
    ResumeBroker,
    ResumeServe,
    StartBroker,
    StartServe,
    StopBroker,
    StopServe,
    Timed,
)

STREAM = 23
SPAN = (0.02, 0.93)
"""Where in the load deeds are done: in its midst, so that there is something to disturb."""
BOTH_AT_ONCE, ONE_MORE, BESIDES_MOST = 0.35, 0.25, 2

Episode = Sequence[tuple[float, Deed]]
"""Deeds that belong together, each with how long after the one before it [s]."""


def faults(seed: int) -> list[Timed]:
    """Return what is done in the run of a seed, in order."""
    rng = np.random.default_rng([seed, STREAM])
    kinds = [BOTH] if rng.random() < BOTH_AT_ONCE else [SERVE, BROKER]
    kinds += [SERVE, BROKER][: int(rng.random() < ONE_MORE)]
    kinds += [BESIDES] * int(rng.integers(BESIDES_MOST, endpoint=True))
    episodes = [_draw(rng, among) for among in kinds]
    shares = np.sort(rng.uniform(*SPAN, len(episodes))).round(3).tolist()
    order = rng.permutation(len(episodes)).tolist()
    return [
        Timed(share, round(after_s, 3), deed)
        for share, number in zip(shares, order, strict=True)
        for after_s, deed in episodes[number]
    ]


def _draw(rng: np.random.Generator, among: Sequence[Callable[[np.random.Generator], Episode]]) -> Episode:
    return among[int(rng.integers(len(among)))](rng)


def _soon(rng: np.random.Generator) -> float:
    """Return a moment somewhere in a step or two [s]."""
    return float(rng.uniform(0.0, 0.06))


def _awhile(rng: np.random.Generator) -> float:
    return float(rng.uniform(0.05, 0.8))


def _end_of_serve(rng: np.random.Generator) -> Deed:
    return KillServe() if rng.random() < 0.75 else StopServe()


def _end_of_broker(rng: np.random.Generator) -> Deed:
    return KillBroker() if rng.random() < 0.5 else StopBroker()


def _serve_restarts(rng: np.random.Generator) -> Episode:
    return [(_soon(rng), _end_of_serve(rng)), (_awhile(rng) * 0.3, StartServe())]


def _serve_crashes_at_its_start(rng: np.random.Generator) -> Episode:
    return [
        (_soon(rng), _end_of_serve(rng)),
        (0.0, CrashServe(round(float(rng.uniform(0.8, 3.0)), 3))),
        (0.0, StartServe()),
    ]


def _serve_is_killed_while_paused(rng: np.random.Generator) -> Episode:
    return [(_soon(rng), PauseServe()), (_awhile(rng), KillServe()), (0.0, StartServe())]


def _serve_ends_as_it_comes(rng: np.random.Generator) -> Episode:
    """End it, and again as soon as it says that it is there: nothing that waited is done yet."""
    again = (_soon(rng) * (rng.random() < 0.5), _end_of_serve(rng))
    return [(_soon(rng), _end_of_serve(rng)), (0.0, StartServe()), again, (0.0, StartServe())]


def _broker_restarts(rng: np.random.Generator) -> Episode:
    return [(_soon(rng), _end_of_broker(rng)), (_awhile(rng), StartBroker())]


def _broker_flaps(rng: np.random.Generator) -> Episode:
    return [*_broker_restarts(rng), *_broker_restarts(rng)]


def _broker_restarts_under_a_paused_serve(rng: np.random.Generator) -> Episode:
    return [(_soon(rng), PauseServe()), *_broker_restarts(rng), (_soon(rng), ResumeServe())]


def _both_restart(rng: np.random.Generator) -> Episode:
    """Both end, in either order, and come back, in either order."""
    ends = [(_soon(rng), _end_of_serve(rng)), (_soon(rng), _end_of_broker(rng))]
    starts: list[tuple[float, Deed]] = [(_awhile(rng), StartServe()), (_awhile(rng), StartBroker())]
    return [*_shuffled(rng, ends), *_shuffled(rng, starts)]


def _broker_restarts_while_serve_is_away(rng: np.random.Generator) -> Episode:
    return [(_soon(rng), _end_of_serve(rng)), *_broker_restarts(rng), (_soon(rng), StartServe())]


def _broker_restarts_while_serve_comes(rng: np.random.Generator) -> Episode:
    return [
        (_soon(rng), _end_of_serve(rng)),
        (0.0, StartServe()),
        (1.0 + _awhile(rng), _end_of_broker(rng)),
        (_awhile(rng), StartBroker()),
    ]


def _pause_of_serve(rng: np.random.Generator) -> Episode:
    return [(_soon(rng), PauseServe()), (_awhile(rng), ResumeServe())]


def _pause_of_broker(rng: np.random.Generator) -> Episode:
    return [(_soon(rng), PauseBroker()), (_awhile(rng), ResumeBroker())]


def _cut(rng: np.random.Generator) -> Episode:
    return [(_soon(rng), CutPublisher())]


def _shuffled(rng: np.random.Generator, deeds: Sequence[tuple[float, Deed]]) -> Episode:
    return [deeds[number] for number in rng.permutation(len(deeds)).tolist()]


SERVE = (
    _serve_restarts,
    _serve_restarts,
    _serve_restarts,
    _serve_crashes_at_its_start,
    _serve_is_killed_while_paused,
    _serve_ends_as_it_comes,
)
BROKER = (_broker_restarts, _broker_restarts, _broker_flaps, _broker_restarts_under_a_paused_serve)
BOTH = (_both_restart, _broker_restarts_while_serve_is_away, _broker_restarts_while_serve_comes)
BESIDES = (_pause_of_serve, _pause_of_broker, _cut)
