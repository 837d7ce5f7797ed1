//! TLS of the server itself: a chain of certificates and its key, from two files in PEM.
//!
//! Both are read with the settings, so a file that is wrong stops a start, and changes nothing when the settings are read again.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};

use super::error::SettingsError;
use super::layers::{Given, Layers};
use super::text;

const CERTIFICATE: &str = "tls_cert_file";
const KEY: &str = "tls_key_file";
/// No chain is this long.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// The one protocol that is spoken.
const HTTP: &[u8] = b"http/1.1";

/// A certificate and its key, ready to be shown. TLS 1.2 or 1.3, by rustls with the cryptography of ring; no client has to show one.
#[derive(Clone)]
pub struct Tls(pub(crate) Arc<ServerConfig>);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

pub(super) fn read(layers: &Layers) -> Result<Option<Tls>, SettingsError> {
    let (certificate, key) = match (layers.get(CERTIFICATE), layers.get(KEY)) {
        (None, None) => return Ok(None),
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(alone), None) => return Err(missing(alone, CERTIFICATE, KEY)),
        (None, Some(alone)) => return Err(missing(alone, KEY, CERTIFICATE)),
    };
    let chain = chain(certificate)?;
    // The provider is named: with several compiled in, rustls would ask for a choice by panicking.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13, &TLS12]);
    let no_match = |error: rustls::Error| {
        let why = format!("does not go with {CERTIFICATE} = {:?}: {error}", certificate.text);
        wrong(KEY, key, &why)
    };
    let config = builder.map_err(|error| wrong(CERTIFICATE, certificate, &error.to_string()))?;
    let mut config =
        config.with_no_client_auth().with_single_cert(chain, private_key(key)?).map_err(no_match)?;
    config.alpn_protocols = vec![HTTP.to_vec()];
    Ok(Some(Tls(Arc::new(config))))
}

fn chain(given: &Given) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let pem = content(CERTIFICATE, given)?;
    let unreadable = |error: pem::Error| wrong(CERTIFICATE, given, &format!("is not PEM: {error}"));
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(unreadable)?;
    if chain.is_empty() {
        return Err(wrong(
            CERTIFICATE,
            given,
            "holds no certificate: expected PEM, which has -----BEGIN CERTIFICATE-----",
        ));
    }
    Ok(chain)
}

fn private_key(given: &Given) -> Result<PrivateKeyDer<'static>, SettingsError> {
    let unreadable = |error: pem::Error| match error {
        pem::Error::NoItemsFound => wrong(
            KEY,
            given,
            "holds no private key: expected PEM without a password, which has -----BEGIN PRIVATE KEY-----",
        ),
        error => wrong(KEY, given, &format!("is not PEM: {error}")),
    };
    PrivateKeyDer::from_pem_slice(content(KEY, given)?.as_bytes()).map_err(unreadable)
}

fn content(name: &str, given: &Given) -> Result<String, SettingsError> {
    text::read(given.text.as_ref(), MAX_FILE_BYTES).map_err(|why| wrong(name, given, &why))
}

/// Says which file it is, and what is wrong with it. Nothing of its content.
fn wrong(name: &str, Given { text, source }: &Given, why: &str) -> SettingsError {
    SettingsError::new(source, format!("{name} = {text:?}: {why}"))
}

fn missing(Given { source, .. }: &Given, given: &str, missing: &str) -> SettingsError {
    SettingsError::new(source, format!("{given} is given and {missing} is not: TLS needs both"))
}
