"""Asks everything that docs/openapi.yaml describes, with and without credentials: no answer may be an error of the broker, or one that is
not documented. The requests are made by Schemathesis, and are the same each time."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

from broker import BUILT, Broker

HERE = pathlib.Path(__file__).resolve().parent
DESCRIPTION = HERE.parents[2] / "docs/openapi.yaml"
# These never end by themselves.
STREAMS = "/(ws|sse|stream)$"
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
]
# A poll is to answer while somebody waits for it.
SHORT_POLLS = ["--set", "poll.timeout_ms=10", "--set", "poll.max_timeout_ms=20"]


def api_key():
    """The settings of an API key that may do everything, and the key."""
    binary = os.environ.get("BROKER_BINARY", str(BUILT))
    printed = subprocess.run([binary, "key", "tester"], capture_output=True, text=True, check=True).stdout
    key = re.search(r"wck_[\w-]+", printed)[0]
    secret_hash = re.search(r'hash = "([\w-]+)"', printed)[1]
    settings = f'[[auth.api_key]]\nname = "tester"\nhash = "{secret_hash}"\noperator = true\nallow = {{ "*" = ["*"] }}\n'
    return settings, key


class OpenApiTest(unittest.TestCase):
    def ask(self, broker, *more, checks=()):
        """Asks for everything; fails with what Schemathesis has to say."""
        command = [
            str(pathlib.Path(sys.executable).with_name("schemathesis")), "run", str(DESCRIPTION),
            "--url", f"http://{broker.host}:{broker.port}", "--exclude-path-regex", STREAMS,
            "--checks", ",".join([*CHECKS, *checks]), "--phases", "examples,coverage,fuzzing", "--max-examples", "5",
            "--generation-deterministic", "--request-timeout", "60", "--continue-on-failure", "--no-color", "--warnings", "off",
            *more,
        ]
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": "openapi_checks", "PYTHONPATH": str(HERE)}
        with tempfile.TemporaryDirectory() as directory:
            run = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    def broker(self, settings=None):
        arguments = list(SHORT_POLLS)
        if settings:
            path = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())) / "widecast.toml"
            path.write_text(settings)
            arguments += ["--config", str(path)]
        broker = Broker(*arguments)
        self.addCleanup(broker.stop)
        return broker

    def test_a_broker_without_authentication(self):
        self.ask(self.broker())

    def test_somebody_without_credentials(self):
        settings, _ = api_key()
        self.ask(self.broker(settings), checks=["nothing_without_rights"])

    def test_a_backend_with_an_api_key(self):
        settings, key = api_key()
        self.ask(self.broker(settings), "--header", f"Authorization: Bearer {key}")


if __name__ == "__main__":
    unittest.main()
