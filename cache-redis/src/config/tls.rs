//! Whom to trust and who we are, when connections are sealed.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::ConfigError;

/// TLS 1.2 and 1.3, by rustls. A server has to prove its name to whoever is trusted; that cannot be turned off.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    authorities: Option<Vec<u8>>,
    identity: Option<Identity>,
}

/// A certificate of ours, and its key. Shows neither when printed.
#[derive(Clone)]
pub struct Identity {
    certificates: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Trusts whom the system trusts, and shows no certificate of ours.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts these authorities, in PEM, and no others.
    #[must_use]
    pub fn with_authorities(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities = Some(pem.into());
        self
    }

    /// Shows this certificate to a server that asks for one.
    #[must_use]
    pub fn with_identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// What rustls needs to connect. Reads the system's authorities, if they are trusted.
    pub(crate) fn client(&self) -> Result<Arc<ClientConfig>, ConfigError> {
        // The provider is named: with several compiled in, rustls would ask for a choice by panicking.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(wrong("a set of protocols"))?.with_root_certificates(self.roots()?);
        let Some(Identity { certificates, key }) = &self.identity else {
            return Ok(Arc::new(builder.with_no_client_auth()));
        };
        let chain = CertificateDer::pem_slice_iter(certificates).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(wrong("a certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(wrong("a key"))?;
        let client = builder.with_client_auth_cert(chain, key).map_err(wrong("an identity"))?;
        Ok(Arc::new(client))
    }

    fn roots(&self) -> Result<RootCertStore, ConfigError> {
        let mut roots = RootCertStore::empty();
        let Some(pem) = &self.authorities else {
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
            return Ok(roots);
        };
        for authority in CertificateDer::pem_slice_iter(pem) {
            let added = authority.map_err(wrong("an authority")).map(|it| roots.add(it));
            added?.map_err(wrong("an authority"))?;
        }
        if roots.is_empty() {
            return Err(ConfigError::Tls { what: "a list of authorities", reason: "it is empty".into() });
        }
        Ok(roots)
    }
}

impl Identity {
    /// A chain of certificates, ours first, and the key of that, both in PEM.
    pub fn new(certificates: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        Self { certificates: certificates.into(), key: key.into() }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

fn wrong<E: fmt::Display>(what: &'static str) -> impl FnOnce(E) -> ConfigError {
    move |error| ConfigError::Tls { what, reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_or_key_is_refused() {
        let error = Tls::new().with_authorities("nothing").client().expect_err("there is none");
        assert_eq!(
            error.to_string(),
            "`tls` has a list of authorities that cannot be used (it is empty); use PEM"
        );
        let identity = Identity::new("", "secret");
        assert!(!format!("{identity:?}").contains("secret"));
        let error = Tls::new().with_identity(identity).client().expect_err("there is none").to_string();
        assert!(error.starts_with("`tls` has a key that cannot be used") && !error.contains("secret"));
    }
}
