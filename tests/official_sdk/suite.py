"""Runs the tests named on the command line, or all of them, and ends with one line of totals."""

import pathlib
import sys
import time
import unittest

import service


class Result(unittest.TextTestResult):
    def __init__(self, *args):
        super().__init__(*args)
        self.began = {}

    def startTest(self, test):
        self.began[test] = time.monotonic()
        super().startTest(test)

    def stopTest(self, test):
        super().stopTest(test)
        self.stream.writeln(f"    {time.monotonic() - self.began[test]:.1f} s")


def main():
    loader = unittest.TestLoader()
    names = sys.argv[1:] or sorted(file.stem for file in pathlib.Path(__file__).parent.glob("test_*.py"))
    tests = loader.loadTestsFromNames(names)
    # Nothing skipped and nothing empty counts as a success.
    with service.shared():
        result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Result).run(tests)
    failed = {id(test) for test, _ in result.failures + result.errors} | {id(test) for test in result.unexpectedSuccesses}
    passed = result.testsRun - len(failed) - len(result.skipped) - len(result.expectedFailures)
    print(f"{passed} passed, {len(failed)} failed", flush=True)
    return 0 if passed == result.testsRun > 0 and result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
