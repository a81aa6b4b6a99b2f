"""Runs the tests named on the command line, or all of them, and ends with one line of totals.

Each file runs in a process and against an emulator of its own, all at once: the SDK waits for seconds where it could go on.
"""

import pathlib
import re
import subprocess
import sys
import time
import unittest

import service

TOTALS = re.compile(r"(\d+) passed, (\d+) failed")


class Result(unittest.TextTestResult):
    def startTest(self, test):
        self.began = time.monotonic()
        super().startTest(test)

    def stopTest(self, test):
        super().stopTest(test)
        self.stream.writeln(f"    {time.monotonic() - self.began:.1f} s")


def run(names):
    """Runs tests here; gives how many passed and how many did not, for whatever reason."""
    tests = unittest.TestLoader().loadTestsFromNames(names)
    with service.shared():
        result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Result).run(tests)
    unhappy = result.failures + result.errors + result.skipped + result.expectedFailures
    # A test can fail in several parts, and again while it cleans up.
    failed = {str(getattr(test, "test_case", test)) for test, _ in unhappy} | set(map(str, result.unexpectedSuccesses))
    return result.testsRun - len(failed), len(failed)


def run_apart(names):
    """Runs each name in a process of its own."""
    command = [sys.executable, "-u", __file__, "--here"]
    running = [
        subprocess.Popen([*command, name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for name in names
    ]
    passed = failed = 0
    for name, process in zip(names, running):
        output, _ = process.communicate()
        body, _, last = output.rstrip().rpartition("\n")
        totals = TOTALS.fullmatch(last)
        print(f"== {name}\n{body if totals else output}", flush=True)
        # A process that did not get as far as its totals is a failure too.
        here = (int(totals[1]), int(totals[2])) if totals else (0, 1)
        passed, failed = passed + here[0], failed + here[1]
    return passed, failed


def main(arguments):
    if arguments[:1] == ["--here"]:
        passed, failed = run(arguments[1:])
    else:
        files = pathlib.Path(__file__).parent.glob("test_*.py")
        passed, failed = run_apart(arguments or sorted(file.stem for file in files))
    print(f"{passed} passed, {failed} failed", flush=True)
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
