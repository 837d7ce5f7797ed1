//! The limiters behind one question: may this request, now?

use async_trait::async_trait;
use cache_ratelimit::{Class, ClassLimiter, Decision, LocalLimiter, SharedLimiter, Subject};
use http::request::Parts;

/// What a gate is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// How much the caller may.
    pub class: Class,
    /// By what he is counted.
    pub subject: &'a Subject,
    /// What he asks for.
    pub request: &'a Parts,
}

/// Decides about requests, and charges those that it admits.
///
/// Limiters of `cache-ratelimit` are gates. Those that know no classes count each subject by itself, whatever its class.
///
/// # Cancel safety
/// A caller who goes away before he is answered may have been charged.
#[async_trait]
pub trait Gate: Send + Sync + 'static {
    /// Asks for one request, and charges it if it is admitted.
    async fn take(&self, asked: Asked<'_>) -> Decision;
}

#[async_trait]
impl Gate for ClassLimiter {
    async fn take(&self, Asked { class, subject, request }: Asked<'_>) -> Decision {
        // Only what administrators do is written down, so nobody else pays for the text.
        let is_written = class == Class::Admin && self.audit().is_some();
        let route =
            if is_written { format!("{} {}", request.method, request.uri.path()) } else { String::new() };
        self.take(class, subject, &route).await
    }
}

#[async_trait]
impl Gate for SharedLimiter {
    async fn take(&self, asked: Asked<'_>) -> Decision {
        self.take(asked.subject.key()).await
    }
}

#[async_trait]
impl Gate for LocalLimiter {
    async fn take(&self, asked: Asked<'_>) -> Decision {
        self.take(asked.subject.key())
    }
}
