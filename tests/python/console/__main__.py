"""What somebody does with the console, in a real browser: `python tests/python/console WHAT…`; all of it without one.

LANEWAY_BIN is the binary. Debian's chromium and chromium-driver have to be there.
"""

import sys

import costs
import journeys
import pages
import tenants

ALL = {it.__name__: it for it in (*journeys.ALL, *pages.ALL, *tenants.ALL)}
ASKED_FOR = {"pictures": pages.pictures, "costs": costs.costs}

if __name__ == "__main__":
    for name in sys.argv[1:] or ALL:
        (ALL | ASKED_FOR)[name]()
        print(f"{name}: as it should be", flush=True)
