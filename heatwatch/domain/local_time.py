"""Local time: where its distance from UTC changes, and at which moments it is round."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS, MS, from_ms

_ROUND_MS = (15 * MINUTE_MS, HOUR_MS, 3 * HOUR_MS, 6 * HOUR_MS, 12 * HOUR_MS, DAY_MS, 2 * DAY_MS, 7 * DAY_MS)


def offsets(zone: ZoneInfo, start_ms: int, end_ms: int) -> list[tuple[int, int]]:
    """Return the offsets of local time from UTC in a window, each with the moment from which it holds [ms, ms].

    Changes are looked for from day to day and halved down to the millisecond: two within a day are found as one only
    if they cancel out, which no zone has done.
    """
    found = [(start_ms, _offset_ms(zone, start_ms))]
    for day_ms in range(start_ms, end_ms, DAY_MS):
        low, high = day_ms, min(day_ms + DAY_MS, end_ms)
        if _offset_ms(zone, high) == found[-1][1]:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _offset_ms(zone, middle) == found[-1][1] else (low, middle)
        found.append((high, _offset_ms(zone, high)))
    return [one for one in found if one[0] < end_ms or one is found[0]]


def round_moments(start_ms: int, end_ms: int, zone: ZoneInfo, most: int) -> list[int]:
    """Return the moments of a window, both ends included, at which local time is round: at most about `most` [ms].

    >>> round_moments(1_764_000_000_000, 1_764_021_600_000, ZoneInfo("Asia/Shanghai"), 2)
    [1764000000000, 1764010800000, 1764021600000]
    """
    wide = [step for step in _ROUND_MS if (end_ms - start_ms) / step <= most]
    step = wide[0] if wide else max(_ROUND_MS[-1], -(-(end_ms - start_ms) // (most * DAY_MS)) * DAY_MS)
    shifts = offsets(zone, start_ms, end_ms)
    ends = [at for at, _ in shifts[1:]] + [end_ms + 1]
    return [
        local - shift
        for (at, shift), end in zip(shifts, ends, strict=True)
        for local in range(-(-(at + shift) // step) * step, end + shift, step)
    ]


def _offset_ms(zone: ZoneInfo, ms: int) -> int:
    offset = from_ms(ms).astimezone(zone).utcoffset() or timedelta()
    return offset // MS
