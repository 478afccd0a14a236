"""What single faults make of temperatures, times and deliveries."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from heatwatch.domain.instants import HOUR_MS, MINUTE_MS, SECOND_MS
from heatwatch.errors import BadInput
from simulators.physics.model import INTERVALS_PER_BLOCK
from simulators.publishing.encoding import Encoder
from simulators.thermometers.faults import Fault
from simulators.thermometers.value_faults import (
    BatteryDeath,
    Drift,
    Interval,
    Moved,
    Noise,
    Offset,
    Replaced,
    Resolution,
    Sentinel,
    Spikes,
    Stuck,
)
from simulators.thermometers.way_faults import (
    Duplicates,
    GatewayOutage,
    LocalClock,
    ManyWithoutTimes,
    NetworkOutage,
    OffsetClock,
    OutOfOrder,
    Retained,
    Sleeps,
    StoresAndForwards,
    UnsetClock,
)
from simulators.towns.town import Town
from tests.simulators.faulty import END_MS, FLAT, SPAN, START_MS, calm, inside, ms, town_with


def said(*faults: Fault) -> pd.DataFrame:
    """Return what a room is said to be, by its thermometer with faults and by that without."""
    flat = [
        frame[frame["point_id"] == FLAT.name] for frame in (town_with(*faults).truth_readings(START_MS, END_MS), calm())
    ]
    assert len(flat[0]) == len(flat[1])
    return flat[0].reset_index(drop=True).assign(calm_c=flat[1]["temperature_c"].to_numpy())


class TestValues:
    """What single faults make of temperatures."""

    def test_an_offset_and_a_drift_add_up(self) -> None:
        truth = said(Offset(FLAT, *SPAN, by_k=2.0), Drift(FLAT, *SPAN, k_per_day=12.0))
        here = truth["fault"] == "drift+offset"
        hours = (ms(truth["time"]) - SPAN[0]) / HOUR_MS
        wrong_k = (truth["temperature_c"] - truth["calm_c"])[here]
        assert (wrong_k - 2.0 - hours[here] / 2.0).abs().max() < 0.11
        assert here.sum() == inside(truth, FLAT).sum()

    def test_a_sensor_that_is_stuck_repeats_its_first_reading(self) -> None:
        truth = said(Stuck(FLAT, *SPAN))
        here = truth["fault"] != ""
        assert set(truth.loc[here, "temperature_c"]) == {truth.loc[here, "calm_c"].iloc[0]}

    def test_it_does_so_however_the_window_lies(self) -> None:
        fault = Stuck(FLAT, START_MS + 47 * 5 * MINUTE_MS + 290 * SECOND_MS, END_MS)
        whole = town_with(fault).truth_readings(START_MS, END_MS)
        late = town_with(fault).truth_readings(END_MS - HOUR_MS, END_MS)
        assert_frame_equal(late, whole[ms(whole["time"]) >= END_MS - HOUR_MS].reset_index(drop=True))

    def test_its_first_reading_is_one_that_was_made(self) -> None:
        """The new thermometer comes four blocks later, and measures once an hour."""
        come_ms = START_MS + 16 * HOUR_MS + 30 * MINUTE_MS
        faults = (
            Replaced(FLAT, START_MS, come_ms, offset_k=3.0),
            Interval(FLAT, START_MS, END_MS, interval_s=3_600),
            Stuck(FLAT, START_MS + HOUR_MS, END_MS),
        )
        whole = town_with(*faults).truth_readings(START_MS, END_MS)
        stuck = whole[whole["point_id"] == FLAT.name]
        felt = town_with(*faults[:2]).truth_readings(START_MS, END_MS).query("point_id == @FLAT.name")
        assert set(stuck["temperature_c"]) == {felt["temperature_c"].iloc[0]}
        late = town_with(*faults).truth_readings(END_MS - HOUR_MS, END_MS)
        assert_frame_equal(late, whole[ms(whole["time"]) >= END_MS - HOUR_MS].reset_index(drop=True))

    def test_or_a_number_that_is_given_and_before_it_what_it_felt(self) -> None:
        assert set(said(Stuck(FLAT, *SPAN, at_c=21.5)).query("fault != ''")["temperature_c"]) == {21.5}
        both = said(Stuck(FLAT, *SPAN), Offset(FLAT, *SPAN, by_k=5.0)).query("fault != ''")
        assert len(set(both["temperature_c"])) == 1
        assert both["temperature_c"].iloc[0] == pytest.approx(both["calm_c"].iloc[0] + 5.0, abs=0.06)

    @pytest.mark.parametrize("value_c", [85.0, -127.0, 327.67, 999.9])
    def test_a_sentinel_stands_for_a_share_of_readings(self, value_c: float) -> None:
        truth = said(Sentinel(FLAT, *SPAN, value_c=value_c, readings_share=0.3))
        hit = truth["fault"] == "sentinel"
        assert set(truth.loc[hit, "temperature_c"]) == {value_c}
        assert (truth.loc[~hit, "temperature_c"] == truth.loc[~hit, "calm_c"]).all()
        assert 0.15 < hit[inside(truth, FLAT)].mean() < 0.45

    def test_spikes_go_up_and_down_by_as_much(self) -> None:
        truth = said(Spikes(FLAT, *SPAN, readings_share=0.3, by_k=7.0))
        hit = truth["fault"] == "spikes"
        jump_k = (truth["temperature_c"] - truth["calm_c"])[hit].round(6)
        assert set(jump_k) == {-7.0, 7.0}

    def test_noise_and_resolution(self) -> None:
        noisy = said(Noise(FLAT, *SPAN, by_k=1.0)).query("fault != ''")
        assert 0.8 < (noisy["temperature_c"] - noisy["true_c"]).std() < 1.2
        coarse = said(Resolution(FLAT, *SPAN, step_k=0.25)).query("fault != ''")["temperature_c"]
        assert (coarse % 0.25 == 0.0).all()

    def test_on_a_window_sill_it_is_another_temperature_but_the_room_is_the_same(self) -> None:
        truth = said(Moved(FLAT, *SPAN, outdoor_share=0.5, sun_k=0.0))
        here = truth["fault"] != ""
        outdoor_c = town_with().weather.outdoor_c(ms(truth["time"]))
        felt_c = (truth["true_c"] + outdoor_c) / 2.0
        assert (truth["temperature_c"] - felt_c)[here].abs().max() < 0.5
        sunny = said(Moved(FLAT, *SPAN, outdoor_share=0.5, sun_k=20.0))
        assert (sunny["temperature_c"] - truth["temperature_c"]).max() > 1.0
        assert_frame_equal(sunny[["true_c"]], truth[["true_c"]])

    def test_a_battery_runs_down_says_so_and_dies(self) -> None:
        town = town_with(BatteryDeath(FLAT, *SPAN))
        sent = town.sent(START_MS, END_MS).query(f"point_id == '{FLAT.name}' and not copy")
        assert sent["time_ms"].max() < SPAN[1]
        assert SPAN[1] - sent["time_ms"].max() <= 5 * MINUTE_MS
        falling = sent[sent["time_ms"] >= SPAN[0]]
        assert (falling["battery_pct"].diff().dropna() <= 0).all()
        assert falling["battery_pct"].iloc[-1] == 0
        np.testing.assert_array_equal(sent["flags"] == "low_battery", sent["battery_pct"] < 15)

    def test_a_new_device_has_a_new_battery(self) -> None:
        middle_ms = SPAN[0] + 6 * HOUR_MS
        town = town_with(BatteryDeath(FLAT, *SPAN), Replaced(FLAT, middle_ms - HOUR_MS, middle_ms))
        sent = town.sent(START_MS, END_MS).query(f"point_id == '{FLAT.name}' and not copy")
        new = sent[sent["time_ms"] >= middle_ms]
        assert new["battery_pct"].min() >= 99
        assert new["seq"].tolist() == list(range(len(new)))
        assert END_MS - new["time_ms"].max() <= 5 * MINUTE_MS
        assert not sent["time_ms"].between(middle_ms - HOUR_MS, middle_ms - 1).any()
        assert sent["device_id"].astype(str).str[-2:].tolist() == ["T1"] * (len(sent) - len(new)) + ["T2"] * len(new)


class TestWay:
    """What single faults make of times and deliveries."""

    @staticmethod
    def truth(fault: Fault) -> pd.DataFrame:
        found = town_with(fault).truth_readings(START_MS, END_MS)
        return found[found["point_id"] == FLAT.name].reset_index(drop=True)

    def test_clocks(self) -> None:
        unset = self.truth(UnsetClock(FLAT, *SPAN)).query("fault != ''")
        np.testing.assert_array_equal(ms(unset["claimed"]), ms(unset["time"]) - SPAN[0])
        assert not unset["kept"].any()
        for fault, by_ms in (
            (OffsetClock(FLAT, *SPAN, by_s=599.999), 599_999),
            (OffsetClock(FLAT, *SPAN, by_s=600.0), 600_000),
            (OffsetClock(FLAT, *SPAN, by_s=-7200.0), -2 * HOUR_MS),
            (LocalClock(FLAT, *SPAN), 8 * HOUR_MS),
            (LocalClock(FLAT, *SPAN, utc_offset_h=-5.0), -5 * HOUR_MS),
        ):
            wrong = self.truth(fault).query("fault != ''")
            np.testing.assert_array_equal(ms(wrong["claimed"]) - ms(wrong["time"]), by_ms)
            assert wrong["kept"].all() == (by_ms < 600_000)
            assert len(set(wrong["kept"])) == 1

    def test_history_ahead_of_its_time_is_kept_when_it_comes_late_enough(self) -> None:
        truth = town_with(OffsetClock(FLAT, *SPAN, by_s=3_600.0), StoresAndForwards(FLAT, *SPAN, every_h=4.0))
        found = truth.truth_readings(START_MS, END_MS).query("fault != ''")
        np.testing.assert_array_equal(found["kept"], ms(found["arrived"]) - ms(found["time"]) > 50 * MINUTE_MS)
        assert set(found["kept"]) == {True, False}

    def test_history_comes_in_bursts(self) -> None:
        fault = StoresAndForwards(FLAT, *SPAN, every_h=5.0)
        stored = self.truth(fault).query("fault != ''")
        bursts = (ms(stored["arrived"]) // MINUTE_MS * MINUTE_MS - SPAN[0]) / HOUR_MS
        assert sorted(set(np.floor(bursts * 60) / 60)) == pytest.approx(
            [5.0, 10.0, (SPAN[1] - SPAN[0]) / HOUR_MS], abs=0.02
        )
        sent = town_with(fault).sent(START_MS, END_MS).query("group >= 0")
        messages = Encoder(town_with().points()).encode(sent)
        assert messages.sizes.tolist() == [60, 60, 29]
        first = json.loads(messages.payloads[0])
        assert len({one["ts"] for one in first}) == 60

    def test_a_longer_message_than_200_readings_is_cut(self) -> None:
        sent = town_with(StoresAndForwards(FLAT, START_MS, END_MS, every_h=24.0)).sent(START_MS, END_MS + MINUTE_MS)
        messages = Encoder().encode(sent.query("group >= 0"))
        assert messages.sizes.tolist() == [200, 88, 72]

    def test_of_many_readings_only_the_newest_has_a_time(self) -> None:
        sent = town_with(ManyWithoutTimes(FLAT, *SPAN, count=6)).sent(START_MS, END_MS).query("group >= 0")
        messages = Encoder().encode(sent)
        for payload in messages.payloads:
            times = [one.get("ts") for one in json.loads(payload)]
            assert times[:-1] == [None] * (len(times) - 1)
            assert times[-1] is not None
        truth = self.truth(ManyWithoutTimes(FLAT, *SPAN, count=6)).query("fault != ''")
        assert truth["kept"].sum() == len(messages) == truth["claimed"].notna().sum()
        assert len(truth) == messages.sizes.sum()
        assert messages.sizes.max() == 6

    def test_what_does_not_change_is_not_sent(self) -> None:
        change_k, longest_h = 0.3, 1.5
        truth = self.truth(Sleeps(FLAT, *SPAN, change_k=change_k, longest_h=longest_h))
        first_ms, last_c, last_ms = START_MS, np.nan, 0
        for time, temp_c, arrived, fault in truth[["time", "temperature_c", "arrived", "fault"]].itertuples(
            index=False
        ):
            now_ms = int(time.timestamp() * 1000)
            block_ms = (
                START_MS
                + (now_ms - START_MS) // (INTERVALS_PER_BLOCK * 5 * MINUTE_MS) * INTERVALS_PER_BLOCK * 5 * MINUTE_MS
            )
            new = block_ms != first_ms or np.isnan(last_c)
            changed = abs(temp_c - last_c) > change_k - 1e-6
            wanted = not fault or new or changed or now_ms - last_ms >= longest_h * HOUR_MS
            assert pd.notna(arrived) == wanted
            if wanted:
                last_c, last_ms = temp_c, now_ms
            first_ms = block_ms
        assert truth["arrived"].isna().sum() > 30

    def test_another_interval(self) -> None:
        truth = self.truth(Interval(FLAT, *SPAN, interval_s=1_200))
        assert (truth.query("fault != ''")["time"].diff().dropna() == pd.Timedelta("20min")).all()
        for interval_s in (0, 301, 100):
            with pytest.raises(BadInput, match="whole multiple"):
                town_with(Interval(FLAT, *SPAN, interval_s=interval_s))

    def test_duplicates_come_again_later(self) -> None:
        sent = town_with(Duplicates(FLAT, *SPAN, readings_share=0.5, within_s=900.0)).sent(START_MS, END_MS)
        flat = sent[(sent["point_id"] == FLAT.name) & sent["time_ms"].between(SPAN[0], SPAN[1] - 1)]
        again = flat[flat["copy"]]
        later_ms = again["sent_ms"] - again["time_ms"]
        assert later_ms.between(0, 900_000).all()
        assert later_ms.max() > 600_000
        assert 0.3 < len(again) / (~flat["copy"]).sum() < 0.7

    def test_some_come_out_of_order(self) -> None:
        sent = (
            town_with(OutOfOrder(FLAT, *SPAN)).sent(START_MS, END_MS).query(f"point_id == '{FLAT.name}' and not copy")
        )
        late_ms = sent["sent_ms"] - sent["time_ms"]
        assert late_ms.between(0, 900_000).all()
        assert (sent["time_ms"].diff().dropna() < 0).any()

    def test_retained_messages_say_so(self) -> None:
        sent = town_with(Retained(FLAT, *SPAN)).sent(*SPAN)
        for batch_ms in (None, MINUTE_MS):
            messages = Encoder(town_with().points(), batch_ms=batch_ms).encode(sent)
            assert messages.retained is not None
            retained = {topic for topic, one in zip(messages.topics, messages.retained, strict=True) if one}
            assert retained == {f"heat/S1/S1-B01/{FLAT.name}/reading"}
            assert messages.retained.sum() == (sent["point_id"] == FLAT.name).sum()

    @pytest.mark.parametrize("kind", [GatewayOutage, NetworkOutage])
    def test_an_outage_loses_what_was_sent_or_delivers_it_when_it_is_over(
        self, kind: type[GatewayOutage | NetworkOutage]
    ) -> None:
        lost, kept = (self.truth(kind(FLAT, *SPAN, keeps=keeps)).query("fault != ''") for keeps in (False, True))
        assert lost["arrived"].isna().all()
        assert set(ms(kept["arrived"])) == {SPAN[1]}
        assert kept["kept"].all()
        assert not lost["kept"].any()

    def test_an_outage_holds_back_what_is_sent_in_its_time(self) -> None:
        """History that was measured before the outage, but is due in it, waits too."""
        outage = (START_MS + 11 * HOUR_MS, START_MS + 15 * HOUR_MS)
        town = town_with(StoresAndForwards(FLAT, *SPAN, every_h=6.0), GatewayOutage(FLAT, *outage, keeps=True))
        truth = town.truth_readings(START_MS, END_MS).query(f"point_id == '{FLAT.name}'")
        first = truth[ms(truth["time"]) < SPAN[0] + 6 * HOUR_MS].query("fault != ''")
        assert set(ms(first["arrived"])) == {outage[1]}
        assert set(first["fault"]) == {"stores_and_forwards+gateway_outage"}
        assert_frame_equal(
            Town(town.settings).sent(outage[1] - 1, outage[1] + 1),
            town.sent(START_MS, END_MS).query(f"{outage[1] - 1} <= sent_ms < {outage[1] + 1}").reset_index(drop=True),
        )
