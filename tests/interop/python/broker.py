"""A real broker for the tests of this folder."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import subprocess
import threading
import unittest
from urllib.parse import quote

from websockets.sync.client import connect

BUILT = pathlib.Path(__file__).resolve().parents[3] / "target/debug/widecast"
PATIENCE_SECONDS = 20


class Broker:
    """Runs the binary on a port of its own until `stop`."""

    def __init__(self, *arguments):
        binary = os.environ.get("BROKER_BINARY", str(BUILT))
        self._process = subprocess.Popen(
            [binary, "serve", "--listen", "127.0.0.1:0", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for line in self._process.stderr:
            found = re.search(r"listening on http://([0-9.]+):(\d+)", line)
            if found:
                self.host, self.port = found[1], int(found[2])
                break
        else:
            raise RuntimeError("the broker ended before it listened")
        # A full pipe would stop the broker.
        self._reading = threading.Thread(target=self._process.stderr.read, daemon=True)
        self._reading.start()

    def stop(self):
        self._process.kill()
        self._process.wait()
        self._reading.join()
        self._process.stderr.close()

    def publish(self, channel, data):
        return self.post(channel, json.dumps(data), {"content-type": "application/json"})

    def post(self, channel, body, headers):
        """Publishes a body as it is."""
        path = f"/channels/{quote(channel, safe='')}/messages"
        with contextlib.closing(self.connection()) as connection:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {body}")
        return json.loads(body)

    def connection(self):
        """A connection for HTTP, to be closed."""
        return http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE_SECONDS)


class BrokerTest(unittest.TestCase):
    """Tests that have a broker each."""

    def setUp(self):
        self.broker = Broker()
        self.addCleanup(self.broker.stop)

    def socket(self, path, **options):
        url = f"ws://{self.broker.host}:{self.broker.port}{path}"
        return self.enterContext(connect(url, open_timeout=PATIENCE_SECONDS, **options))

    def get(self, path, headers=None):
        """The answer to a GET, its body not read yet."""
        connection = self.enterContext(contextlib.closing(self.broker.connection()))
        connection.request("GET", path, headers=headers or {})
        return self.enterContext(connection.getresponse())
