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


def printed(*arguments):
    """What the binary prints."""
    binary = os.environ.get("BROKER_BINARY", str(BUILT))
    return subprocess.run([binary, *arguments], capture_output=True, text=True, check=True).stdout


def api_key():
    """The settings of an API key that may do everything, and the key."""
    lines = printed("key", "tester")
    key = re.search(r"wck_[\w-]+", lines)[0]
    secret_hash = re.search(r'hash = "([\w-]+)"', lines)[1]
    settings = f'[[auth.api_key]]\nname = "tester"\nhash = "{secret_hash}"\noperator = true\nallow = {{ "*" = ["*"] }}\n'
    return settings, key


class OpenApiTest(unittest.TestCase):
    def ask(self, broker, *more, phases="examples,coverage,fuzzing", refused_with=None):
        """Asks for everything; fails with what Schemathesis has to say, and where anything but this status tells of a right."""
        checks = [*CHECKS, "nothing_without_rights"] if refused_with else CHECKS
        command = [
            str(pathlib.Path(sys.executable).with_name("schemathesis")), "run", str(DESCRIPTION),
            "--url", f"http://{broker.host}:{broker.port}", "--exclude-path-regex", STREAMS,
            "--checks", ",".join(checks), "--phases", phases, "--max-examples", "5",
            "--generation-deterministic", "--request-timeout", "60", "--continue-on-failure", "--no-color", "--warnings", "off",
            *more,
        ]
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": "openapi_checks", "PYTHONPATH": str(HERE)}
        if refused_with:
            environment["REFUSED_WITH"] = str(refused_with)
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
        self.ask(self.broker(settings), refused_with=401)

    def test_somebody_with_a_token_that_gives_no_right(self):
        settings, _ = api_key()
        secret = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())) / "jwt.key"
        secret.write_text("0123456789abcdef0123456789abcdef")
        token = printed("token", "--secret-file", str(secret), "--sub", "7").strip()
        broker = self.broker(f'auth.jwt.hmac_secret_file = "{secret}"\n{settings}')
        # What is made up at random is asked without credentials.
        self.ask(broker, "--header", f"Authorization: Bearer {token}", phases="examples,coverage", refused_with=403)

    def test_a_backend_with_an_api_key(self):
        settings, key = api_key()
        self.ask(self.broker(settings), "--header", f"Authorization: Bearer {key}")


if __name__ == "__main__":
    unittest.main()
