"""Starts the sink, runs both clients in turns, prints medians and ratios beside the targets."""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS = 1_000_000


def main():
    options = parse()
    work = options.work
    sink = subprocess.Popen(
        [options.ours, "--sink", f"{work}/server.pem", f"{work}/server.key"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        write_profile(work, sink.stdout.readline().strip())
        files = {kind: write_rows(work, kind) for kind in ("compressible", "random")}
        ratios = "   ours / SDK as it comes: rate, CPU, memory   ours / best of its ways"
        print(f"{'':26}{'krows/s':>9}{'seconds':>9}{'CPU s':>8}{'peak MB':>9}{ratios}")
        for kind, path in files.items():
            show(f"rows in memory, {kind}", measure(options, "rows", path), 2.5, 0.4, is_job=False)
        show("whole job, " + os.path.basename(options.file), measure(options, "file", options.file), 10, 0.1, is_job=True)
    finally:
        sink.stdin.close()
        sink.wait()


def parse():
    parser = argparse.ArgumentParser()
    for name in ("work", "ours", "file"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def write_profile(work, url):
    profile = {
        "account": "MYORG-ACCOUNT", "user": "LOADER", "url": url,
        "private_key_file": f"{work}/rsa_key.p8", "ca_file": f"{work}/ca.pem",
    }
    with open(f"{work}/profile.json", "w") as file:
        json.dump(profile, file)


def write_rows(work, kind):
    """Rows of about 190 bytes."""
    seeded = random.Random(1)
    path = f"{work}/{kind}.ndjson"
    with open(path, "w") as file:
        for number in range(ROWS):
            file.write(json.dumps(row(kind, number, seeded), separators=(",", ":")) + "\n")
    return path


def row(kind, number, seeded):
    is_random = kind == "random"
    def text(length, plain):
        return f"{seeded.getrandbits(4 * length):0{length}x}" if is_random else plain
    return {
        "ID": number,
        "DEVICE": text(16, f"sensor-{number * 7919 % 1000:04}"),
        "SITE": text(16, ("north-hall", "south-hall", "yard", "roof")[number % 4]),
        "TAKEN": f"2024-05-06T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}.{number * 104729 % 10**6:06}Z",
        "TEMPERATURE": seeded.random() * 100 if is_random else round(18 + number * 31 % 997 / 100, 2),
        "HUMIDITY": round(40 + number * 17 % 499 / 10, 1),
        "HEALTHY": number % 50 != 0,
        "ERRORS": int(number % 50 == 0),
        "DIGEST": text(24, "no digest was computed"),
        "NOTE": None if number % 4 else text(12, "calibrated"),
    }


def measure(options, what, path):
    """Medians by side; the sides take turns."""
    sides = {
        "SDK, files": [f"{options.work}/venv/bin/python", f"{HERE}/sdk.py", "files"],
        "SDK, rowsets": [f"{options.work}/venv/bin/python", f"{HERE}/sdk.py", "rowsets"],
        "SDK, one append a row": [f"{options.work}/venv/bin/python", f"{HERE}/sdk.py", "each"],
        "ours": [options.ours, "one"],
        "ours, two threads": [options.ours, "two"],
    }
    if what == "file":
        sides["ours, trusted"] = [options.ours, "trusted"]
        sides["ours, trusted, two threads"] = [options.ours, "trusted-two"]
    taken = {side: [] for side in sides}
    for turn in range(options.rounds):
        for side, (*program, mode) in sides.items():
            channel = f"{what}-{side}-{turn}-{os.path.basename(path)}".replace(", ", "-").replace(" ", "-")
            taken[side].append(run(options, [*program, what, f"{options.work}/profile.json", channel, path, mode]))
    return {side: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for side, runs in taken.items()}


def run(options, command):
    environment = os.environ | {"SSL_CERT_FILE": f"{options.work}/ca.pem", "SS_LOG_LEVEL": "error"}
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    output = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = status
    whole = time.perf_counter() - began
    results = [line for line in output.splitlines() if line.startswith("RESULT ")]
    if status or not results:
        sys.exit(f"{' '.join(command)} failed:\n{output}")
    result = json.loads(results[0].removeprefix("RESULT "))
    return result | {"whole": whole, "whole_cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss * 1024}


def show(name, sides, rate_target, cpu_target, is_job):
    """The whole job counts from the start of the process to its end. Rows in memory are made before, and count from the login
    to the commit; the SDK's only to the last acknowledgement, because it learns of commits once a second."""
    print(name)
    for side in sides.values():
        side["took"] = side["whole"] if is_job else side.get("acknowledged", side["seconds"])
        side["used"] = side["whole_cpu"] if is_job else side["cpu"]
        side["peak"] = (side["peak"] if is_job else side["growth"]) / 1e6
    theirs = [side for name, side in sides.items() if name.startswith("SDK")]
    best = {key: min(side[key] for side in theirs) for key in ("took", "used", "peak")}
    for name, side in sides.items():
        line = f"  {name:<26}{side['rows'] / side['took'] / 1e3:>7.0f}{side['took']:>9.2f}{side['used']:>8.2f}{side['peak']:>9.0f}"
        if name.startswith("ours"):
            line += "".join(f"   {told(side, other, rate_target, cpu_target):<41}" for other in (sides[AS_IT_COMES], best))
        print(line.rstrip(), flush=True)


def told(ours, theirs, rate_target, cpu_target):
    rate, cpu = theirs["took"] / ours["took"], ours["used"] / theirs["used"]
    missed = [f"rate < {rate_target}"] * (rate < rate_target) + [f"CPU > {cpu_target}"] * (cpu > cpu_target)
    return f"{rate:.1f}x {cpu:.2f}x {ours['peak'] / theirs['peak']:.2f}x " + ("MISSED " + ", ".join(missed) if missed else "met")


AS_IT_COMES = "SDK, files"


main()
