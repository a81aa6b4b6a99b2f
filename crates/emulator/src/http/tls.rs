//! TLS: a private certificate authority, and a certificate by it for this machine.

use std::error::Error;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;

/// What the server needs for TLS, and the authority that its clients have to trust.
pub(crate) struct ServerIdentity {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) ca_pem: String,
}

impl ServerIdentity {
    /// Makes both certificates anew, with the given key of the authority (PKCS#8). Clients that trust an earlier
    /// authority of the same key trust this one, too, so only the key has to outlive the process.
    pub(crate) fn generate(authority_key: &[u8]) -> io::Result<Self> {
        Self::try_generate(authority_key).map_err(|error| io::Error::other(format!("TLS: {error}")))
    }

    fn try_generate(authority_key: &[u8]) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let (authority, issuer) = authority(KeyPair::try_from(authority_key)?)?;
        let key = KeyPair::generate()?;
        let leaf = leaf(&key, &issuer)?;
        // Two providers can be linked into one program, so the choice is never left to the process.
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
        let ca_pem = pem::encode_config(
            &pem::Pem::new("CERTIFICATE", authority.der().to_vec()),
            pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
        );
        Ok(Self { config: Arc::new(config), ca_pem })
    }
}

fn authority(key: KeyPair) -> Result<(Certificate, Issuer<'static, KeyPair>), rcgen::Error> {
    let mut params = named("Snowpipe Streaming emulator authority")?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?;
    Ok((certificate, Issuer::new(params, key)))
}

fn leaf(key: &KeyPair, issuer: &Issuer<'_, KeyPair>) -> Result<Certificate, rcgen::Error> {
    let mut params = named("Snowpipe Streaming emulator")?;
    params.subject_alt_names =
        vec![SanType::IpAddress(Ipv4Addr::LOCALHOST.into()), SanType::DnsName("localhost".try_into()?)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.signed_by(key, issuer)
}

/// Valid from yesterday, for clients whose clock is behind, and for a year: some verifiers refuse certificates that are
/// valid for longer.
fn named(common_name: &str) -> Result<CertificateParams, rcgen::Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::new(Vec::new())?;
    params.not_before = epoch + now.saturating_sub(DAY);
    params.not_after = epoch + now + DAY * 365;
    params.distinguished_name.push(DnType::CommonName, common_name);
    Ok(params)
}

const DAY: Duration = Duration::from_secs(86_400);
