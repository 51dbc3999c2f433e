"""What the console costs: asked for by its name, for the figures in docs/console.md. LANEWAY_BIN should be optimised."""

import http.client
import os
import threading
import time

from scene import Laneway, Receiver, tempfile

DESTINATIONS, BLOCKED, SECONDS = 80_000, 1_000, 20


def cpu(pid):
    """Seconds of CPU time that a process has used."""
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def costs():
    with tempfile.TemporaryDirectory(prefix="laneway-costs-") as folder:
        laneway, receiver = Laneway(folder), Receiver()
        try:
            measure(laneway, receiver)
        finally:
            laneway.process.kill()


def measure(laneway, receiver):
    def settings(number):
        if number == 0:
            return {"url": receiver.url(), "types": ["fail.*"], "retry": {"initial": "10m"}}
        return {"url": receiver.url(), "types": [f"of-{number}.*"]}

    for at in range(0, DESTINATIONS, 1000):
        changes = [{"name": f"customer-{it:06d}", "op": "put", "settings": settings(it)} for it in range(at, at + 1000)]
        laneway.done("POST", "/v1/destinations", {"changes": changes})
    receiver.answer(**{f"k{it}": (500, "it is away") for it in range(BLOCKED)})
    for at in range(0, BLOCKED, 500):
        laneway.done("POST", "/v1/events/batch", [{"type": "fail.x", "key": f"k{it}"} for it in range(at, at + 500)])
    time.sleep(10)
    pid = laneway.process.pid

    def get(path, headers={}):
        connection = http.client.HTTPConnection("localhost", laneway.port, timeout=60)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert answer.status == 200, (path, answer.status)
        return len(body)

    def over(seconds):
        before, began = cpu(pid), time.monotonic()
        time.sleep(seconds)
        return (cpu(pid) - before) / (time.monotonic() - began)

    idle = over(SECONDS)
    print(f"nobody looks: {idle:.1%} of a core")
    for path in ("/console", "/console?page=300", "/console?search=0799", "/console/destinations/customer-000000"):
        rounds, before, began = 5, cpu(pid), time.monotonic()
        for _ in range(rounds):
            size = get(path)
            time.sleep(6)  # so long that everything is asked for anew
        spent = (cpu(pid) - before - idle * (time.monotonic() - began)) / rounds
        print(f"{path}: {size} bytes, {spent * 1000:.0f} ms of CPU time")

    def look():
        connection = http.client.HTTPConnection("localhost", laneway.port, timeout=60)
        connection.request("GET", "/console/live")
        for line in connection.getresponse():
            if line.startswith(b"data"):
                get("/console", {"x-laneway-live": "yes"})

    for _ in range(10):
        threading.Thread(target=look, daemon=True).start()
    time.sleep(6)
    print(f"ten pages that keep themselves up to date: {over(SECONDS) - idle:.1%} of a core")
