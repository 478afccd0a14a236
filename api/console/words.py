"""Moments, lengths of time and temperatures as people read them, in one language and zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from api.console.texts import Language, say
from heatwatch.domain.instants import DAY_MS, HOUR_MS, MINUTE_MS, from_ms, iso


@dataclass(frozen=True, slots=True)
class Words:
    """Writes for one language and zone.

    Examples
    --------
    >>> words = Words("zh", ZoneInfo("Asia/Shanghai"))
    >>> words.when(1764038400000), words.span(3 * HOUR_MS + 5 * MINUTE_MS), words.temp(17.449)
    ('11月25日 10:40', '3 小时 5 分', '17.4 ℃')
    """

    language: Language
    zone: ZoneInfo

    def t(self, key: str, **values: object) -> str:
        """Return a text."""
        return say(self.language, key, **values)

    def t_of(self, family: str, name: object, **values: object) -> str:
        """Return a text of a family whose members are named by data, such as the kinds of tickets."""
        return say(self.language, f"{family}.{name}", **values)

    def when(self, ms: int) -> str:
        """Write a moment to the minute."""
        at = self.local(ms)
        month = at.month if self.language == "zh" else say(self.language, f"month.{at.month}")
        return self.t("moment", month=month, day=at.day, time=f"{at:%H:%M}")

    def clock(self, ms: int) -> str:
        """Write a moment to the second, with its day."""
        return f"{self.local(ms):%Y-%m-%d %H:%M:%S}"

    def span(self, ms: int) -> str:
        """Write a length of time to the minute; of more than a day to the hour."""
        minutes = max(0, ms) // MINUTE_MS
        days, hours = ms // DAY_MS, ms % DAY_MS // HOUR_MS
        if days > 0:
            return self.t("span.days", days=days, hours=hours)
        if minutes >= HOUR_MS // MINUTE_MS:
            return self.t("span.hours", hours=hours, minutes=minutes % 60)
        return self.t("span.minutes", minutes=minutes)

    def temp(self, temp_c: float) -> str:
        """Write a temperature [degC] to a tenth."""
        return self.t("temp.value", temp=f"{temp_c:.1f}")

    def local(self, ms: int) -> datetime:
        """Return a moment in the company's zone."""
        return from_ms(ms).astimezone(self.zone)

    def iso(self, ms: int) -> str:
        """Write a moment as machines read it."""
        return iso(ms)
