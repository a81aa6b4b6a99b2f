"""Things go wrong, and every row lands once all the same."""

import tempfile

import service
from scenario import SECONDS, Scenario, row, rows, until
from snowflake.ingest.streaming import StreamingIngestError

LARGE = 40_000  # more than fits into rows


class Faults(Scenario):
    def test_a_burst_of_503(self):
        channel = self.channel(self.client())
        self.service.fault("append", status=503, times=3)
        self.append(channel, 0, 100)
        self.commit(channel, 99)
        self.assert_repeated(self.appends(), [503, 503, 503, 200])
        self.assert_landed(rows(0, 100))

    def test_503_wherever_else_it_can_be(self):
        for endpoint in ("hostname", "token", "pipe-info", "open", "status", "telemetry"):
            self.service.fault(endpoint, status=503)
        channel = self.channel(self.client())
        self.append(channel, 0, 100)
        self.commit(channel, 99)
        self.assert_landed(rows(0, 100))
        refused = {seen["path"].rsplit("/", 1)[-1] for seen in self.service.requests() if seen["status"] == 503}
        paths = {"hostname", "token", f"{self.table}-STREAMING:pipe-info", "c", f"{self.table}-STREAMING:bulk-channel-status"}
        self.assertEqual(refused - {"sessionless"}, paths)

    def test_a_lost_reply(self):
        channel = self.channel(self.client())
        self.service.fault("append", action="lose_reply")
        self.append(channel, 0, 100)
        self.commit(channel, 99)
        self.append(channel, 100, 200)
        self.commit(channel, 199)
        self.assert_repeated(self.appends()[:2], [None, 200])
        self.assert_landed(rows(0, 200))

    def test_a_dropped_connection_and_a_truncated_answer(self):
        channel = self.channel(self.client())
        for action in ("drop_connection", "truncate"):
            self.service.fault("append", action=action)
        self.append(channel, 0, 100)
        self.commit(channel, 99)
        self.assert_landed(rows(0, 100))

    def test_lost_replies_in_file_mode(self):
        channel = self.channel(self.client())
        for endpoint in ("upload", "filebuffer"):
            self.service.fault(endpoint, action="lose_reply")
        self.append(channel, 0, LARGE)
        self.commit(channel, LARGE - 1)
        self.assertIn(None, [seen["status"] for seen in self.service.requests("/filebuffer")])
        self.assertIn(None, [seen["status"] for seen in self.service.requests(".ndjson")])
        self.assert_landed(rows(0, LARGE))

    def test_503_in_file_mode(self):
        channel = self.channel(self.client())
        for endpoint in ("upload", "filebuffer"):
            self.service.fault(endpoint, status=503)
        self.append(channel, 0, LARGE)
        self.commit(channel, LARGE - 1)
        self.assert_landed(rows(0, LARGE))

    def test_a_rate_limit(self):
        channel = self.channel(self.client())
        self.service.fault("append", status=429, times=2, body='{"code":"ReceiverSaturated","message":"slow down"}')
        self.append(channel, 0, 100)
        self.commit(channel, 99)
        self.assert_repeated(self.appends(), [429, 429, 200])
        self.assert_landed(rows(0, 100))

    def test_the_order_to_switch_to_files(self):
        channel = self.channel(self.client())
        self.service.fault("append", status=429, body='{"code":"SWITCH_TO_FILE_MODE","message":"m"}')
        self.append(channel, 0, 100)
        self.commit(channel, 99)
        self.append(channel, 100, 200)
        self.commit(channel, 199)
        self.assertTrue(self.service.requests("/filebuffer"))
        self.assert_landed(rows(0, 200))

    def test_a_proxy_that_knows_no_such_page(self):
        channel = self.channel(self.client())
        self.service.fault("append", status=404, body="<html>not found</html>")
        self.append(channel, 0, 100)
        self.commit(channel, 99)
        self.assert_repeated(self.appends(), [404, 200])
        self.assert_landed(rows(0, 100))

    def test_a_lost_reply_of_an_elastic_append_may_double_rows_and_loses_none(self):
        client = self.client()
        channel = client.get_elastic_channel()
        self.service.fault("elastic", action="lose_reply")
        channel.append_rows_with_wait(rows(0, 100), "token").result(SECONDS)
        until(lambda: self.service.count(self.table) == 200)
        self.assert_landed(rows(0, 100) * 2)

    def test_a_refused_elastic_append_is_told(self):
        channel = self.client().get_elastic_channel()
        self.service.fault("elastic", status=400, body='{"code":"ERR_ANY","message":"m"}')
        with self.assertRaises(StreamingIngestError):
            channel.append_row_with_wait(row(1), "token").result(SECONDS)
        self.assertEqual(self.service.count(self.table), 0)

    def test_a_channel_that_was_refused_for_another_reason_is_invalid(self):
        channel = self.channel(self.client())
        self.service.fault("append", status=409, body='{"code":"ERR_ANY","message":"m"}')
        self.append(channel, 0, 10)
        with self.assertRaises(StreamingIngestError) as told:
            self.commit(channel, 9)
        self.assertEqual(told.exception.error_code.value, "InvalidChannelError")


class Crash(Scenario):
    def test_a_service_that_is_killed_and_comes_back_has_lost_and_doubled_nothing(self):
        with tempfile.TemporaryDirectory() as state:
            self.service = service.Service("--state", state, "--commit-delay-ms", "300")
            self.addCleanup(self.service.remove)
            client = self.client()
            channel = self.channel(client)
            self.append(channel, 0, 100)
            self.commit(channel, 99)
            self.append(channel, 100, 200)
            channel.wait_for_flush(SECONDS)
            self.service.restart()
            # What was acknowledged and not committed is gone, so the next append is out of order.
            self.append(channel, 200, 300)
            with self.assertRaises(StreamingIngestError):
                self.commit(channel, 299)
            channel.close(wait_for_flush=False)
            channel, status = client.open_channel("c")
            committed = int(status.latest_committed_offset_token)
            self.append(channel, committed + 1, 300)
            self.commit(channel, 299)
            self.assert_landed(rows(0, 300))
            client.close()
