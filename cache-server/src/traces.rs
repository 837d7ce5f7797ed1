//! Traces: a span for each request, to a collector of OpenTelemetry, by OTLP over HTTP or https.
//!
//! A span says the method, the route's template, the status and how long it took, under the trace that the request names (`traceparent`). It
//! never holds a key, a value or a token: what it may say is written down here, and events of the log are none of it.
//!
//! What the standard variables say (`OTEL_EXPORTER_OTLP_ENDPOINT` and its kin) is read by the exporter itself; nothing is sent without an
//! endpoint. A collector that is away costs nobody an answer: spans wait in a bounded queue, and are dropped beyond it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::{MatchedPath, Request};
use axum::http::{self, Method};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HeaderExtractor, HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use thiserror::Error;
use tracing::{Instrument, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::config::text;

/// What spans of requests are for; the log has none of them.
pub(crate) const TARGET: &str = "cache_server::request";

/// What the standard calls for if nothing is said.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The authorities of a whole system are a quarter of this.
const MAX_AUTHORITIES_BYTES: u64 = 1 << 20;

/// The most bytes of a collector's answer.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// Whom to trust with https, in PEM.
const AUTHORITIES: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
/// The server shows none.
const OWN_CERTIFICATES: [&str; 2] =
    ["OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"];
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];

/// Sends spans until it is shut down.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

/// A variable that says what cannot be done.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct TracesError(String);

impl Traces {
    /// As these variables say, which are to be those of this process; none if they name no endpoint, or say that there is to be none.
    ///
    /// # Errors
    /// An endpoint or a protocol that is not offered, or nobody to trust with https.
    pub fn from_environment(variables: &BTreeMap<String, String>) -> Result<Option<Self>, TracesError> {
        let first = |names: &[&'static str]| {
            let said =
                |name: &&'static str| Some((*name, variables.get(*name).filter(|text| !text.is_empty())?));
            names.iter().find_map(said)
        };
        let is_said =
            |name: &str, text: &str| variables.get(name).is_some_and(|said| said.eq_ignore_ascii_case(text));
        let Some((name, endpoint)) = first(&ENDPOINTS) else { return Ok(None) };
        if is_said("OTEL_SDK_DISABLED", "true") || is_said("OTEL_TRACES_EXPORTER", "none") {
            return Ok(None);
        }
        let is_sealed = endpoint.starts_with("https://");
        if !is_sealed && !endpoint.starts_with("http://") {
            // It may have a password in it.
            let right = "https://host:port is right, or http://host:port to a collector beside the server";
            return Err(TracesError(format!("{name}: not an address over http or https; {right}")));
        }
        if let Some((name, _)) = first(&OWN_CERTIFICATES) {
            return Err(TracesError(format!(
                "{name}: this server shows no certificate of its own; a collector beside it can"
            )));
        }
        if let Some((name, protocol)) = first(&PROTOCOLS).filter(|(_, protocol)| *protocol != "http/protobuf")
        {
            return Err(TracesError(format!(
                "{name} = {protocol:?}: http/protobuf is offered, and nothing else"
            )));
        }
        let wrong = |error: &dyn fmt::Display| TracesError(format!("OTEL_EXPORTER_OTLP_*: {error}"));
        let trusted = if is_sealed { Some(trusted(first(&AUTHORITIES))?) } else { None };
        let exporter = SpanExporter::builder().with_http().with_http_client(Collector::new(trusted)).build();
        let exporter = exporter.map_err(|error| wrong(&error))?;
        let mut resource = Resource::builder();
        let attributes = variables.get("OTEL_RESOURCE_ATTRIBUTES").map_or("", String::as_str);
        if first(&["OTEL_SERVICE_NAME"]).is_none() && !attributes.contains("service.name=") {
            resource = resource.with_service_name("cache-server");
        }
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build());
        Ok(Some(Self(provider.build())))
    }

    /// Where spans of requests end up; nothing else does.
    pub(crate) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("cache-server"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|about| about.target() == TARGET))
    }

    /// Sends what waits, for some seconds at most, and ends.
    pub fn shutdown(&self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "not all spans were taken by the collector");
        }
    }
}

/// A request in its span.
pub(crate) async fn request(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str);
    let method = known(request.method());
    let span = tracing::info_span!(
        target: TARGET,
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = tracing::field::Empty,
    );
    if span.is_disabled() {
        return next.run(request).await;
    }
    let parent = TraceContextPropagator::new().extract(&HeaderExtractor(request.headers()));
    // A span that is new has no children yet, so that this cannot fail.
    let _ = span.set_parent(parent);
    let response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    if response.status().is_server_error() {
        span.record("otel.status_code", "error");
    }
    response
}

/// A method by its name, if it is one of HTTP's: others are whatever the client likes.
fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| method == *known).unwrap_or("_OTHER")
}

/// The authorities of this file, or those of the system.
fn trusted(file: Option<(&'static str, &String)>) -> Result<Vec<Certificate<'static>>, TracesError> {
    let Some((name, path)) = file else {
        let system = rustls_native_certs::load_native_certs().certs;
        let trusted: Vec<_> = system.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        let none = "the system trusts nobody, so no collector can be asked over https; name a file in PEM by";
        return if trusted.is_empty() {
            Err(TracesError(format!("{none} {}", AUTHORITIES[1])))
        } else {
            Ok(trusted)
        };
    };
    let wrong = |why: String| TracesError(format!("{name} = {path:?}: {why}"));
    let pem = text::read(path.as_ref(), MAX_AUTHORITIES_BYTES).map_err(wrong)?;
    let mut trusted = Vec::new();
    for item in parse_pem(pem.as_bytes()) {
        match item {
            Ok(PemItem::Certificate(certificate)) => trusted.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(wrong(format!("is not PEM: {error}"))),
        }
    }
    if trusted.is_empty() {
        return Err(wrong("has no certificate to trust".to_owned()));
    }
    Ok(trusted)
}

/// The way to the collector. The exporter has a thread of its own, which waits for nothing else, and so the client may block.
#[derive(Debug)]
struct Collector {
    agent: ureq::Agent,
    is_away: AtomicBool,
}

impl Collector {
    /// Asks whoever one of these vouches for by https, and nobody if there are none.
    fn new(trusted: Option<Vec<Certificate<'static>>>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(TIMEOUT));
        let config = match trusted {
            None => config,
            Some(trusted) => {
                // The provider is named: with several compiled in, rustls would ask for a choice by panicking.
                let provider = Arc::new(rustls::crypto::ring::default_provider());
                let tls = TlsConfig::builder()
                    .root_certs(RootCerts::Specific(Arc::new(trusted)))
                    .unversioned_rustls_crypto_provider(provider);
                config.https_only(true).tls_config(tls.build())
            }
        };
        Self { agent: config.build().new_agent(), is_away: AtomicBool::new(false) }
    }

    fn send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, ureq::Error> {
        let (parts, body) = request.into_parts();
        let (parts, mut body) = self.agent.run(http::Request::from_parts(parts, &body[..]))?.into_parts();
        let bytes = body.with_config().limit(MAX_ANSWER_BYTES).read_to_vec()?;
        Ok(http::Response::from_parts(parts, bytes.into()))
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        let answer = self.send(request);
        let is_away = !answer.as_ref().is_ok_and(|answer| answer.status().is_success());
        // Said when it changes, and not for each batch.
        if is_away != self.is_away.swap(is_away, Relaxed) {
            match &answer {
                Err(error) => tracing::warn!(%error, "the collector of spans is away"),
                Ok(answer) => {
                    let status = answer.status().as_u16();
                    let event = if is_away {
                        "the collector refuses spans"
                    } else {
                        "the collector takes spans again"
                    };
                    tracing::warn!(status, "{event}");
                }
            }
        }
        Ok(answer?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(variables: &[(&str, &str)], expected: Result<bool, &str>) {
        let variables =
            variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        match (Traces::from_environment(&variables), expected) {
            (Ok(traces), Ok(there)) => assert_eq!(traces.is_some(), there),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (got, expected) => panic!("{got:?} is not {expected:?}"),
        }
    }

    #[test]
    fn nothing_is_sent_unless_it_is_said_where_and_what_is_not_offered_is_refused() {
        let there = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
        check(&[], Ok(false));
        check(&[there], Ok(true));
        check(&[there, ("OTEL_SDK_DISABLED", "True")], Ok(false));
        check(&[there, ("OTEL_TRACES_EXPORTER", "none")], Ok(false));
        check(&[there, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], Err("http/protobuf is offered"));
        check(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://u:hidden@x")], Err("https://host:port is right"));
        let sealed = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:1");
        let certificates = cache_testkit::tls::Certificates::new();
        let authority = certificates.authority();
        let trusted = ("OTEL_EXPORTER_OTLP_CERTIFICATE", authority.to_str().expect("text"));
        check(&[sealed, trusted], Ok(true));
        check(&[sealed, ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/such")], Err("cannot be read"));
        check(&[sealed, ("OTEL_EXPORTER_OTLP_CERTIFICATE", "Cargo.toml")], Err("no certificate to trust"));
        check(&[sealed, ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "own.pem")], Err("shows no certificate"));
    }

    #[test]
    fn a_method_that_nobody_knows_is_not_repeated() {
        assert_eq!(known(&Method::PATCH), "PATCH");
        assert_eq!(known(&Method::from_bytes(b"SECRET").expect("legal")), "_OTHER");
    }
}
