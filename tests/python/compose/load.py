"""Traffic, and what was acknowledged of it."""

import http.client
import json
import threading
import time
import uuid

from ledger import arrived
from shell import Failed, until
from stack import TOKEN

KEYS = 48
# Events a second that are offered, over all keys.
RATE = 144
# A load ends by itself after so many events, and after so many seconds.
MOST = 40_000
LONGEST = 400
# How long a request may take. An ingest that waits for its store answers well before.
PATIENCE = 20


class Load:
    """A sender per key, which sends its events one after the other: the next when the last one has its 202."""

    def __init__(self, stack):
        self.stack = stack
        self.run = f"run-{uuid.uuid4().hex[:12]}"
        self.accepted = {f"{self.run}-k{number}": 0 for number in range(KEYS)}
        self.refused = {}
        self.wrong = []
        self.began = time.time()
        self._deadline = time.monotonic() + LONGEST
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._senders = [threading.Thread(target=self._send, args=(key,)) for key in self.accepted]

    def start(self):
        for sender in self._senders:
            sender.start()

    def stop(self):
        self._ended.set()
        for sender in self._senders:
            sender.join()

    def total(self):
        with self._lock:
            return sum(self.accepted.values())

    def more(self, events=300, seconds=90):
        """Waits until so many more are acknowledged."""
        wanted = self.total() + events
        until(f"{events} more events are acknowledged", lambda: self.total() >= wanted, seconds)

    def every_key(self, seconds=90):
        """Waits until each key has another event acknowledged: every partition takes events."""
        with self._lock:
            before = dict(self.accepted)
        until("every key goes on", lambda: all(self.accepted[key] > before[key] for key in before), seconds)

    def until_refused(self, seconds=60):
        """Waits until an event is not taken: with 503, or for want of an answer."""
        before = sum(self.refused.values())
        until("an event is refused", lambda: sum(self.refused.values()) > before, seconds)

    def all_arrive(self, seconds=150):
        """Waits until everything that is acknowledged by now has arrived, and returns what did."""
        with self._lock:
            accepted = dict(self.accepted)
        tallies = []

        def all_there():
            tallies.append(arrived(self.stack, self.run, self.began))
            return tallies[-1].lost(accepted) == 0

        try:
            until("everything has arrived", all_there, seconds)
        except Failed:
            pass  # The tally says it.
        return tallies[-1]

    def goes_on_for(self, seconds):
        """How long a fault lasts, while traffic flows."""
        self._ended.wait(seconds)

    def _send(self, key):
        connection = None
        while self.total() < MOST and time.monotonic() < self._deadline:
            answer, connection = self._offer(connection, key)
            with self._lock:
                if answer == 202:
                    self.accepted[key] += 1
                else:
                    self.refused[answer] = self.refused.get(answer, 0) + 1
            if self._ended.wait(KEYS / RATE):
                return

    def _offer(self, connection, key):
        """Sends the key's next event: the status of the answer, and the connection if it can be used again."""
        number = self.accepted[key]
        data = {"run": self.run, "key": key, "n": number}
        event = {"id": f"{key}-{number}", "type": "compose.numbered", "key": key, "data": data}
        headers = {"content-type": "application/json", "authorization": f"Bearer {TOKEN}"}
        connection = connection or http.client.HTTPConnection("127.0.0.1", 8080, timeout=PATIENCE)
        try:
            connection.request("POST", "/v1/events", json.dumps(event), headers)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return "no answer", None
        if answer.status not in (202, 503):
            self.wrong.append(f"the ingest answered {answer.status}: {body[:300]}")
        return answer.status, connection
