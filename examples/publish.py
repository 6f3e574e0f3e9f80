#!/usr/bin/env python3
"""Publishes one JSON value to a channel: examples/publish.py CHANNEL JSON

Tries again when the broker cannot be reached. The idempotency key makes that harmless: a message that
arrived although its answer was lost is not published twice.
"""

import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

BROKER = os.environ.get("WIDECAST_URL", "http://127.0.0.1:8080")
ATTEMPTS = 5


def publish(channel: str, data: str) -> str:
    """Returns the broker's answer: the offset and the epoch of the message, among others."""
    request = urllib.request.Request(
        f"{BROKER}/channels/{urllib.parse.quote(channel, safe='')}/messages",
        data=data.encode(),
        headers={"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())},
    )
    for attempt in range(ATTEMPTS):
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            # The broker answers, and says what is wrong: only some of it passes.
            if error.code < 500 or attempt + 1 == ATTEMPTS:
                raise SystemExit(error.read().decode()) from error
        except OSError as error:
            if attempt + 1 == ATTEMPTS:
                raise SystemExit(f"{BROKER}: {error}") from error
        time.sleep(0.2 * 2**attempt)
    raise AssertionError("the last attempt returns or raises")


if __name__ == "__main__":
    print(publish(sys.argv[1], sys.argv[2]))
