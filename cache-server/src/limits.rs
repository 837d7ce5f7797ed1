//! Limits of clients: whose request it is, how much that class may, and the layer that asks.
//!
//! ```text
//! request ─► probe? ── yes ─► passes
//!               │ no
//!            right token? ── yes ─► counted by its name, in its class
//!               │ no
//!            counted by its address, as anonymous: so who guesses tokens is soon told to wait
//! ```
//!
//! The layer, its answers and its fields are those of `cache-http`; the counting is that of `cache-ratelimit`.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use cache_core::{Clock, Counters, KeyError, QuotaError};
use cache_http::limit::{Asked, Caller, Gate, Hops, LimitLayer};
use cache_memory::MemoryCounters;
use cache_ratelimit::{Audit, Class, ClassLimiter, Classes, Decision, Fallback, Record, Subject};

use crate::app::{App, StartError};
use crate::auth;
use crate::config::{ClientSettings, Counting};
use crate::places::Places;

/// What counts, and by which settings it does.
#[derive(Debug)]
pub(crate) struct Limits {
    limiter: ArcSwap<ClassLimiter>,
    /// The counters of all servers, if they are asked.
    counters: Option<Arc<dyn Counters>>,
    hops: Hops,
    clock: Arc<dyn Clock>,
}

impl Limits {
    /// None if nobody is to be counted.
    pub(crate) fn new(
        settings: &ClientSettings,
        places: &Places,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<Self>, StartError> {
        let Some(counting) = settings.counting else { return Ok(None) };
        let counters = match counting {
            Counting::Local => None,
            Counting::Shared => places.counters("all"),
        };
        let limiter = limiter(settings.classes, counters.as_ref(), clock).map_err(StartError::new)?;
        let (limiter, hops, clock) = (ArcSwap::from_pointee(limiter), settings.hops, Arc::clone(clock));
        Ok(Some(Self { limiter, counters, hops, clock }))
    }

    /// Goes on by these limits. What was counted stays counted, unless the window is another, or a limit is above four billion.
    pub(crate) fn change(&self, classes: Classes) -> Result<(), StartError> {
        let now = self.limiter.load();
        if now.classes() != classes && !now.set_classes(classes) {
            let limiter = limiter(classes, self.counters.as_ref(), &self.clock).map_err(StartError::new)?;
            self.limiter.store(Arc::new(limiter));
        }
        Ok(())
    }

    /// What it has decided so far.
    pub(crate) fn limiter(&self) -> Arc<ClassLimiter> {
        self.limiter.load_full()
    }
}

fn limiter(
    classes: Classes,
    counters: Option<&Arc<dyn Counters>>,
    clock: &Arc<dyn Clock>,
) -> Result<ClassLimiter, QuotaError> {
    let limiter = match counters {
        None => ClassLimiter::local(classes)?,
        Some(counters) => {
            let own: Arc<dyn Counters> = Arc::new(MemoryCounters::new());
            ClassLimiter::shared(classes, counters, &Fallback::share(own, NonZeroU32::MIN))?
        }
    };
    Ok(limiter.with_clock(clock))
}

/// Counts the requests of each client of this application.
pub(crate) fn layer(app: &Arc<App>, limits: &Arc<Limits>) -> LimitLayer {
    let desk = Desk { limits: Arc::clone(limits), audit: app.audit.clone() };
    let (app, hops) = (Arc::clone(app), limits.hops);
    LimitLayer::new(Arc::new(desk), move |request: &Parts| caller(&app, hops, request))
}

fn caller(app: &App, hops: Hops, request: &Parts) -> Result<Caller, KeyError> {
    if auth::is_probe(&request.uri) {
        return Ok(Caller::Exempt);
    }
    if let Some(known) = auth::known(app, &request.headers) {
        return Ok(Caller::new(known.class, Subject::named(&known.name)?));
    }
    Ok(Caller::new(Class::Anonymous, address(hops, request).map_or_else(nobody, Subject::address)?))
}

/// Where a request comes from, as far as that can be believed.
pub(crate) fn address(hops: Hops, request: &Parts) -> Option<IpAddr> {
    let ConnectInfo(peer) = request.extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(hops.caller(&request.headers, peer.ip()))
}

/// All of whom nobody has said where they come from, which is so where the routes are mounted elsewhere without that.
fn nobody() -> Result<Subject, KeyError> {
    Subject::named("?")
}

/// Asks the limiter that holds now, and writes down what an administrator is denied.
struct Desk {
    limits: Arc<Limits>,
    audit: Option<Audit>,
}

#[async_trait]
impl Gate for Desk {
    async fn take(&self, Asked { class, subject, request }: Asked<'_>) -> Decision {
        let decision = self.limits.limiter().take(class, subject, "").await;
        if let Some(audit) = self.audit.as_ref().filter(|_| class == Class::Admin && !decision.is_admitted())
        {
            let what = format!("{} {}", request.method, request.uri.path());
            audit.record(&Record::of(subject.shown(), &what, class, &decision));
        }
        decision
    }
}
