//! The discovery document, and the ways in which it can be unlike what a client hopes for.

use serde::Deserialize;
use serde_json::json;

use super::Ocms;
use crate::http::response::Response;

/// The form of the discovery document.
///
/// ```
/// use snowpipe_emulator::hiiretail::{DiscoveryForm, HiiRetail};
///
/// let service = HiiRetail::start()?;
/// service.discover_as(DiscoveryForm::TrailingSlash);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DiscoveryForm {
    /// The issuer is the service's URL, and the grant types are listed.
    #[default]
    Usual,
    /// The issuer ends with a slash.
    TrailingSlash,
    /// The grant types are absent, which the standards allow.
    NoGrantTypes,
    /// The grant types are listed without `client_credentials`.
    OtherGrantTypes,
    /// The document names this issuer.
    Issuer(String),
    /// The document names this token endpoint.
    TokenEndpoint(String),
    /// 404.
    Absent,
    /// A document of two megabytes.
    Oversized,
}

pub(crate) fn document(ocms: &Ocms) -> Response {
    let (url, form) = (&ocms.url, ocms.discovery.lock().clone());
    let mut document = json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/oauth2/auth"),
        "token_endpoint": format!("{url}/oauth2/token"),
        "jwks_uri": format!("{url}/.well-known/jwks.json"),
        "grant_types_supported": ["authorization_code", "client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    });
    match form {
        DiscoveryForm::Usual => {}
        DiscoveryForm::TrailingSlash => document["issuer"] = format!("{url}/").into(),
        DiscoveryForm::NoGrantTypes => document["grant_types_supported"] = json!(null),
        DiscoveryForm::OtherGrantTypes => document["grant_types_supported"] = json!(["authorization_code"]),
        DiscoveryForm::Issuer(issuer) => document["issuer"] = issuer.into(),
        DiscoveryForm::TokenEndpoint(endpoint) => document["token_endpoint"] = endpoint.into(),
        DiscoveryForm::Absent => return Response::status_name(404),
        DiscoveryForm::Oversized => document["padding"] = "x".repeat(OVERSIZED).into(),
    }
    if let Some(fields) = document.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    Response::json(200, &document)
}

/// More than any client should read: real documents have a few kilobytes.
const OVERSIZED: usize = 2 << 20;
