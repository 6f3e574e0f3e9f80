"""Tokens that PyJWT has signed with a secret, and what is wrong with some of them."""

import base64
import contextlib
import json
import pathlib
import tempfile
import time
import unittest

import jwt

from broker import Broker

SECRET = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"


class TokenTest(unittest.TestCase):
    def setUp(self):
        directory = self.enterContext(tempfile.TemporaryDirectory())
        path = pathlib.Path(directory) / "jwt.key"
        path.write_text(SECRET)
        self.broker = Broker("--set", f"auth.jwt.hmac_secret_file={path}")
        self.addCleanup(self.broker.stop)

    def publish(self, token):
        """The status and the body of the answer to a message with this token."""
        with contextlib.closing(self.broker.connection()) as connection:
            headers = {"authorization": f"Bearer {token}"}
            connection.request("POST", "/channels/news/messages", "x", headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def claims(self, **more):
        return {"exp": int(time.time()) + 60, "channels": {"news": ["publish"]}, **more}

    def test_each_algorithm_of_a_secret_is_taken(self):
        for algorithm in ["HS256", "HS384", "HS512"]:
            status, body = self.publish(jwt.encode(self.claims(), SECRET, algorithm))
            self.assertEqual(status, 200, body)

    def test_what_is_wrong_is_told(self):
        unsigned = jwt.encode(self.claims(), None, "none")
        past = jwt.encode(self.claims(exp=int(time.time()) - 3600), SECRET)
        endless = jwt.encode({"channels": {"news": ["publish"]}}, SECRET)
        early = jwt.encode(self.claims(nbf=int(time.time()) + 3600), SECRET)
        other = jwt.encode(self.claims(), SECRET[::-1])
        head, body, signature = jwt.encode(self.claims(), SECRET).split(".")
        larger = json.dumps(self.claims(channels={"*": ["*"]})).encode()
        changed = base64.urlsafe_b64encode(larger).decode().rstrip("=")
        for token, words in [
            (unsigned, "not signed by an algorithm"),
            (past, "has expired"),
            (endless, "exp"),
            (early, "not valid yet"),
            (other, "signature"),
            (f"{head}.{changed}.{signature}", "signature"),
            (f"{head}.{body}.", "signature"),
            (f"{head}.{body}", "no JSON Web Token"),
        ]:
            status, answer = self.publish(token)
            self.assertEqual(status, 401, answer)
            self.assertIn(words, answer["detail"])


if __name__ == "__main__":
    unittest.main()
