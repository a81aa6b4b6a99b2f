"""Loads with the official SDK: `sdk.py rows|file PROFILE CHANNEL FILE MODE`; prints one line of JSON.

`rows`: what FILE holds are dicts in memory before the clock starts. `file`: FILE as it is, each line parsed. MODE is `files`,
the SDK's default, which puts as many rows as these into files on a stage; `rowsets`, which keeps it to requests with rows; or
`each`, its default again, with one append for each row and so an offset token for each, which is what our side gives them.
"""

import json
import os
import resource
import sys
import time

os.environ.setdefault("SS_LOG_LEVEL", "error")
from snowflake.ingest.streaming import StreamingIngestClient  # noqa: E402

# As many rows an append as in the SDK's own examples of bulk loads; larger ones were no faster.
APPEND = 1000

# Keeps it from leaving the requests with rows for files on a stage.
ROWSET = {"max_buffered_kb_for_rowset_mode": "10000000", "max_rowset_payload_size_mb": "8"}


def main(what, profile, channel, path, mode):
    chunks = chunks_of(open(path, "rb"), APPEND)
    if what == "rows":
        chunks = list(chunks)
    properties = json.load(open(profile))
    properties["private_key"] = open(properties.pop("private_key_file")).read()
    properties.pop("ca_file")
    properties |= ROWSET if mode == "rowsets" else {}
    began, used, resident = time.perf_counter(), cpu(), memory("VmRSS:")
    client = StreamingIngestClient("compare", "DB", "PUBLIC", "EVENTS-STREAMING", properties=properties)
    opened, _ = client.open_channel(channel)
    at = 0
    for chunk in chunks:
        if mode == "each":
            for row in chunk:
                at += 1
                opened.append_row(row, str(at))
        else:
            opened.append_rows(chunk, str(at + 1), str(at + len(chunk)))
            at += len(chunk)
    opened.wait_for_flush()
    acknowledged = time.perf_counter() - began
    opened.wait_for_commit(lambda token: token is not None and int(token) >= at, 120)
    seconds, cpu_seconds = time.perf_counter() - began, cpu() - used
    opened.close()
    client.close()
    growth = memory("VmHWM:") - resident
    result = {"rows": at, "acknowledged": acknowledged, "seconds": seconds, "cpu": cpu_seconds, "growth": growth}
    print("RESULT " + json.dumps(result), flush=True)


def chunks_of(lines, size):
    chunk = []
    for line in lines:
        chunk.append(json.loads(line))
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def memory(field):
    """In bytes."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


main(*sys.argv[1:])
