"""Offsets, reopening, dropping, and what the service says about channels."""

import subprocess
import sys

from scenario import SECONDS, Scenario, row, rows, until
from snowflake.ingest.streaming import StreamingIngestClient, StreamingIngestError, StreamingIngestErrorCode

# Appends rows from where the channel stands, says how far it got, and goes on until it is killed.
WRITER = """
import sys
from snowflake.ingest.streaming import StreamingIngestClient
from scenario import row
profile, table = sys.argv[1:]
client = StreamingIngestClient.from_table("writer", "DEMO", "PUBLIC", table, profile_json=profile)
channel, status = client.open_channel("c")
number = int(status.latest_committed_offset_token or -1) + 1
while True:
    channel.append_rows([row(n) for n in range(number, number + 100)], str(number), str(number + 99))
    number += 100
    channel.wait_for_flush(60)
    print(number, flush=True)
"""


def read_number(writer):
    """What a writer says next, whatever the SDK says in between."""
    for line in writer.stdout:
        if line.strip().isdigit():
            return int(line)
    raise AssertionError("the writer ended")


class Channels(Scenario):
    def openings(self):
        return [seen["status"] for seen in self.service.requests("/channels/c") if seen["method"] == "PUT"]

    def test_reopening_resumes_after_the_committed_offset(self):
        client = self.client()
        channel, status = client.open_channel("c")
        self.assertIsNone(status.latest_committed_offset_token)
        self.append(channel, 0, 1000)
        channel.close()
        channel, status = self.client().open_channel("c")
        self.assertEqual(status.latest_committed_offset_token, "999")
        self.append(channel, 1000, 1500)
        self.commit(channel, 1499)
        self.assert_landed(rows(0, 1500))

    def test_a_second_process_resumes_what_a_killed_one_left(self):
        command = [sys.executable, "-c", WRITER, self.service.profile(), self.table]
        for _ in range(2):
            writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            sent = [read_number(writer) for _ in range(5)]
            writer.kill()
            writer.communicate()
        channel, status = self.client().open_channel("c")
        committed = int(status.latest_committed_offset_token)
        self.assertGreaterEqual(committed, sent[-1] - 1)
        self.append(channel, committed + 1, committed + 501)
        self.commit(channel, committed + 500)
        self.assert_landed(rows(0, committed + 501))

    def test_a_dropped_channel_forgets_its_offset(self):
        client = self.client()
        channel = self.channel(client)
        self.append(channel, 0, 10)
        self.commit(channel, 9)
        channel.close(drop=True)
        channel, status = client.open_channel("c")
        self.assertIsNone(status.latest_committed_offset_token)
        channel.close()
        client.drop_channel("c")
        self.assertEqual([seen["status"] for seen in self.service.requests() if seen["method"] == "DELETE"], [200] * 2)
        # The SDK keeps statuses for a second.
        until(lambda: client.get_latest_committed_offset_tokens(["c"]).get("c") is None)
        self.assert_landed(rows(0, 10))

    def test_dropping_an_unknown_channel_is_told_as_such(self):
        client = self.client()
        for form in ("code", "error_code"):
            self.service.ask("POST", "answers", {"errors": form})
            with self.assertRaises(StreamingIngestError) as told:
                client.drop_channel("nobody")
            self.assertIn("HTTP 404, error_code=ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED", told.exception.message)

    def test_committed_offsets_of_many_channels(self):
        client = self.client()
        names = [f"c{number}" for number in range(5)]
        channels = [self.channel(client, name) for name in names]
        for number, channel in enumerate(channels):
            channel.append_rows([row(number)], str(number), str(number))
        for number, channel in enumerate(channels):
            self.commit(channel, number)
        offsets = client.get_latest_committed_offset_tokens([*names, "nobody"])
        expected = {name: str(number) for number, name in enumerate(names)}
        self.assertEqual({name: offset for name, offset in offsets.items() if offset is not None}, expected)
        self.assertIsNone(offsets.get("nobody"))
        statuses = client.get_channel_statuses(names)
        self.assertEqual({status.status_code for status in statuses.values()}, {"SUCCESS"})
        self.assertEqual([statuses[name].rows_inserted_count for name in names], [1] * 5)

    def test_waiting_for_a_commit_that_is_withheld(self):
        channel = self.channel(self.client())
        self.service.hold_commits(True)
        self.append(channel, 0, 10)
        channel.wait_for_flush(SECONDS)
        with self.assertRaises(TimeoutError):
            channel.wait_for_commit(lambda token: token is not None, 1)
        self.assertEqual(self.service.rows(self.table), [])
        self.service.hold_commits(False)
        self.commit(channel, 9)
        self.assert_landed(rows(0, 10))

    def test_opening_waits_for_what_another_client_left_uncommitted(self):
        self.service.hold_commits(True)
        channel = self.channel(self.client())
        self.append(channel, 0, 10)
        channel.wait_for_flush(SECONDS)
        second = subprocess.Popen(
            [sys.executable, "-c", WRITER, self.service.profile(), self.table], stdout=subprocess.PIPE, text=True
        )
        try:
            until(lambda: 409 in self.openings())
            self.assertEqual(self.openings()[0], 200)
            self.service.hold_commits(False)
            self.assertEqual(read_number(second), 110)
            self.assertEqual(self.openings()[-1], 200)
        finally:
            second.kill()
            second.communicate()
        landed = self.service.rows(self.table)
        self.assertEqual(landed, rows(0, len(landed)))

    def test_an_offset_given_at_opening_is_the_committed_one(self):
        channel, status = self.client().open_channel("c", "41")
        self.assertEqual(status.latest_committed_offset_token, "41")
        self.assertEqual(channel.get_latest_committed_offset_token(), "41")

    def test_rows_that_cannot_land_are_counted_and_told(self):
        self.service.ask("POST", "rejections", {"containing": '"row 3 '})
        channel = self.channel(self.client())
        self.append(channel, 0, 10)
        self.commit(channel, 9)
        status = channel.get_channel_status()
        self.assertEqual((status.rows_parsed_count, status.rows_inserted_count, status.rows_error_count), (10, 9, 1))
        self.assertEqual(status.last_error_offset_token_upper_bound, "9")
        self.assertTrue(status.last_error_message)
        self.assertIsNotNone(status.last_error_timestamp)
        self.assert_landed([seen for seen in rows(0, 10) if seen["ID"] != 3])

    def test_a_stolen_channel_is_told_and_a_replay_lands_everything_once(self):
        client = self.client()
        channel = self.channel(client)
        self.append(channel, 0, 1000)
        self.commit(channel, 999)
        self.service.steal(f"{self.table}-STREAMING", "c")
        self.append(channel, 1000, 2000)
        with self.assertRaises(StreamingIngestError) as told:
            self.commit(channel, 1999)
        self.assertEqual(told.exception.error_code, StreamingIngestErrorCode.INVALID_CHANNEL_ERROR)
        self.assertEqual(self.appends()[-1]["status"], 400)
        channel.close(wait_for_flush=False)
        channel, status = client.open_channel("c")
        self.assertEqual(status.latest_committed_offset_token, "999")
        self.append(channel, 1000, 2000)
        self.commit(channel, 1999)
        self.assert_landed(rows(0, 2000))

    def test_names_with_blanks_slashes_and_other_letters(self):
        pipe = StreamingIngestClient(
            "test", "DEMO", "PUBLIC", '"my täble/1-STREAMING"', profile_json=self.service.profile(), properties=None
        )
        channel, _ = pipe.open_channel("my chännel/ä?&=%41")
        self.append(channel, 0, 10)
        self.commit(channel, 9)
        pipe.close()
        self.assert_landed(rows(0, 10), '"my täble/1"')

    def test_a_declared_pipe(self):
        pipe = StreamingIngestClient(
            "test", "DEMO", "PUBLIC", "EVENTS_PIPE", profile_json=self.service.profile(), properties=None
        )
        before = self.service.count("DECLARED")
        channel, _ = pipe.open_channel("c")
        self.append(channel, 0, 10)
        self.commit(channel, 9)
        pipe.close()
        self.assertEqual(self.service.count("DECLARED"), before + 10)

    def test_a_pipe_that_does_not_exist(self):
        with self.assertRaises(StreamingIngestError) as told:
            StreamingIngestClient("test", "DEMO", "PUBLIC", "NO_SUCH_PIPE", profile_json=self.service.profile())
        self.assertIn("ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED", str(told.exception))
