"""`heatwatch dashboards feed --again`: InfluxDB is told everything anew."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from cli.dashboards import dashboards
from heatwatch.records.database import Records
from heatwatch.settings import Settings
from heatwatch.usecases.feeding import begin, feed_progress, move_on


def test_it_forgets_how_far_was_told(tmp_path: Path) -> None:
    records = Records(Settings.read(data_dir=tmp_path).records_url)
    records.migrate()
    with records.write() as session:
        begin(session)
        session.flush()
        move_on(session, 0, change_seq=7, hours_key="x")
    done = CliRunner().invoke(dashboards, ["feed", "--again", "--data-dir", str(tmp_path)])
    assert done.exit_code == 0, done.output
    with records.write() as session:
        move_on(session, 0, change_seq=8)  # by who had read before
    with records.read() as session:
        told = feed_progress(session)
        assert told is not None
        assert (told.change_seq, told.hours_key, told.generation) == (0, "", 1)
    records.close()
