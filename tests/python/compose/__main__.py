"""Runs both compose files with a real Docker engine, and shows what they stand. See tests/compose."""

import argparse
import os
import signal
import sys
import traceback
from pathlib import Path

import cluster
import images
import ledger
import single
from cuts import Cuts
from engine import Engine
from load import Load
from shell import Failed
from stack import Stack
from table import Row, show, verified

FILES = {
    "single": (["docker-compose.yml"], single.ALL),
    "cluster": (["docker-compose.yml", "docker-compose.cluster.yml"], cluster.ALL),
}


def main():
    asked = arguments()
    # Told to stop, it cleans up first, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    target = Path(os.environ.get("CARGO_TARGET_DIR", images.ROOT / "target")).resolve()
    engine = Engine(target / "compose")
    rows, wrong = [], []
    ledger.check()
    try:
        engine.start()
        images.make(engine)
        images.check_size(engine)
        for name, (files, scenarios) in FILES.items():
            chosen = [one for one in scenarios if wanted(asked, name, one)]
            if chosen or not asked.only or name in asked.only:
                rows += run_file(Stack(engine, files), name, chosen, asked.keep)
    except (Failed, KeyboardInterrupt) as error:
        wrong.append(f"{type(error).__name__}: {error}")
    finally:
        engine.keep() if asked.keep else engine.stop()
    show(rows)
    wrong += [f"{row.scenario}: {row.wrong}" for row in rows if row.wrong]
    print("\n".join(wrong) if wrong else "nothing lost, nothing out of order")
    sys.exit(1 if wrong else 0)


def arguments():
    parser = argparse.ArgumentParser(prog="tests/compose", description=__doc__)
    names = [title(name, one) for name, (_, scenarios) in FILES.items() for one in scenarios]
    parser.add_argument("--only", action="append", metavar="NAME", help=f"single, cluster, or of: {', '.join(names)}")
    parser.add_argument("--keep", action="store_true", help="leave the last stack running, and the engine")
    asked = parser.parse_args()
    unknown = set(asked.only or []) - set(FILES) - set(names)
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    return asked


def title(name, scenario):
    return f"{name}: {scenario.__name__.replace('_', ' ')}"


def wanted(asked, name, scenario):
    return not asked.only or name in asked.only or title(name, scenario) in asked.only


def run_file(stack, name, scenarios, keep):
    """Starts a stack, verifies it, and lets it stand each scenario. Ends it."""
    rows = []
    stack.down()
    try:
        print(f"{name}: up", flush=True)
        stack.up()
        stack.settled(300)
        rows.append(verified(name, stack.verify()))
        for scenario in scenarios:
            rows.append(run_scenario(stack, title(name, scenario), scenario))
            print(rows[-1].line(), flush=True)
            if rows[-1].stuck:
                break
        if not any(row.stuck for row in rows):
            rows.append(verified(f"{name}, at the end", stack.verify()))
        return rows
    except Failed as error:
        return [*rows, Row(f"{name}: up", wrong=str(error))]
    finally:
        if not keep:
            stack.down()


def run_scenario(stack, name, scenario):
    """Traffic, a fault in it, and what became of each acknowledged event."""
    load, cuts = Load(stack), Cuts(stack)
    load.start()
    wrong = []
    try:
        load.more()
        scenario(stack, load, cuts)
        load.more()
    except (Failed, AssertionError) as error:
        wrong.append(str(error))
    except Exception:
        wrong.append(traceback.format_exc())
    finally:
        load.stop()
        cuts.mend()
    stuck = False
    try:
        stack.settled()
    except Failed as error:
        wrong.append(str(error))
        stuck = True
    row = Row.of(name, load, load.all_arrive(), wrong)
    row.stuck = stuck
    return row if stuck else row.with_archive(stack, load)


main()
