"""What must hold for every answer of a broker to somebody without rights, beside being documented; loaded by Schemathesis. Whether they
show no credentials, or a token that gives nothing, the environment says by the status with which they are refused."""

import json
import os

import schemathesis

# By the status: `unauthorized` to somebody without credentials, `forbidden` to others.
STATUS = int(os.environ.get("REFUSED_WITH", "401"))
CODE = {401: "unauthorized", 403: "forbidden"}[STATUS]
# What is wrong with a request may be told before anybody asks who sends it: its path, its body, and what there is not.
OTHERWISE_REFUSED = (400, 404, 405, 413, 415)
# Without credentials it is told that the image ping is switched off, too.
SWITCHED_OFF = ("publishByImage",)


def needs_credentials(operation):
    """Whether it needs credentials always (True), never (False), or where no namespace gives rights without them (None)."""
    security = operation.definition.raw.get("security")
    return None if security is None else bool(security)


def is_refused_as_a_whole(response):
    """Whether nothing but refusals is in an answer of 200: a batch is answered so whatever came of it."""
    results = json.loads(response.text)["results"]
    outcomes = [outcome for result in results for outcome in result.get("channels", [result])]
    return all(outcome.get("error", {}).get("status") in (STATUS, *OTHERWISE_REFUSED) for outcome in outcomes)


@schemathesis.check
def nothing_without_rights(_context, response, case):
    operation = case.operation
    label = f"{case.method} {operation.path}: {response.status_code} {response.text[:200]}"
    needs = needs_credentials(operation)
    if needs is False or case.method == "OPTIONS":
        return
    if case.method != operation.method.upper():
        # A method that there is not.
        assert response.status_code == 405, label
    elif needs:
        assert response.status_code == STATUS, label
        assert json.loads(response.text)["code"] == CODE, label
    elif response.status_code == 200:
        assert operation.definition.raw["operationId"] == "publishBatch" and is_refused_as_a_whole(response), label
    elif response.status_code == 403 and operation.definition.raw["operationId"] in SWITCHED_OFF:
        assert "does not allow" in response.text, label
    else:
        assert response.status_code in (STATUS, *OTHERWISE_REFUSED), label
