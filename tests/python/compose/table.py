"""What a scenario cost, as a row of a table."""

import re
from dataclasses import dataclass

from shell import Failed, until

HEAD = ["scenario", "events", "lost", "out of order", "duplicates", "worst gap", "refused"]


@dataclass
class Row:
    scenario: str
    events: int = 0
    lost: int = 0
    out_of_order: int = 0
    duplicates: int = 0
    worst_gap: float | None = None
    refused: int = 0
    wrong: str = ""
    stuck: bool = False  # What it was done to does not get well again.

    @classmethod
    def of(cls, name, load, tally, wrong):
        """`refused`: requests without a 202, which were repeated."""
        lost = tally.lost(load.accepted)
        duplicates = tally.arrivals - tally.different
        row = cls(name, load.total(), lost, tally.out_of_order, duplicates, tally.worst_gap, sum(load.refused.values()))
        wrong = [*wrong, *load.wrong[:3], *tally.refusals[:3]]
        wrong += [f"{lost} events are lost"] if lost else []
        wrong += [f"{tally.out_of_order} events came out of order"] if tally.out_of_order else []
        row.wrong = "; ".join(wrong)
        return row

    def with_archive(self, stack, load):
        """Also what is not in MongoDB is lost."""
        try:
            until("MongoDB has every event", lambda: stack.stored(load.run) >= self.events, 90)
        except Failed as error:
            self.lost += max(0, self.events - stack.stored(load.run))
            self.wrong = "; ".join(filter(None, [self.wrong, str(error)]))
        return self

    def cells(self):
        gap = "" if self.worst_gap is None else f"{self.worst_gap:.1f} s"
        numbers = [self.events, self.lost, self.out_of_order, self.duplicates]
        return [self.scenario, *(f"{number:,}" for number in numbers), gap, f"{self.refused:,}"]

    def line(self):
        told = [f"{value} {name}" for name, value in zip(HEAD[1:], self.cells()[1:])]
        return f"{self.scenario}: {', '.join(told)}" + (f" WRONG: {self.wrong}" if self.wrong else "")


# What `verify` says when all is well; otherwise it ends with 1.
VERIFIED = re.compile(r"verified: (\d+) events .* arrived in order, (\d+) of them more than once")


def verified(name, said):
    found = VERIFIED.search(said)
    if not found:
        return Row(f"{name}: verify", wrong=f"verify said: {said}")
    return Row(f"{name}: verify", events=int(found.group(1)), duplicates=int(found.group(2)))


def show(rows):
    cells = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEAD))]
    for number, row in enumerate(cells):
        padded = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]
        print("| " + " | ".join(padded) + " |")
        if number == 0:
            print("| " + " | ".join([widths[0] * "-", *((width - 1) * "-" + ":" for width in widths[1:])]) + " |")
