"""The example of an authorisation hook for Django, asked by a real broker."""

import contextlib
import hashlib
import hmac
import json
import pathlib
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import path

from broker import Broker

SECRET = "0123456789abcdef0123456789abcdef"
sys.path.append(str(pathlib.Path(__file__).resolve().parents[3] / "examples/hook/django"))
settings.configure(ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=__name__, WIDECAST_HOOK_SECRET=SECRET + "\n")
django.setup()

import views  # noqa: E402  The settings come first.

urlpatterns = [path("push/hook", views.hook)]


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Handler(WSGIRequestHandler):
    def log_message(self, *_):
        pass


class HookTest(unittest.TestCase):
    def setUp(self):
        server = Server(("127.0.0.1", 0), Handler)
        server.set_app(get_wsgi_application())
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.url = f"http://127.0.0.1:{server.server_port}/push/hook"
        secret = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())) / "hook.key"
        secret.write_text(SECRET + "\n")
        self.broker = Broker(
            "--set", f"auth.hook.url={self.url}",
            "--set", f"auth.hook.secret_file={secret}",
            # The first answer of the example may be slow.
            "--set", "auth.hook.timeout_ms=20000",
            "--set", "namespace.default.anonymous=*",
        )
        self.addCleanup(self.broker.stop)

    def publish(self, channel, body):
        with contextlib.closing(self.broker.connection()) as connection:
            connection.request("POST", f"/channels/{channel}/messages", body)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()).get("detail")

    def forged(self, timestamp, secret):
        """The status of the answer to a request that is not the broker's, or not of now."""
        body = b'{"event":"connect","user":null}'
        signature = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
        headers = {"Widecast-Timestamp": str(timestamp), "Widecast-Signature": signature}
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url, body, headers)) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def test_it_decides_what_clients_of_the_broker_may_do(self):
        self.assertEqual(self.publish("news", "x"), (200, None))
        self.assertEqual(self.publish("news", "x" * 1001), (403, "a message has at most 1000 bytes here"))
        self.assertEqual(self.publish("members:a", "x"), (401, "log in to enter members:a"))

    def test_it_answers_the_broker_only(self):
        now = int(time.time())
        self.assertEqual(self.forged(now, SECRET), 200)
        self.assertEqual(self.forged(now - 3600, SECRET), 403)
        self.assertEqual(self.forged(now + 3600, SECRET), 403)
        self.assertEqual(self.forged(now, "another"), 403)


if __name__ == "__main__":
    unittest.main()
