"""The stores and records that settings name, opened; and the one clock of the machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from heatwatch.errors import BadInput
from heatwatch.records.database import Records
from heatwatch.settings import Settings, StoreKind
from heatwatch.stores.closed_days import ClosedDays
from heatwatch.stores.embedded import EmbeddedReadings
from heatwatch.stores.influx.connecting import open_readings
from heatwatch.stores.readings import ReadingStore
from heatwatch.usecases.turns import turns


def wall_clock() -> int:
    """Return the time [ms]: the only place that asks the machine for it."""
    return time.time_ns() // 1_000_000


@contextmanager
def open_records(settings: Settings) -> Iterator[Records]:
    """Open the records, brought up to this version's tables.

    Raises
    ------
    BadInput
        If the data folder cannot be one.
    """
    try:
        settings.data_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot be the data folder: {error.strerror}", where=str(settings.data_dir)) from error
    records = Records(settings.records_url)
    try:
        records.migrate()
        yield records
    finally:
        records.close()


@contextmanager
def open_store(settings: Settings, records: Records, *, read_only: bool = False) -> Iterator[ReadingStore]:
    """Open the store of readings.

    Parameters
    ----------
    records
        Of the same installation: by them several processes that write take turns.
    read_only
        Whether nothing will be written: of an embedded store other readers may be there too.

    Raises
    ------
    BadInput
        If a file of its access is amiss.
    Unavailable
        If another process holds an embedded store.
    """
    if settings.store is StoreKind.EMBEDDED:
        store: ReadingStore = EmbeddedReadings(settings.readings_path, read_only=read_only)
    else:
        store = open_readings(settings, turn=turns(records, settings.worker))
    with closing(store):
        yield store


def long_looks(settings: Settings, store: ReadingStore) -> ReadingStore:
    """Return a store that reads closed days from copies, where that is faster than to ask the store itself."""
    if settings.store is StoreKind.EMBEDDED or not settings.copy_days:
        return store
    return ClosedDays(store, settings.copies_dir, most_days=settings.copy_days)
