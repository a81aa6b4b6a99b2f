"""Every way to log in that the SDK and the emulator share."""

import json

from scenario import Scenario, rows
from snowflake.ingest.streaming import StreamingIngestError

# A login that is refused is repeated for hours otherwise.
IMPATIENT = {
    "non_scoped_auth_failure_retry_total_backoff_seconds": 1,
    "non_scoped_auth_failure_retry_initial_backoff_seconds": 1,
    "mgmt_retry_total_backoff_seconds": 1,
    "mgmt_retry_initial_backoff_seconds": 1,
}


class Login(Scenario):
    def load(self, client):
        channel = self.channel(client)
        self.append(channel, 0, 10)
        self.commit(channel, 9)
        self.assert_landed(rows(0, 10))

    def token_types(self):
        header = "x-snowflake-authorization-token-type"
        requests = [seen for seen in self.service.requests() if "telemetry" not in seen["path"]]
        return {seen["headers"].get(header) for seen in requests}

    def test_a_key_pair(self):
        self.load(self.client())
        self.assertEqual(self.token_types(), {"KEYPAIR_JWT", "OAUTH"})

    def test_a_role(self):
        profile = self.service.folder / "profile-role.json"
        with open(self.service.profile()) as usual:
            profile.write_text(json.dumps({**json.load(usual), "role": "INGEST"}))
        self.load(self.client("profile-role"))

    def test_a_programmatic_access_token(self):
        self.load(self.client("profile-pat"))
        self.assertEqual(self.token_types(), {"PROGRAMMATIC_ACCESS_TOKEN", "OAUTH"})

    def test_a_programmatic_access_token_and_a_role(self):
        self.load(self.client("profile-pat", role="INGEST"))

    def test_an_oauth_client(self):
        self.load(self.client("profile-oauth"))
        self.assertTrue(self.service.requests("/oauth2/token"))

    def test_an_oauth_client_with_a_scope(self):
        self.load(self.client("profile-oauth", oauth_scope="session:role:INGEST"))

    def test_wrong_credentials_are_refused(self):
        for profile, wrong in (
            ("profile", {"user": "NOBODY"}),
            ("profile-pat", {"personal_access_token": "wrong"}),
            ("profile-oauth", {"oauth_client_secret": "wrong"}),
        ):
            with self.subTest(profile), self.assertRaises(StreamingIngestError):
                self.client(profile, **wrong, **IMPATIENT)

    def test_tokens_that_expire_are_renewed_on_the_way(self):
        self.service.ask("POST", "tokens", {"lifetime_seconds": 3})
        channel = self.channel(self.client(auth_refresh_buffer_duration_seconds=1))
        for first in range(0, 40, 10):
            self.append(channel, first, first + 10)
            self.commit(channel, first + 9)
        self.assert_landed(rows(0, 40))

    def test_revoked_tokens_are_renewed_and_nothing_is_lost(self):
        channel = self.channel(self.client())
        self.append(channel, 0, 10)
        self.commit(channel, 9)
        before = len(self.service.requests("/oauth/token"))
        self.service.ask("POST", "tokens", {"revoke": "scoped"})
        self.append(channel, 10, 20)
        self.commit(channel, 19)
        self.assert_landed(rows(0, 20))
        self.assertIn(401, [seen["status"] for seen in self.service.requests()])
        renewals = len(self.service.requests("/oauth/token")) - before
        self.assertTrue(1 <= renewals <= 3, renewals)

    def test_clocks_that_disagree_by_a_minute_do_no_harm(self):
        self.service.ask("POST", "clock", {"offset_seconds": -50})
        self.load(self.client())
