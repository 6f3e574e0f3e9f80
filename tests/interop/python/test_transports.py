"""Python's standard library and the `websockets` package hear a publish on each transport."""

import json
import unittest

from broker import PATIENCE_SECONDS, BrokerTest


class Transports(BrokerTest):
    def test_a_plain_websocket(self):
        one, other = self.socket("/channels/news/ws"), self.socket("/channels/news/ws")
        self.broker.publish("news", {"hello": 1})
        self.assertEqual(json.loads(one.recv(PATIENCE_SECONDS)), {"hello": 1})
        self.assertEqual(json.loads(other.recv(PATIENCE_SECONDS)), {"hello": 1})
        one.send("text")
        self.assertEqual(other.recv(PATIENCE_SECONDS), "text")
        one.send(b"\x00\xff")
        self.assertEqual(other.recv(PATIENCE_SECONDS), b"\x00\xff")
        # Fragments.
        one.send(["in ", "pieces"])
        self.assertEqual(other.recv(PATIENCE_SECONDS), "in pieces")

    def test_the_envelope_protocol(self):
        socket = self.socket("/v1/ws", subprotocols=["widecast.v1.json"])
        self.assertEqual(socket.subprotocol, "widecast.v1.json")
        self.assertEqual(json.loads(socket.recv(PATIENCE_SECONDS))["type"], "welcome")
        socket.send(json.dumps({"type": "subscribe", "id": 1, "channel": "news"}))
        self.assertEqual(json.loads(socket.recv(PATIENCE_SECONDS))["type"], "subscribed")
        self.broker.publish("news", [1])
        self.assertEqual(json.loads(socket.recv(PATIENCE_SECONDS))["data"], [1])

    def test_an_event_stream(self):
        answer = self.get("/channels/news/sse", {"accept": "text/event-stream"})
        self.assertEqual(answer.headers.get_content_type(), "text/event-stream")
        self.broker.publish("news", "two\nlines")
        data = []
        while len(data) < 2:
            line = answer.readline().decode().rstrip("\n")
            if line.startswith("data:"):
                data.append(line.removeprefix("data:").removeprefix(" "))
        self.assertEqual(data, ["two", "lines"])

    def test_a_stream_of_lines(self):
        answer = self.get("/channels/news/stream")
        for number in range(3):
            self.broker.publish("news", [number])
            line = b"\n"
            while line == b"\n":
                line = answer.readline()
            self.assertEqual(json.loads(line)["data"], [number])

    def test_a_poll(self):
        cursor = json.load(self.get("/channels/news/poll"))["cursor"]
        for number in range(3):
            self.broker.publish("news", [number])
            answer = json.load(self.get(f"/channels/news/poll?cursor={cursor}"))
            self.assertEqual([message["data"] for message in answer["messages"]], [[number]])
            cursor = answer["cursor"]


if __name__ == "__main__":
    unittest.main()
