"""What Python compresses is heard as what it was, and it can inflate what others compress."""

import gzip
import json
import struct
import unittest

from broker import PATIENCE_SECONDS, BrokerTest

TEXT = "spam and eggs\n" * 5000


def compressed_value(msgpack):
    """Extension 31 with the gzip as a bin, both with a length of 16 bits."""
    body = gzip.compress(msgpack)
    bin16 = b"\xc5" + struct.pack(">H", len(body)) + body
    return b"\xc8" + struct.pack(">Hb", len(bin16), 31) + bin16


class Compression(BrokerTest):
    def test_a_compressed_body(self):
        socket = self.socket("/channels/news/ws")
        body = gzip.compress(json.dumps({"text": TEXT}).encode())
        self.broker.post("news", body, {"content-type": "application/json", "content-encoding": "gzip"})
        self.assertEqual(json.loads(socket.recv(PATIENCE_SECONDS)), {"text": TEXT})

    def test_a_compressed_value(self):
        raw = self.socket("/channels/news/ws")
        session = self.socket("/v1/ws", subprotocols=["widecast.v1.msgpack"])
        session.recv(PATIENCE_SECONDS)
        session.send(b"\x83\xa4type\xa9subscribe\xa2id\x01\xa7channel\xa4news")
        session.recv(PATIENCE_SECONDS)
        text = TEXT.encode()
        value = compressed_value(b"\xda" + struct.pack(">H", 50_000) + text[:50_000])
        self.broker.post("news", value, {"content-type": "application/msgpack"})
        self.assertEqual(raw.recv(PATIENCE_SECONDS), TEXT[:50_000])
        frame = session.recv(PATIENCE_SECONDS)
        self.assertLess(len(frame), 1000)
        # The broker writes lengths in as few bytes as they take: two here, or one.
        begin = frame.index(b"\x1f\x8b\x08")
        length = frame[begin - 1] if frame[begin - 2] == 0xC4 else struct.unpack(">H", frame[begin - 2 : begin])[0]
        self.assertEqual(gzip.decompress(frame[begin : begin + length])[3:], text[:50_000])


if __name__ == "__main__":
    unittest.main()
