"""How heatwatch logs: the standard library's loggers, written out by structlog's processors.

Parts log with `logging.getLogger(__name__)`, a few words for the event and its facts in `extra`. Not with structlog's
own loggers: these need a configuration before the first line, and print to standard output without one, where a
command's answer belongs. The standard library's are silent until asked, cost one comparison while their level is off,
and are what libraries use: every line, ours and theirs, goes through the same processors.

A line as `text` is for people at a terminal; as `json` it is one object: `time` (UTC), `level`, `logger`, `event`, then
the facts.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.processors import JSONRenderer, format_exc_info
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from heatwatch.domain.instants import iso
from heatwatch.settings import LogFormat

TOLD = "heatwatch"
OURS = (TOLD, "ingest", "analytics", "dispatch", "api", "dashboards", "simulators", "cli")
HANDLER = "heatwatch"
NO_FACTS = frozenset({"_record", "message", "asctime"})
"""What structlog and other handlers' formatters leave on a record."""
_facts = ExtraAdder()


def configure(log_format: LogFormat, *, level: int | None = None, stream: TextIO | None = None) -> None:
    """Let every line go to one place in one form; called again, in another.

    Parameters
    ----------
    log_format
        `text` says what is amiss, and what `heatwatch` itself tells; `json` has every line of ours from INFO on.
    level
        From which level on our own lines are written; None as the form has it. Libraries' are from WARNING on.
    stream
        Where to; None is standard error.
    """
    target = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(target)
    handler.set_name(HANDLER)
    handler.setFormatter(formatter(log_format, colors=target.isatty()))
    root = logging.getLogger()
    for one in [one for one in root.handlers if one.get_name() == HANDLER]:
        root.removeHandler(one)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in OURS:
        quiet = log_format is LogFormat.TEXT and name != TOLD
        logging.getLogger(name).setLevel((logging.WARNING if quiet else logging.INFO) if level is None else level)


def formatter(log_format: LogFormat, *, colors: bool = False) -> logging.Formatter:
    """Return what writes a record as a line."""
    return ProcessorFormatter(processors=[_lined_up, *_written(log_format, colors=colors)])


def _written(log_format: LogFormat, *, colors: bool) -> list[Processor]:
    if log_format is LogFormat.JSON:
        return [format_exc_info, JSONRenderer()]
    renderer = ConsoleRenderer(
        colors=colors,
        pad_event_to=0,
        sort_keys=False,
        repr_native_str=True,
        timestamp_key="time",
        exception_formatter=plain_traceback,
    )
    return [renderer]


def _lined_up(logger: WrappedLogger, method: str, said: EventDict) -> EventDict:
    """Put in front what every line begins with: lines tell when something was, not when it is written.

    Facts follow as they were given; one that bears a name of the head has it with a `_` behind.
    """
    record: logging.LogRecord = said["_record"]
    head = {
        "time": iso(int(record.created * 1000)),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": said["event"],
    }
    facts = {name: fact for name, fact in _facts(logger, method, {"_record": record}).items() if name not in NO_FACTS}
    raised = {name: said[name] for name in ("exc_info", "stack_info") if name in said}
    return {**head, **{f"{name}_" if name in head else name: fact for name, fact in facts.items()}, **raised}
