"""What the load generator can be ordered to do."""

from __future__ import annotations

from bench.load.accepts import accepts
from bench.load.paced import finished, paced, settled
from bench.load.reads import reads
from bench.load.rest import rest_accepts, rest_delays, rest_reads
from bench.load.runs import completed, one_by_one
from bench.load.waits import waits
from bench.load.watches import WATCHERS, delays, event_delays, tokens
from bench.orders import Scenario, obey

SCENARIOS: dict[str, Scenario] = {
    "accepts": accepts,
    "completed": completed,
    "delays": delays,
    "event_delays": event_delays,
    "finished": finished,
    "one_by_one": one_by_one,
    "paced": paced,
    "reads": reads,
    "rest_accepts": rest_accepts,
    "rest_delays": rest_delays,
    "rest_reads": rest_reads,
    "settled": settled,
    "tokens": tokens,
    "waits": waits,
    "watchers_close": WATCHERS.close,
    "watchers_open": WATCHERS.open,
}

if __name__ == "__main__":
    obey(SCENARIOS)
