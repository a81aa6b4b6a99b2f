"""Whatever is sent lands: once, whole and in order."""

import datetime
import decimal
import threading

from scenario import ROW_MODE, SECONDS, Scenario, row, rows, until


class Loading(Scenario):
    def test_two_hundred_thousand_rows_with_default_settings_go_as_files(self):
        channel = self.channel(self.client())
        self.append(channel, 0, 200_000)
        self.commit(channel, 199_999)
        self.assert_landed(rows(0, 200_000))
        self.assertTrue(self.service.requests("/filebuffer"), "this much was to go as files")

    def test_two_hundred_thousand_rows_in_row_mode_go_as_rows(self):
        channel = self.channel(self.client(**ROW_MODE))
        self.append(channel, 0, 200_000)
        self.commit(channel, 199_999)
        self.assert_landed(rows(0, 200_000))
        self.assertFalse(self.service.requests("/filebuffer"))
        self.assertTrue(self.appends())

    def test_rows_without_compression(self):
        channel = self.channel(self.client(enable_rowset_compression=False))
        self.append(channel, 0, 500)
        self.commit(channel, 499)
        self.assert_landed(rows(0, 500))
        self.assertNotIn("content-encoding", self.appends()[0]["headers"])

    def test_rows_one_by_one_without_offsets(self):
        client = self.client()
        channel = self.channel(client)
        for number in range(300):
            channel.append_row(row(number))
        channel.wait_for_flush(SECONDS)
        status = channel.get_channel_status()
        self.assertIsNone(status.latest_committed_offset_token)
        client.close()
        until(lambda: self.service.count(self.table) >= 300)
        self.assert_landed(rows(0, 300))

    def test_values_of_every_type(self):
        channel = self.channel(self.client())
        values = {
            "NONE": None,
            "BOOL": True,
            "INT": 2**62,
            "FLOAT": -1.5e300,
            "STR": 'quote " backslash \\ line\nend \u2028 𝄞 \x00',
            "LIST": [1, [2, {"a": []}]],
            "DICT": {"a": {"b": None}, "": ""},
        }
        others = {
            "BYTES": b"\x00\xff",
            "DATE": datetime.date(2024, 2, 29),
            "TIME": datetime.time(1, 2, 3),
            "DATETIME": datetime.datetime(2024, 2, 29, 1, 2, 3, tzinfo=datetime.timezone.utc),
            "DECIMAL": decimal.Decimal("1.50"),
        }
        channel.append_row({**values, **others}, "1")
        self.commit(channel, 1)
        (landed,) = self.service.rows(self.table)
        self.assertEqual({name: landed[name] for name in values}, values)
        self.assertEqual(landed["BYTES"], "AP8=")
        self.assertEqual(landed["DATE"], "2024-02-29")
        self.assertEqual(decimal.Decimal(landed["DECIMAL"]), decimal.Decimal("1.50"))

    def test_two_channels_keep_their_order(self):
        client = self.client()
        channels = [self.channel(client, name) for name in ("left", "right")]
        for first in range(0, 50_000, 1000):
            for channel in channels:
                batch = [{**row(n), "BY": channel.channel_name} for n in range(first, first + 1000)]
                channel.append_rows(batch, str(first), str(first + 999))
        for channel in channels:
            self.commit(channel, 49_999)
        landed = self.service.rows(self.table)
        self.assertEqual(len(landed), 100_000)
        for channel in channels:
            numbers = [seen["ID"] for seen in landed if seen["BY"] == channel.channel_name]
            self.assertEqual(numbers, list(range(50_000)))

    def test_elastic_from_two_threads(self):
        client = self.client(**ROW_MODE)
        channel = client.get_elastic_channel()
        acknowledged, failed = [], []
        channel.set_success_handler(lambda detail: acknowledged.append(detail))
        channel.set_error_handler(lambda detail: failed.append(detail))
        futures = [[], []]

        def send(part):
            for first in range(part * 20_000, part * 20_000 + 20_000, 500):
                futures[part].append(channel.append_rows_with_wait(rows(first, first + 500), first))

        threads = [threading.Thread(target=send, args=(part,)) for part in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for future in futures[0] + futures[1]:
            future.result(SECONDS)
        self.assertFalse(failed)
        self.assertTrue(acknowledged)
        client.close()
        until(lambda: self.service.count(self.table) >= 40_000)
        numbers = sorted(seen["ID"] for seen in self.service.rows(self.table))
        self.assertEqual(numbers, list(range(40_000)))

    def test_elastic_with_default_settings(self):
        client = self.client()
        channel = client.get_elastic_channel()
        for first in range(0, 100_000, 1000):
            channel.append_rows(rows(first, first + 1000), None)
        channel.wait_for_flush(SECONDS)
        until(lambda: self.service.count(self.table) >= 100_000)
        numbers = sorted(seen["ID"] for seen in self.service.rows(self.table))
        self.assertEqual(numbers, list(range(100_000)))
        self.assertTrue(self.service.requests("/channels/ELASTIC/filebuffer"), "this much was to go as files")
