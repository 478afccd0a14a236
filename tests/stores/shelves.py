"""Ways to open stores of each kind in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from heatwatch.settings import StoreKind
from heatwatch.stores.embedded import EmbeddedReadings
from heatwatch.stores.influx.access import Access
from heatwatch.stores.influx.connecting import server_of
from heatwatch.stores.influx.readings import InfluxReadings, Turn
from heatwatch.stores.readings import ReadingStore
from tests.influxdb import ORGANIZATION, TOKEN, Influx1, Influx2


@dataclass(frozen=True)
class Shelf:
    """Opens stores of one kind: in the same folder, the same store.

    Attributes
    ----------
    kind
        As in the settings.
    examples
        How many examples a property is tried on.
    server
        The InfluxDB, where it is one.
    """

    kind: str
    examples: int
    server: Influx1 | Influx2 | None = None

    def __call__(self, folder: Path, turn: Turn | None = None) -> ReadingStore:
        """Open the store of a folder."""
        if self.server is None:
            return EmbeddedReadings(folder / "readings.duckdb")
        made = folder / "database"
        if not made.exists():
            self.server.create(_name(folder))
            made.touch()
        return InfluxReadings(server_of(access(self.server, folder, _name(folder))), turn=turn)

    @contextmanager
    def fresh(self) -> Iterator[ReadingStore]:
        """Give an empty store for one example of a property."""
        with TemporaryDirectory() as made:
            folder = Path(made)
            with closing(self(folder)) as store:
                yield store
            if self.server is not None:
                self.server.drop(_name(folder))


def access(server: Influx1 | Influx2, folder: Path, bucket: str, **more: object) -> Access:
    """Return how to get into a server; a token is put into the folder."""
    if server.version == "1":
        return Access(StoreKind.INFLUXDB_1, server.url, bucket, **more)  # type: ignore[arg-type]
    token = folder / "token"
    token.write_text(f"{TOKEN}\n")
    return Access(StoreKind.INFLUXDB_2, server.url, bucket, ORGANIZATION, token, **more)  # type: ignore[arg-type]


def _name(folder: Path) -> str:
    return f"{folder.parent.name} {folder.name}"
