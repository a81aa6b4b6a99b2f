//! What the error of a refusal says: whether it is the service's own, and what to do.

use std::time::Duration;

use snowpipe_emulator::{Emulator, Endpoint, Fault};
use snowpipe_streaming::{CheckOutcome, CheckStep, Error, ErrorKind};

use crate::support::{Scripted, client_of};

const PAGE: &str = "<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n<center><h1>403 Forbidden</h1></center>\r\n\
                    <hr><center>nginx/1.25</center>\r\n</body>\r\n</html>\r\n";

/// Of a login by key pair.
fn refused(fault: Fault) -> Error {
    let service = Emulator::start().unwrap();
    service.inject(fault.times(9));
    client_of(&service).token().unwrap_err()
}

#[test]
fn a_wrong_account_url_is_said_to_be_one_and_not_tried_again() {
    for (status, body) in [(403, ""), (403, PAGE), (404, ""), (404, PAGE), (501, ""), (505, ""), (513, ""), (513, PAGE)]
    {
        let service = Scripted::start();
        for _ in 0..12 {
            service.next("hostname", status, body);
        }
        let client = service.builder().retry_pause(Duration::ZERO).build().unwrap();
        let error = client.token().unwrap_err();
        assert_eq!((error.is_retryable(), error.status()), (false, Some(status)), "{error}");
        assert!(matches!(error.kind(), ErrorKind::Refused | ErrorKind::Credentials), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("; check the account URL") && !text.contains("try again"), "{text}");
        assert!(!text.contains("obtain a new one"), "a cure for the login: {text}");
        let report = client.check();
        assert!(matches!(report.outcome(CheckStep::AccountHost), CheckOutcome::Failed(_)), "{status} {body}: {report}");
    }
}

#[test]
fn a_page_is_shown_in_words_and_the_login_is_not_blamed_for_it() {
    let error = refused(Fault::status(Endpoint::Hostname, 403).body(PAGE));
    assert_eq!((error.kind(), error.code()), (ErrorKind::Refused, None), "{error}");
    let text = error.to_string();
    assert!(text.contains("the response of 127.0.0.1:"), "{text}");
    assert!(text.contains(" does not look like the service's: 403 Forbidden nginx/1.25 (HTTP 403"), "{text}");
    assert!(text.contains("whether a proxy or a gateway responds in place of the service"), "{text}");
    assert!(!text.contains('<') && !text.contains("DESC USER") && !text.contains("SHA256:"), "{text}");
}

#[test]
fn a_refusal_without_a_reason_names_the_login_and_claims_no_cure() {
    for status in [401, 403] {
        let error = refused(Fault::status(Endpoint::Hostname, status));
        assert_eq!((error.kind(), error.status()), (ErrorKind::Credentials, Some(status)), "{error}");
        let text = error.to_string();
        assert!(text.contains(" refused the request without a reason (HTTP "), "{text}");
        assert!(text.contains("user LOADER, public key SHA256:") && !text.contains("DESC USER"), "{text}");
    }
}

#[test]
fn a_refusal_of_the_services_own_has_the_cure() {
    let with_code =
        Fault::status(Endpoint::Hostname, 401).body(r#"{"code":"390144","message":"JWT token is invalid. [1]"}"#);
    let marked = Fault::status(Endpoint::Hostname, 403).header("X-Snowflake-Fe-Instance", "envoy-1");
    for fault in [with_code, marked] {
        let error = refused(fault);
        assert_eq!(error.kind(), ErrorKind::Credentials, "{error}");
        assert!(error.to_string().contains("compare the user's key and login name with DESC USER"), "{error}");
    }
}

#[test]
fn a_trial_that_has_expired_costs_no_exchange() {
    for body in [r#"{"code":"390913","message":"Your free trial has expired."}"#, "Your free trial has expired."] {
        let service = Scripted::start();
        let pipe = service.pipe();
        for _ in 0..10 {
            service.next("open", 403, body);
            assert!(pipe.channel("c").open().unwrap_err().to_string().contains("Your free trial has expired."));
        }
        assert_eq!((service.seen_at("token").len(), service.seen_at("open").len()), (1, 10));
    }
}
