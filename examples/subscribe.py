#!/usr/bin/env python3
"""Prints the messages of a channel as they come: examples/subscribe.py CHANNEL

Listens to server-sent events, and resumes from the last one after a cut: nothing is lost while the
broker still has it, and a gap is told when it has not.
"""

import os
import sys
import time
import urllib.parse
import urllib.request

BROKER = os.environ.get("WIDECAST_URL", "http://127.0.0.1:8080")


def events(channel: str):
    """Yields the name and the data of each event, for ever."""
    last_id = ""
    while True:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        url = f"{BROKER}/channels/{urllib.parse.quote(channel, safe='')}/sse"
        try:
            # The broker sends a heartbeat every 25 seconds: a longer silence is a dead connection.
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as stream:
                name, data = "message", []
                for line in stream:
                    field, _, value = line.decode().rstrip("\r\n").partition(": ")
                    if field == "event":
                        name = value
                    elif field == "data":
                        data.append(value)
                    elif field == "id":
                        last_id = value
                    elif not field:
                        # An empty line ends an event.
                        if data:
                            yield name, "\n".join(data)
                        name, data = "message", []
        except OSError as error:
            print(f"{error}; trying again", file=sys.stderr)
        time.sleep(1)


if __name__ == "__main__":
    for event, text in events(sys.argv[1]):
        if event == "widecast.gap":
            print("messages were lost", file=sys.stderr)
        else:
            print(text, flush=True)
