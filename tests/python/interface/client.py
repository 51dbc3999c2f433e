"""Works on a running Laneway with a client that openapi-python-client generated from docs/openapi.json.

Arguments: the server's address, a token, and a URL of a receiver. Says what it saw, as JSON; anything that is not as
the document says ends it with an error. (tests/tests/it/e2e_interface.rs)
"""

import json
import sys
import time

from laneway_client import AuthenticatedClient
from laneway_client.api.dead_letters import list_dead_letters
from laneway_client.api.destinations import (
    change_destinations,
    delete_destination,
    list_changes,
    list_destinations,
    patch_destination,
    pause_destination,
    put_destination,
    resume_destination,
    rotate_secret,
    show_destination,
    test_destination,
)
from laneway_client.api.events import send_event
from laneway_client.api.operation import readyz, status
from laneway_client.models import (
    BatchOfChanges,
    ChangeAnswer,
    DestinationSettings,
    Empty,
    NewEvent,
    PauseChoice,
    Problem,
    RotateChoice,
    SettingsPatch,
)

PATIENCE_SECONDS = 60


def expect(response, code, kind):
    """What the answer is, which has to have this status and be of this type."""
    assert response.status_code == code, f"{response.status_code}: {response.content}"
    assert isinstance(response.parsed, kind), f"{type(response.parsed)}: {response.content}"
    return response.parsed


def problem(response, code, kind):
    said = expect(response, code, Problem)
    assert said.type_ == f"urn:laneway:problem:{kind}", said
    assert said.status == code and said.title and said.detail, said
    return said


def until(asked, what):
    """Asks until it is so."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := asked()):
        assert time.monotonic() < end, f"not within {PATIENCE_SECONDS} s: {what}"
    return found


def make_and_change(client, url):
    made = put_destination.sync_detailed(
        "billing", client=client, body=DestinationSettings(url=url, types=["invoice.*"]), if_none_match="*"
    )
    revision = expect(made, 201, ChangeAnswer).revision
    assert made.headers["etag"] == f'"{revision}"'
    assert made.parsed.pending == [] and made.parsed.cuts.additional_properties, made.parsed

    patch = SettingsPatch.from_dict({"rate": 500, "types": ["invoice.*", "order.*"]})
    changed = patch_destination.sync_detailed("billing", client=client, body=patch, if_match=f'"{revision}"')
    assert expect(changed, 200, ChangeAnswer).revision > revision
    stale = patch_destination.sync_detailed("billing", client=client, body=patch, if_match=f'"{revision}"')
    problem(stale, 412, "precondition-failed")

    shown = show_destination.sync("billing", client=client)
    assert (shown.settings["rate"], shown.settings["types"]) == (500, ["invoice.*", "order.*"]), shown
    assert [record.name for record in list_destinations.sync(client=client).items] == ["billing"]
    return changed.parsed.revision


def send(client):
    accepted = send_event.sync(client=client, body=NewEvent.from_dict(
        {"type": "order.paid", "key": "order-7", "id": "payment-1", "data": {"total": 12.5}}
    ))
    assert accepted.id == "payment-1" and not accepted.duplicate, accepted
    again = send_event.sync(client=client, body=NewEvent(type_="order.paid", key="order-7", id="payment-1"))
    assert again.duplicate and again.offset == accepted.offset, again
    # Not as a batch: this generator's client cannot tell bodies apart that are lists (isinstance of a list[…]).
    for n in (2, 3):
        assert send_event.sync(client=client, body=NewEvent(type_="order.paid", key="order-7", id=f"payment-{n}"))

    def settled():
        (view,) = status.sync(client=client, destination="billing").destinations
        return view if view.pending == 0 and view.pending_exact else None

    view = until(settled, "billing is settled")
    assert view.configured and view.blocked == [] and view.breaker.state == "closed", view
    return view.delivered_recently


def problems(client):
    wrong = DestinationSettings(url="https://billing.example/", max_in_flight=0, types=[])
    mistakes = problem(put_destination.sync_detailed("other", client=client, body=wrong), 422, "invalid").mistakes
    assert [mistake.field for mistake in mistakes] == ["/types", "/max_in_flight"], mistakes
    problem(show_destination.sync_detailed("missing", client=client), 404, "not-found")
    problem(list_dead_letters.sync_detailed(client=client, destination="missing"), 404, "not-found")
    nobody = AuthenticatedClient(base_url=client._base_url, token="not-the-token")
    refused = status.sync_detailed(client=nobody)
    problem(refused, 401, "unauthorized")
    assert refused.headers["www-authenticate"].startswith("Bearer")


def operate(client, revision):
    tested = test_destination.sync("billing", client=client, body=Empty())
    assert (tested.delivered, tested.outcome, tested.status) == (True, "delivered", 200), tested
    paused = pause_destination.sync("billing", client=client, body=PauseChoice(reason="they move house"))
    assert paused.in_flight == 0, paused
    assert show_destination.sync("billing", client=client).paused.reason == "they move house"
    assert resume_destination.sync("billing", client=client, body=Empty()).done
    now = show_destination.sync("billing", client=client).revision
    rotated = rotate_secret.sync("billing", client=client, body=RotateChoice(keep="1h"), if_match=f'"{now}"')
    assert rotated.secret.startswith("whsec_"), rotated
    # The sink is another one now, which changes by itself when the old secrets expire.
    assert test_destination.sync("billing", client=client, body=Empty()).status == 200
    stale = {"name": "billing", "op": "patch", "if_match": '"1"', "settings": {"rate": 1}}
    changes = BatchOfChanges.from_dict({"changes": [stale]})
    (result,) = change_destinations.sync(client=client, body=changes).results
    assert (result.status, result.problem.type_) == (412, "urn:laneway:problem:precondition-failed"), result
    assert rotated.revision > revision


def main():
    address, token, url = sys.argv[1:]
    client = AuthenticatedClient(base_url=f"http://{address}", token=token)
    assert readyz.sync(client=client).status == "ready"
    revision = make_and_change(client, url)
    delivered = send(client)
    problems(client)
    operate(client, revision)
    expect(delete_destination.sync_detailed("billing", client=client), 200, ChangeAnswer)
    problem(show_destination.sync_detailed("billing", client=client), 404, "not-found")
    history = [line.what for line in list_changes.sync("billing", client=client).items]
    print(json.dumps({"delivered": delivered, "history": history}))


main()
