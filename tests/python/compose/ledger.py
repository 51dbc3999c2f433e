"""What arrived of what was acknowledged."""

import re
from dataclasses import dataclass, field
from datetime import datetime

# A line of the receiver's log: when, the event's id, its type, its key, which attempt.
ARRIVAL = re.compile(r"^(\S+)Z (run-\S+)-(\d+) \S+ key (\S+), attempt (\d+)")


@dataclass
class Tally:
    """What arrived of a run, in the order in which it arrived."""

    arrivals: int = 0
    out_of_order: int = 0
    worst_gap: float = 0.0  # the longest time in which a key got nothing
    seen: dict = field(default_factory=dict)  # by key: the numbers that came
    refusals: list = field(default_factory=list)

    def lost(self, accepted):
        return sum(len(set(range(count)) - self.seen.get(key, set())) for key, count in accepted.items())

    @property
    def different(self):
        return sum(map(len, self.seen.values()))


def arrived(stack, run, since):
    """Reads it from the receiver's log, which outlives the receiver."""
    log = stack.engine.docker("logs", "--timestamps", "--since", f"{since:.3f}", stack.one("receiver"))
    return tally_of(log.splitlines(), run)


def tally_of(lines, run):
    tally, last = Tally(), {}
    for line in lines:
        found = ARRIVAL.match(line)
        if not found:
            tally.refusals += [line] if " refused: " in line else []
            continue
        if not found.group(2).startswith(run):
            continue
        number, key, now = int(found.group(3)), found.group(4), when(found.group(1))
        tally.arrivals += 1
        seen = tally.seen.setdefault(key, set())
        if number not in seen and seen and number < max(seen):
            tally.out_of_order += 1
        seen.add(number)
        tally.worst_gap = max(tally.worst_gap, now - last.get(key, now))
        last[key] = now
    return tally


def when(text):
    """A moment with nanoseconds, which Python does not read."""
    return datetime.fromisoformat(text[:26] + "+00:00").timestamp()


def check():
    """Whether a loss, a step back, a repetition and a refusal are noticed at all."""

    def line(second, key, number):
        data = f'{{"run": "run-a", "key": "run-a-{key}", "n": {number}}}'
        event = f"run-a-{key}-{number} compose.numbered key run-a-{key}, attempt 1: {data}"
        return f"2026-01-02T03:04:{second:02}.123456789Z {event}"

    lines = [line(1, "k0", 0), line(2, "k0", 2), line(7, "k0", 1), line(8, "k0", 2), line(9, "k1", 0)]
    lines += ["2026-01-02T03:04:10.123456789Z refused: no signature"]
    tally = tally_of(lines, "run-a")
    found = (tally.arrivals, tally.different, tally.out_of_order, tally.worst_gap, len(tally.refusals))
    assert found == (5, 4, 1, 5.0, 1), found
    assert tally.lost({"run-a-k0": 3, "run-a-k1": 3}) == 2
    assert tally_of(lines, "run-b").arrivals == 0
