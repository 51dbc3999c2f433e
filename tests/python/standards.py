"""Reads recorded requests of Laneway with the libraries that receivers use.

Standard input: {"secrets": {name: "whsec_…"}, "events": [what was sent to Laneway], "requests":
[{"headers": {…}, "body": base64, "signed_by": [names]}]}. Every request must verify with each secret
that it is said to be signed by and with no other, and be the CloudEvent, or the batch of them, that was
sent. Prints what was looked at, as JSON; anything wrong ends it with an error.
"""

import base64
import json
import sys

from cloudevents.core.bindings.http import HTTPMessage, from_http
from cloudevents.core.formats.json import JSONFormat
from dateutil.parser import isoparse
from standardwebhooks import Webhook, WebhookVerificationError

BATCH = "application/cloudevents-batch+json"


def verifies(secret, body, headers):
    try:
        Webhook(secret).verify(body, headers, json_parse=False)
        return True
    except WebhookVerificationError:
        return False


def check_signatures(request, body, secrets):
    headers, ours = request["headers"], request["signed_by"]
    for name, secret in secrets.items():
        assert verifies(secret, body, headers) == (name in ours), f"{name} of {ours}: {headers}"
        assert not verifies(secret, body + " ", headers), f"a changed body: {headers}"
        assert not verifies(secret, body, headers | {"webhook-id": "other"}), f"a changed id: {headers}"
    return len(ours)


def check_event(event, sent):
    found = event.get_attributes()
    assert event.get_id() == sent["id"] and event.get_type() == sent["type"], found
    assert event.get_specversion() == "1.0", found
    assert event.get_source() == sent.get("source", "/laneway"), found
    assert event.get_subject() == sent.get("subject"), found
    assert found.get("partitionkey") == sent.get("key"), found
    assert event.get_time().tzinfo is not None, found
    if "time" in sent:
        assert event.get_time() == isoparse(sent["time"]), found
    for name, value in sent.get("attributes", {}).items():
        assert event.get_extension(name) == value, (name, found)
    assert event.get_datacontenttype() == sent.get("content_type", "application/json"), found
    data = event.get_data()
    if "text" in sent:
        data = data.decode() if isinstance(data, (bytes, bytearray)) else data
        assert data == sent["text"], data
    else:
        assert data == sent["data"], data


def events_of(request, body):
    headers = request["headers"]
    if headers["content-type"].split(";")[0] == BATCH:
        return [JSONFormat().read(None, json.dumps(one)) for one in json.loads(body)]
    return [from_http(HTTPMessage(headers=headers, body=body.encode()), JSONFormat())]


def main():
    given = json.load(sys.stdin)
    sent = {event["id"]: event for event in given["events"]}
    counts = {"signatures": 0, "events": 0, "batches": 0}
    for request in given["requests"]:
        body = base64.b64decode(request["body"]).decode()
        counts["signatures"] += check_signatures(request, body, given["secrets"])
        events = events_of(request, body)
        for event in events:
            check_event(event, sent[event.get_id()])
        counts["events"] += len(events)
        counts["batches"] += len(events) > 1
    print(json.dumps(counts))


main()
