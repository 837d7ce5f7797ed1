//! Whom this server trusts where it is a client itself: the authorities that were named, or those of the system.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// What TLS 1.2 or 1.3 needs to ask a server that one of these, in PEM, vouches for.
pub(crate) fn client(authorities: Option<&str>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    match authorities {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(pem) => {
            for authority in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let authority = authority.map_err(|error| format!("is not PEM: {error}"))?;
                roots
                    .add(authority)
                    .map_err(|error| format!("has a certificate that cannot be used: {error}"))?;
            }
        }
    }
    if roots.is_empty() {
        return Err("has no certificate to trust".to_owned());
    }
    // The provider is named: with several compiled in, rustls would ask for a choice by panicking.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
