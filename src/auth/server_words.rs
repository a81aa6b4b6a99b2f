use super::fields::Fields;
use crate::error::clean;
use crate::http::page;
use crate::secret::Redaction;

/// What an authorization server says about a failure, in any of the forms that servers use. Nothing secret.
#[derive(Debug)]
pub(super) struct ServerWords {
    /// Of RFC 6749, or the server's own.
    pub(super) code: Option<String>,
    /// One line, often empty.
    text: String,
    /// Not so for the page of a proxy or gateway.
    pub(super) is_json: bool,
}

impl ServerWords {
    /// `redaction` is of what was sent: some servers repeat it.
    pub(super) fn of(body: &str, redaction: &Redaction) -> ServerWords {
        let shown = |text: &str| clean(&redaction.redact(text));
        let Some(fields) = Fields::of(body) else {
            let text = shown(&page::readable(&redaction.redact(body)));
            return ServerWords { code: None, text, is_json: false };
        };
        let mut texts = Vec::new();
        let code = gather(&fields, &mut texts).map(|code| shown(&code));
        texts.dedup();
        let mut text = shown(&texts.join("; "));
        // Whoever runs the server finds the refusal by it.
        let trace = TRACES.iter().find_map(|name| Some((name, shown(&fields.text(name)?))));
        if let Some((name, id)) = trace.filter(|(_, id)| !text.contains(id)) {
            let separator = if text.is_empty() { "" } else { ", " };
            text.push_str(&format!("{separator}{name} {id}"));
        }
        ServerWords { code, text, is_json: true }
    }

    /// The same of a response with a successful status, which may hold a token anywhere: only what it calls an error, or the
    /// title of a page.
    pub(super) fn of_success(body: &str, redaction: &Redaction) -> ServerWords {
        let fields = Fields::of(body);
        if fields.as_ref().is_some_and(reports_error) {
            return ServerWords::of(body, redaction);
        }
        let title = page::title(body).unwrap_or_default();
        ServerWords { code: None, text: clean(&redaction.redact(title)), is_json: fields.is_some() }
    }

    /// What happened, with what the server says of it.
    pub(super) fn after(&self, happened: &str) -> String {
        if self.text.is_empty() { happened.to_owned() } else { format!("{happened}: {}", self.text) }
    }
}

/// Whether it calls itself an error. An empty member is none.
pub(super) fn reports_error(fields: &Fields<'_>) -> bool {
    ERRORS.iter().any(|name| fields.text(name).is_some() || fields.object(name).is_some_and(|error| !error.is_empty()))
}

/// The code of an error response; `None` if there is none.
pub(super) fn code_of(body: &str) -> Option<String> {
    gather(&Fields::of(body)?, &mut Vec::new())
}

/// Returns the code, and adds the texts. A code has no spaces: some servers write a sentence in its place.
fn gather(fields: &Fields<'_>, texts: &mut Vec<String>) -> Option<String> {
    let mut code = None;
    for value in CODES.iter().filter_map(|name| fields.text(name)) {
        match value.contains(char::is_whitespace) {
            true => texts.push(value),
            false if code.is_none() => code = Some(value),
            false => {}
        }
    }
    texts.extend(TEXTS.iter().filter_map(|name| fields.text(name)));
    for inner in NESTED.iter().filter_map(|name| fields.object(name)) {
        let inner = gather_inner(&inner, texts);
        code = code.or(inner);
    }
    code
}

/// One level is what servers use.
fn gather_inner(fields: &Fields<'_>, texts: &mut Vec<String>) -> Option<String> {
    texts.extend(TEXTS.iter().filter_map(|name| fields.text(name)));
    CODES.iter().find_map(|name| fields.text(name))
}

/// RFC 6749 and most others; Okta; Azure and some gateways; Ping and gRPC; Cognito.
const CODES: [&str; 5] = ["error", "errorCode", "error_code", "code", "__type"];
/// Members that a response with a token does not have.
const ERRORS: [&str; 3] = ["error", "errorCode", "error_code"];
/// RFC 6749; Okta; Hydra; Keycloak; most gateways; RFC 9457, twice.
const TEXTS: [&str; 8] =
    ["error_description", "errorSummary", "error_hint", "errorMessage", "message", "Message", "title", "detail"];
/// Google and gateways; JSON:API; Okta; Ping.
const NESTED: [&str; 4] = ["error", "errors", "errorCauses", "details"];
/// Azure, twice; Okta; Ping.
const TRACES: [&str; 4] = ["trace_id", "correlation_id", "errorId", "id"];

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str) -> (Option<String>, String) {
        let words = ServerWords::of(body, &Redaction::default());
        (words.code.clone(), words.after("refused"))
    }

    #[test]
    fn the_words_of_each_kind_of_server_are_found() {
        for (body, code, text) in [
            (r#"{"error":"invalid_client"}"#, Some("invalid_client"), "refused"),
            // Keycloak.
            (
                r#"{"error":"unauthorized_client","error_description":"Invalid client or Invalid client credentials"}"#,
                Some("unauthorized_client"),
                "refused: Invalid client or Invalid client credentials",
            ),
            (r#"{"error":"Realm does not exist"}"#, None, "refused: Realm does not exist"),
            // Okta.
            (
                r#"{"errorCode":"invalid_client","errorSummary":"Invalid value for 'client_id' parameter.","errorLink":"invalid_client","errorId":"oae4fPlb1","errorCauses":[]}"#,
                Some("invalid_client"),
                "refused: Invalid value for 'client_id' parameter., errorId oae4fPlb1",
            ),
            (
                r#"{"errorCode":"E0000001","errorSummary":"Api validation failed","errorCauses":[{"errorSummary":"scope: not allowed"}]}"#,
                Some("E0000001"),
                "refused: Api validation failed; scope: not allowed",
            ),
            // Auth0.
            (
                r#"{"error":"access_denied","error_description":"Client is not authorized to access \"https://api.example\"."}"#,
                Some("access_denied"),
                "refused: Client is not authorized to access \"https://api.example\".",
            ),
            (
                r#"{"statusCode":400,"error":"Bad Request","message":"Payload validation error","errorCode":"invalid_body"}"#,
                Some("invalid_body"),
                "refused: Bad Request; Payload validation error",
            ),
            // Entra ID.
            (
                r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 0d1a","error_codes":[7000215],"timestamp":"2026-01-01 00:00:00Z","trace_id":"0d1a","correlation_id":"77c2","error_uri":"https://login.example/error?code=7000215"}"#,
                Some("invalid_client"),
                "refused: AADSTS7000215: Invalid client secret provided. Trace ID: 0d1a",
            ),
            (
                r#"{"error":"invalid_resource","error_description":"AADSTS500011","error_codes":[500011],"trace_id":"0d1a"}"#,
                Some("invalid_resource"),
                "refused: AADSTS500011, trace_id 0d1a",
            ),
            // Cognito, and the gateway before it.
            (
                r#"{"__type":"NotAuthorizedException","message":"Unable to verify secret hash"}"#,
                Some("NotAuthorizedException"),
                "refused: Unable to verify secret hash",
            ),
            (r#"{"message":"Forbidden"}"#, None, "refused: Forbidden"),
            // PingOne.
            (
                r#"{"id":"6f-1","code":"INVALID_DATA","message":"The request could not be completed.","details":[{"code":"INVALID_VALUE","target":"scope","message":"scope must be known"}]}"#,
                Some("INVALID_DATA"),
                "refused: The request could not be completed.; scope must be known, id 6f-1",
            ),
            // Hydra.
            (
                r#"{"error":"invalid_request","error_description":"The request is malformed.","error_hint":"Requested audience is not whitelisted.","status_code":400}"#,
                Some("invalid_request"),
                "refused: The request is malformed.; Requested audience is not whitelisted.",
            ),
            // Google.
            (
                r#"{"error":{"code":401,"message":"Request had invalid credentials.","status":"UNAUTHENTICATED"}}"#,
                Some("401"),
                "refused: Request had invalid credentials.",
            ),
            // RFC 9457.
            (r#"{"type":"about:blank","title":"Unauthorized","status":401}"#, None, "refused: Unauthorized"),
            // Of another shape than the RFC's.
            (
                r#"{"error":"invalid_scope","error_description":["no such scope:","x"]}"#,
                Some("invalid_scope"),
                "refused: no such scope: x",
            ),
            (r#"{"error":"","error_description":null}"#, None, "refused"),
            ("\u{feff}{\"error\":\"invalid_grant\"}", Some("invalid_grant"), "refused"),
        ] {
            assert_eq!(said(body), (code.map(str::to_owned), text.to_owned()), "{body}");
            assert_eq!(code_of(body).as_deref(), code);
        }
    }

    #[test]
    fn a_page_is_shown_by_its_words() {
        for (body, text) in [
            ("", "refused"),
            ("upstream connect error", "refused: upstream connect error"),
            ("<html><HEAD><Title lang=en> 403 Forbidden\n</TITLE></head><body>x</body>", "refused: 403 Forbidden x"),
            ("<style>p { color: red }</style><p>Access denied", "refused: Access denied"),
            ("expected 1 < 2", "refused: expected 1 < 2"),
            ("<p>Access <b>denied</b> <br", "refused: Access denied"),
            ("<title></title>denied", "refused: denied"),
            ("<title>ü", "refused: ü"),
        ] {
            let words = ServerWords::of(body, &Redaction::default());
            assert_eq!((words.after("refused").as_str(), words.is_json), (text, false), "{body}");
        }
        let long = ServerWords::of(&format!("<p>{}", "long ".repeat(1000)), &Redaction::default());
        assert!(long.after("refused").chars().count() < 320);
    }

    #[test]
    fn nothing_of_a_successful_response_is_shown_but_its_error_or_the_title_of_a_page() {
        for (body, text) in [
            ("eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "odd"),
            ("\"eyJhbGciOiJSUzI1NiJ9.e30.c2ln\"", "odd"),
            (r#"{"token":"eyJh","id":"eyJh","code":"eyJh","message":"eyJh"}"#, "odd"),
            (r#"{"error":"odd","message":"so it is"}"#, "odd: so it is"),
            ("<html><title>Log in</title><p>eyJh", "odd: Log in"),
        ] {
            assert_eq!(ServerWords::of_success(body, &Redaction::default()).after("odd"), text, "{body}");
        }
    }

    #[test]
    fn what_was_sent_is_shown_in_no_part_of_the_words() {
        let redaction = Redaction::of([&"hunter2-hunter2".into()]);
        for body in [
            r#"{"error":"hunter2-hunter2","error_description":"hunter2-hunter2","trace_id":"hunter2-hunter2"}"#,
            r#"{"message":"got aWQ6aHVudGVyMi1odW50ZXIy and hunter2%2Dhunter2"}"#,
            "<p>hunter2-<b>hunter2</b>",
            "<title>hunter2-hunter2</title>",
        ] {
            let words = ServerWords::of(body, &redaction);
            let shown = format!("{} {words:?}", words.after(""));
            assert!(!shown.contains("hunter2-") && !shown.contains("odW50ZXIy"), "{shown}");
        }
    }
}
