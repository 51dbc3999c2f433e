"""Requests that the document allows, of one tenant, against a server where another one has things
(tests/tests/it/e2e_interface.rs): no answer has a byte of what the other one has, and what the other one has is answered
as what nobody has.

two_tenants.py DOCUMENT ADDRESS REQUESTS SEED, with the token of whoever runs it in LANEWAY_TOKEN.
"""

import http.client
import http.server
import json
import os
import random
import re
import sys
import threading
import urllib.parse

import hypothesis
import schemathesis
from schemathesis import GenerationMode

DOCUMENT, ADDRESS, REQUESTS, SEED = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
BOSS = os.environ["LANEWAY_TOKEN"]
# What nobody guesses: everything of the other tenant has it in it, and no request of the first one does.
SECRET = "zyzzyva"
# What can be guessed: the names of the other tenant's things; and names as long that nobody has.
OTHER, NOBODY = "bumblebee", "bumblebox"
OWN = "acme"


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        # At the other's, a key fails, and the answer says so.
        fails = SECRET in self.path and b"fails" in body
        said = f"{SECRET} answered".encode() if SECRET in self.path else b"thanks"
        self.send_response(400 if fails else 200)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_):
        pass


class Interface:
    """One connection that is kept open: so thousands of requests take no time for connecting."""

    def __init__(self):
        self.connection = http.client.HTTPConnection(ADDRESS, timeout=60)

    def ask(self, method, path, token, body=None, headers=None):
        headers = {name: str(value) for name, value in (headers or {}).items()}
        headers["authorization"] = f"Bearer {token}"
        headers.setdefault("content-type", "application/json")
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        for attempt in (1, 2):
            try:
                self.connection.request(method, path, data, headers)
                answer = self.connection.getresponse()
                return answer.status, answer.headers, answer.read()
            except (http.client.HTTPException, OSError):
                # The server has closed it meanwhile.
                self.connection.close()
                if attempt == 2:
                    raise

    def done(self, method, path, token, body=None, headers=None):
        status, headers, answer = self.ask(method, path, token, body, headers)
        assert status in (200, 201, 202), (method, path, status, answer)
        return json.loads(answer), headers


def token(tenant):
    return f"the-token-of-{tenant}-for-all"


def set_up(interface):
    """What the other tenant has: something in every field, of everything that there is."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_address[1]}"
    settings = {"url": f"{base}/{SECRET}", "headers": {f"x-{SECRET}": SECRET}, "bearer": SECRET, "reject": [400],
                "types": [f"{SECRET}.*"], "match": {"region": SECRET}}
    theirs, own = token(OTHER), token(OWN)
    for name in ("hook", SECRET):
        interface.done("PUT", f"/v1/destinations/{name}", theirs, settings)
    interface.done("PUT", "/v1/destinations/hook", own, {"url": f"{base}/own"})
    interface.done("PUT", "/v1/destinations/crm", BOSS, {"url": f"{base}/{SECRET}"})
    for n in range(20):
        event = {"id": f"{OTHER}-{n}", "type": f"{SECRET}.paid", "key": f"{OTHER}-key-{n % 3}", "source": f"/{SECRET}",
                 "subject": SECRET, "attributes": {"region": SECRET}, "data": {"of": SECRET, "n": n, "x": "fails" if n % 3 == 0 else ""}}
        interface.done("POST", "/v1/events", theirs, event)
        interface.done("POST", "/v1/events", own, {"id": f"own-{n}", "type": "order.paid", "key": f"own-{n % 3}", "data": n})
    interface.done("POST", "/v1/tokens", theirs, {"name": "hook", "roles": ["read"]})
    interface.done("POST", "/v1/tokens", theirs, {"name": SECRET, "roles": ["read"]})
    interface.done("POST", "/v1/portal-links", theirs, {})
    interface.done("POST", f"/v1/destinations/{SECRET}/test", theirs, {})
    interface.done("PUT", f"/v1/destinations/{SECRET}/replays/{OTHER}-r", theirs, {"types": [f"{SECRET}.*"]})
    interface.done("POST", f"/v1/destinations/{SECRET}/pause", theirs, {"reason": SECRET})
    # They see it themselves: that no answer to others has it means something.
    seen = ("/v1/events", f"/v1/events/{OTHER}-1", "/v1/destinations", "/v1/status", "/v1/dead-letters", "/v1/attempts",
            "/v1/tokens", "/v1/token-changes", f"/v1/destinations/{SECRET}/changes", f"/v1/destinations/{SECRET}/replays")
    for path in seen:
        for _ in range(600):
            status, _, answer = interface.ask("GET", path, theirs)
            if status == 200 and SECRET.encode() in answer:
                break
            threading.Event().wait(0.05)
        else:
            raise AssertionError(f"{path} shows nothing to whoever has it: {status} {answer}")


# What somebody may guess, by where it stands.
GUESSED = {
    "name": ["hook", f"{OWN}:hook", f"{OTHER}:hook", f"{OTHER}:nothing"],
    "destination": ["hook", f"{OTHER}:hook"],
    "tenant": [OTHER, OWN],
    "key": [f"{OTHER}-key-0", f"key:{OTHER}-key-0", f"tenant:{OTHER}:{OTHER}-key-0", "own-1"],
    "id": [f"{OTHER}-1", f"{OTHER}-r", "own-1"],
    "event_id": [f"{OTHER}-1"],
    "events": [[f"{OTHER}-1"]],
    "keys": [[f"{OTHER}-key-0"]],
    "after": [f"{OTHER}:hook"],
    "partition": [0, 1, 2, 3],
    "offset": list(range(12)),
    "limit": [1000],
    "at": [f"{partition}:{offset}" for partition in range(4) for offset in range(12)],
}


def guess(choose, value, name=""):
    """The same, with what may be guessed in some places."""
    if name in GUESSED and choose.random() < 0.6:
        return choose.choice(GUESSED[name])
    if isinstance(value, dict):
        return {key: guess(choose, it, key) for key, it in value.items()}
    if isinstance(value, list):
        return [guess(choose, it, name.removesuffix("s")) for it in value]
    return value


def plain(status, answer, tenant):
    """An answer without what differs between any two: numbers, and whose name was asked for."""
    if status < 300:
        return "done"
    return status, re.sub(r"\d+", "0", answer.decode(errors="replace").replace(tenant, "T"))


class Tried:
    requests = twins = done = 0


def replaced(value, tenant):
    return json.loads(json.dumps(value).replace(OTHER, tenant))


def send(interface, case, operation, choose):
    parameters = guess(choose, dict(case.path_parameters or {}))
    query = guess(choose, dict(case.query or {}))
    for name in ("tenant", "destination", "key", "limit", "at"):
        known = any(it.name == name for it in operation.query)
        if known and choose.random() < 0.3:
            query[name] = choose.choice(GUESSED[name])
    headers = {name: value for name, value in (case.headers or {}).items() if name.lower() != "authorization"}
    has_body = not isinstance(case.body, schemathesis.core.NotSet)
    body = guess(choose, case.body) if has_body else None
    if case.media_type:
        headers["content-type"] = case.media_type
    elif case.method in ("POST", "PUT", "PATCH"):
        headers["content-type"] = "application/json"
    by = choose.choice([token(OWN), interface.link])
    asked = {"parameters": parameters, "query": query, "body": body if not isinstance(body, bytes) else None}

    def ask(tenant):
        this = replaced(asked, tenant)
        path = operation.path
        for name, value in this["parameters"].items():
            path = path.replace("{" + name + "}", urllib.parse.quote(str(value), safe=""))
        if this["query"]:
            path += "?" + urllib.parse.urlencode(this["query"], doseq=True)
        status, told, answer = interface.ask(case.method, path, by, body if isinstance(body, bytes) else
                                             this["body"] if has_body else None, headers)
        Tried.requests += 1
        Tried.done += status < 300
        what = f"{case.method} {path} {this['body']!r}: {status} {answer!r}"
        assert SECRET.encode() not in answer, what
        assert SECRET not in str(told), f"{what} {told}"
        assert status < 500 or status == 503, what
        return status, answer, what

    status, answer, what = ask(OTHER)
    # Of two replays of its own with one id, the second is another one's, whoever is named in them.
    is_own_replay = "replay" in operation.path and OTHER not in str(parameters)
    if OTHER in json.dumps(asked) and not is_own_replay:
        Tried.twins += 1
        twin, nothing, unlike = ask(NOBODY)
        if status < 300 and twin == 409 and case.method != "GET":
            return  # The first has made something of the tenant's own, which is there now.
        assert plain(status, answer, OTHER) == plain(twin, nothing, NOBODY), f"{what}\nis not as\n{unlike}"


def main():
    interface = Interface()
    set_up(interface)
    schema = schemathesis.openapi.from_path(DOCUMENT)
    for found in schema.get_all_operations():
        operation = found.ok()
        # One operation ends those that there are.
        made, _ = interface.done("POST", "/v1/portal-links", BOSS,
                                 {"tenant": OWN, "roles": ["publish", "read", "operate", "admin"], "lasts": "24h"})
        interface.link = made["url"].split("#")[1]

        @hypothesis.seed(SEED)
        @hypothesis.settings(max_examples=REQUESTS, database=None, deadline=None, phases=[hypothesis.Phase.generate],
                             suppress_health_check=list(hypothesis.HealthCheck))
        @hypothesis.given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
                          choose=hypothesis.strategies.integers(0, 2**32).map(random.Random))
        def each(case, choose):
            send(interface, case, operation, choose)

        each()
    set_up_is_there(interface)
    print(json.dumps({"requests": Tried.requests, "twins": Tried.twins, "done": Tried.done}))


def set_up_is_there(interface):
    """All that the other one had is there after all that."""
    listed, _ = interface.done("GET", "/v1/destinations", token(OTHER))
    assert [it["name"] for it in listed["items"]] == [f"{OTHER}:hook", f"{OTHER}:{SECRET}"], listed
    assert listed["items"][1]["paused"]["reason"] == SECRET, listed
    tokens, _ = interface.done("GET", "/v1/tokens", token(OTHER))
    assert {f"{OTHER}:hook", f"{OTHER}:{SECRET}"} <= {it["name"] for it in tokens["items"]}, tokens
    letters, _ = interface.done("GET", "/v1/dead-letters?limit=1000", token(OTHER))
    assert len(letters["dead_letters"]) >= 7, letters


if __name__ == "__main__":
    main()
