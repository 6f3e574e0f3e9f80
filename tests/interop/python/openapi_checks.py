"""What must hold for every answer of a broker to somebody without credentials, beside being documented; loaded by Schemathesis."""

import schemathesis

# What anybody may ask who finds the broker: it tells nothing of channels.
OPEN = ("/health/", "/client/", "/demos", "/bridge.html")


@schemathesis.check
def nothing_without_rights(_context, response, case):
    path = case.operation.path
    if path == "/" or path.startswith(OPEN) or case.method == "OPTIONS":
        return
    # A batch, a poll of several channels and a script are answered with 200 whatever came of them.
    for shown in ('"offset":', '"epoch":', '"subscribers":', '"data":'):
        assert shown not in response.text, f"{case.method} {path} shows {shown} to somebody without credentials"
