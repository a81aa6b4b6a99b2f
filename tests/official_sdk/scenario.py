"""What the tests share: the SDK's client on a table of its own, and rows."""

import json
import time
import unittest
import uuid

import service
from service import DATABASE, SCHEMA
from snowflake.ingest.streaming import StreamingIngestClient

# Everything goes as rows, however much it is.
ROW_MODE = {"max_buffered_kb_for_rowset_mode": 10_000_000, "max_rowset_payload_size_mb": 8}
SECONDS = 60


def row(number):
    return {"ID": number, "TEXT": f"row {number} – naïve", "HALF": number / 2, "NONE": None}


def rows(start, end):
    return [row(number) for number in range(start, end)]


class Scenario(unittest.TestCase):
    def setUp(self):
        self.service = service.SERVICE
        self.service.calm()
        self.addCleanup(self.service.calm)
        self.table = f"T_{uuid.uuid4().hex[:8].upper()}"

    def client(self, profile="profile", table=None, of=None, **properties):
        of = of or self.service
        table = table or self.table
        client = StreamingIngestClient.from_table(
            "test", DATABASE, SCHEMA, table, profile_json=of.profile(profile), properties=properties or None
        )
        self.addCleanup(lambda: client.is_closed() or client.close(wait_for_flush=False))
        return client

    def channel(self, client, name="c"):
        return client.open_channel(name)[0]

    def append(self, channel, start, end, step=1000):
        """Rows with these numbers, which are their offsets too."""
        for first in range(start, end, step):
            last = min(first + step, end)
            channel.append_rows(rows(first, last), str(first), str(last - 1))

    def commit(self, channel, last):
        channel.initiate_flush()
        channel.wait_for_commit(lambda token: token is not None and int(token) >= last, SECONDS)

    def assert_landed(self, expected, table=None):
        """Exactly these rows, in this order."""
        landed = self.service.rows(table or self.table)
        # The whole difference of two hundred thousand rows would be of no use to anybody.
        self.assertEqual(len(landed), len(expected))
        for seen, sent in zip(landed, expected):
            self.assertEqual(seen, sent)

    def appends(self):
        return self.service.requests("/channels/c/rows")

    def assert_repeated(self, seen, statuses):
        """One request, sent again unchanged but for its count, with these outcomes."""
        self.assertEqual([request["status"] for request in seen], statuses)
        queries = [dict(part.split("=") for part in request["query"].split("&")) for request in seen]
        self.assertEqual([query.pop("retryCount") for query in queries], [str(n) for n in range(len(seen))])
        self.assertTrue(all(query == queries[0] for query in queries), queries)


def until(condition):
    """Waits for something that another thread or process brings about."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it did not come about")
        time.sleep(0.02)


def log(requests):
    """Requests, readable in the message of a failed test."""
    return json.dumps([[r["method"], r["path"], r["query"], r["status"]] for r in requests], indent=1)
