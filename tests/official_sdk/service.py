"""The emulator as a process, and what the tests ask of it over HTTP."""

import contextlib
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request

DATABASE, SCHEMA = "DEMO", "PUBLIC"


class Service:
    """A running emulator with a folder of its own."""

    def __init__(self, *options):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="official-sdk-"))
        self.options = options
        self.process = None
        self.url = None
        self.start()

    def start(self, port=0):
        command = [os.environ["SNOWPIPE"], "emulator", "--tls", f"--dir={self.folder}", f"--port={port}", *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("listening on https://"):
            raise RuntimeError(f"the emulator did not start: {line!r}")
        self.url = line.split()[-1]
        authority = (self.folder / "ca.pem").read_text()
        self.trust = ssl.create_default_context(cadata=authority)
        with open(os.environ["SSL_CERT_FILE"], "a") as trust:
            trust.write(authority)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def restart(self):
        """Kills it in the middle of whatever it does; the next one listens at the same place."""
        port = urllib.parse.urlsplit(self.url).port
        self.kill()
        self.start(port)

    def remove(self):
        self.kill()
        shutil.rmtree(self.folder)

    def profile(self, name="profile"):
        return str(self.folder / f"{name}.json")

    def ask(self, method, action, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_emulator/{action}", data, method=method)
        try:
            with urllib.request.urlopen(request, context=self.trust, timeout=30) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {action} {body}: {error.code} {error.read()}") from error

    def fault(self, endpoint, **effect):
        self.ask("POST", "faults", {"endpoint": endpoint, **effect})

    def hold_commits(self, hold):
        self.ask("POST", "commits", {"hold": hold})

    def steal(self, pipe, channel):
        pipe = f"{DATABASE}.{SCHEMA}.{pipe}"
        self.ask("POST", "channels", {"action": "steal", "pipe": pipe, "channel": channel})

    def rows(self, table):
        """The rows that landed, in the order of commits."""
        name = urllib.parse.quote(f"{DATABASE}.{SCHEMA}.{table}")
        return [json.loads(line) for line in self.ask("GET", f"rows?table={name}").splitlines()]

    def count(self, table):
        name = urllib.parse.quote(f"{DATABASE}.{SCHEMA}.{table}")
        return json.loads(self.ask("GET", f"counts?table={name}"))["rows"]

    def requests(self, ending=""):
        """The requests so far whose path ends so."""
        return [seen for seen in json.loads(self.ask("GET", "requests")) if seen["path"].endswith(ending)]

    def calm(self):
        """Ends everything that a test may have left behind."""
        self.ask("DELETE", "faults")
        self.ask("DELETE", "requests")
        self.ask("POST", "rejections", {"containing": None})
        self.ask("POST", "tokens", {"lifetime_seconds": 3600})
        self.ask("POST", "answers", {"words": "text", "errors": "code"})
        self.ask("POST", "clock", {"offset_seconds": 0})
        self.hold_commits(False)


SERVICE = None


@contextlib.contextmanager
def shared():
    """The service that all tests share, each with a table of its own."""
    global SERVICE
    with tempfile.TemporaryDirectory() as folder:
        # The authorities of all emulators. The SDK has no setting for them and reads this whenever a client is made.
        os.environ["SSL_CERT_FILE"] = f"{folder}/trust.pem"
        SERVICE = Service("--pipe", "EVENTS_PIPE=DECLARED")
        try:
            yield
        finally:
            SERVICE.remove()
