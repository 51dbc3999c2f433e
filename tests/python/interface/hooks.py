"""What schemathesis does not know by itself (tests/tests/it/e2e_interface.rs)."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(ctx, value):
    """A text is sent as it is; what is none, as one line of JSON."""
    return value.encode(errors="replace") if isinstance(value, str) else json.dumps(value).encode()


@schemathesis.check
def the_kind_of_problem_is_documented(ctx, response, case):
    """An error is of one of the kinds that the document names for that status of the operation."""
    if "problem+json" not in response.headers.get("content-type", [""])[0] or response.status_code == 405:
        return
    kind = response.json()["type"].removeprefix("urn:laneway:problem:")
    said = case.operation.definition.raw["responses"].get(str(response.status_code), {})
    assert kind in said.get("x-laneway-problems", []), f"{kind} is not a problem of {case.operation.label}"
