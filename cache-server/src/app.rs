//! The application: what all requests share, and the server as its owner sees it.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use cache_core::{Clock, SystemClock, Time};
use cache_http::limit::Hops;
use cache_ratelimit::Audit;
use cache_refresh::Warming;
use rustls::ServerConfig;
use strata::Presets;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::auth::{self, Guard};
use crate::budgets::Budgets;
use crate::config::{Admin, Cors, Settings, Tls, WarmingSettings};
use crate::crowd::Crowd;
use crate::figures::Figures;
use crate::insight::History;
use crate::limits::{self, Limits};
use crate::places::Places;
use crate::regions::{CreateError, Regions};
use crate::{admin, api, budgets, cors, edge, origin, serve, warm};

/// How long a region that stops waits for a tier that is away.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A server with its regions, ready to listen.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    limits: serve::Limits,
    /// Where acts of administrators are answered, if that is apart.
    admin: Option<TcpListener>,
}

/// A running server, as its owner changes it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle(Arc<App>);

impl Handle {
    /// Goes on by these settings, without dropping a connection: regions, presets, tokens, the certificate of new connections, and how much each
    /// class of clients may. Regions that are not named stay. Returns the names
    /// of settings that have changed and only take effect at a start.
    ///
    /// # Errors
    /// No token any more, where others than this machine, or the pages of others, can use the server: then nothing has changed. A region that cannot be made or
    /// changed so: then what comes before it in the order of names has.
    pub fn reload(&self, settings: Settings) -> Result<Vec<&'static str>, StartError> {
        self.0.reload(settings)
    }
}

/// Why a server cannot be made. Settings that were read by this crate give none of these.
#[derive(Debug, Error)]
#[error("{message}")]
pub struct StartError {
    message: String,
}

impl StartError {
    pub(crate) fn new(error: impl std::fmt::Display) -> Self {
        Self { message: error.to_string() }
    }
}

impl Server {
    /// Makes the regions of the settings.
    ///
    /// # Errors
    /// A region that cannot be made.
    pub fn new(settings: Settings) -> Result<Self, StartError> {
        Self::with_clock(settings, Arc::new(SystemClock::new()))
    }

    /// As [`new`](Self::new), with entries that live by this clock.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_clock(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let limits = serve::Limits::new(&settings);
        Ok(Self { app: Arc::new(App::new(settings, clock)?), limits, admin: None })
    }

    /// For whoever changes it while it runs.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.app))
    }

    /// All routes, to be mounted elsewhere or asked without a socket; without acts of administrators, if the settings say that those are
    /// answered elsewhere or nowhere. Addresses of clients, which limits and the audit log ask for, are then those
    /// of `axum::extract::ConnectInfo<SocketAddr>`.
    pub fn router(&self) -> Router {
        self.router_for(self.app.settings.admin == Admin::Beside)
    }

    /// All routes, acts of administrators among them, wherever the settings say that those are answered.
    pub fn admin_router(&self) -> Router {
        self.router_for(true)
    }

    fn router_for(&self, is_admin: bool) -> Router {
        let app = &self.app;
        let router = api::router(app)
            .layer(from_fn_with_state(Arc::clone(app), auth::check))
            .layer(from_fn_with_state(Arc::clone(app), origin::check));
        let router = if is_admin { router } else { router.layer(from_fn(admin::apart)) };
        // Where nobody is counted, nobody pays for it.
        let router = match &app.limits {
            Some(limits) => router.layer(limits::layer(app, limits)),
            None => router,
        };
        // A page may see that it was too often as well, and a browser that asks is no client.
        let router = match app.cors() {
            Some(cors) => router.layer(cors::layer(cors)),
            None => router,
        };
        let router = router.layer(from_fn_with_state(Arc::clone(app), edge::guard));
        #[cfg(feature = "otel")]
        let router = router.layer(from_fn(crate::traces::request));
        router.with_state(Arc::clone(app))
    }

    /// Answers acts of administrators, and everything else, there as well. Without it, and with settings that say that they are answered
    /// apart, they are answered nowhere.
    #[must_use]
    pub fn with_admin(self, listener: TcpListener) -> Self {
        Self { admin: Some(listener), ..self }
    }

    /// Serves until `shutdown` is ready and the requests of that moment are finished, or the drain timeout is over.
    ///
    /// # Cancel safety
    /// Dropping it ends the server and its connections at once.
    pub async fn run(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let mut ports = vec![(listener, self.router())];
        let admin_router = self.admin_router();
        ports.extend(self.admin.map(|listener| (listener, admin_router)));
        let app = Arc::clone(&self.app);
        app.begin_warming().await;
        serve::serve(ports, self.app, self.limits, shutdown).await;
        app.close().await;
    }
}

/// What all requests share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) regions: Regions,
    presets: ArcSwap<Presets>,
    guard: ArcSwapOption<Guard>,
    /// As they were at the start, for what cannot be changed later.
    settings: Settings,
    tls: ArcSwapOption<ServerConfig>,
    pub(crate) limits: Option<Arc<Limits>>,
    pub(crate) crowd: Crowd,
    pub(crate) audit: Option<Audit>,
    pub(crate) figures: Figures,
    pub(crate) body_limit_bytes: usize,
    pub(crate) body_timeout: Duration,
    /// How long the rest of a body that nobody wants may take: no longer than a connection may idle.
    pub(crate) linger_timeout: Duration,
    pub(crate) max_connections: usize,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) history: History,
    pub(crate) watchers: api::Watchers,
    pub(crate) walks: api::Walks,
    pub(crate) jobs: api::Jobs,
    budgets: Budgets,
    started: Time,
    draining: watch::Sender<bool>,
    /// From when it runs on, if there are any warmers.
    warming: OnceLock<Warming>,
}

impl App {
    pub(crate) fn new(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let places = Places::open(&settings.places, settings.body_limit_bytes)?;
        let regions = Regions::new(places, Arc::clone(&clock), settings.prefix_delimiter);
        for (name, region) in &settings.regions {
            regions.create(name, region)?;
        }
        let figures = Figures::new().map_err(|error| StartError { message: format!("metrics: {error}") })?;
        let limits = Limits::new(&settings.clients, regions.places(), &clock)?;
        let budgets = budgets::open(&settings.warming.budgets, regions.places(), &clock)?;
        Ok(Self {
            tls: ArcSwapOption::from(settings.tls.clone().map(|Tls(config)| config)),
            limits: limits.map(Arc::new),
            crowd: Crowd::new(settings.clients.max_requests),
            audit: settings.audit_log.as_deref().map(audit).transpose()?,
            regions,
            presets: ArcSwap::from_pointee(settings.presets.clone()),
            guard: ArcSwapOption::from(Guard::new(&settings).map(Arc::new)),
            figures,
            body_limit_bytes: settings.body_limit_bytes,
            body_timeout: settings.body_timeout,
            linger_timeout: settings.body_timeout.min(settings.header_timeout),
            max_connections: settings.max_connections,
            history: History::new(clock.now()),
            watchers: api::Watchers::new(),
            walks: api::Walks::new(),
            jobs: api::Jobs::default(),
            budgets,
            started: clock.now(),
            clock,
            draining: watch::Sender::new(false),
            warming: OnceLock::new(),
            settings,
        })
    }

    fn reload(&self, settings: Settings) -> Result<Vec<&'static str>, StartError> {
        // Where it listens is as it was at the start, whatever is said of it now.
        let reachable = self.settings.addresses().find(|(_, address)| !address.ip().is_loopback());
        if let Some((_, address)) = reachable.filter(|_| !settings.is_guarded()) {
            return Err(StartError::new(format!(
                "this server listens on {address}, and without a token everyone there could use it"
            )));
        }
        if !settings.is_guarded() && self.settings.cors == Some(Cors::Everybody) {
            let message = "this server was started with cors_origins = \"*\", and without a token every page of the web could use it";
            return Err(StartError::new(message));
        }
        for (name, region) in &settings.regions {
            match self.regions.find(name) {
                Some(cache) => Regions::change(&cache, &region.into()).map_err(StartError::new)?,
                None => drop(self.regions.create(name, region)?),
            }
        }
        if let Some(limits) = &self.limits {
            limits.change(settings.clients.classes)?;
        }
        self.guard.store(Guard::new(&settings).map(Arc::new));
        // Whether TLS is spoken is as it was: a port that spoke it is not opened to all by what a file does not say any more.
        if let Some(Tls(config)) = settings.tls.clone().filter(|_| self.settings.tls.is_some()) {
            self.tls.store(Some(config));
        }
        let restarts = self.settings.that_differ(&settings);
        self.presets.store(Arc::new(settings.presets));
        Ok(restarts)
    }

    pub(crate) fn presets(&self) -> Arc<Presets> {
        self.presets.load_full()
    }

    /// Who may ask; nobody in particular if there is none.
    pub(crate) fn guard(&self) -> arc_swap::Guard<Option<Arc<Guard>>> {
        self.guard.load()
    }

    /// With what new connections are sealed, if they are.
    pub(crate) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.tls.load_full()
    }

    /// Whose pages may use this server from a browser.
    pub(crate) fn cors(&self) -> Option<&Cors> {
        self.settings.cors.as_ref()
    }

    /// How many proxies are believed about where a request comes from.
    pub(crate) fn hops(&self) -> Hops {
        self.settings.clients.hops
    }

    /// Whether it matters where a request comes from.
    pub(crate) fn asks_for_peers(&self) -> bool {
        self.limits.is_some() || self.audit.is_some()
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.clock.now().since(self.started)
    }

    /// Makes the warmers, if there are any, and begins to run them.
    async fn begin_warming(self: &Arc<Self>) {
        let settings = &self.settings.warming;
        if settings.warmers.is_empty() {
            return;
        }
        match warm::begin(self, settings).await {
            Ok(warming) => drop(self.warming.set(warming)),
            Err(error) => tracing::error!(%error, "nothing is warmed"),
        }
    }

    pub(crate) fn warming(&self) -> Option<&Warming> {
        self.warming.get()
    }

    /// What the sources of warmers allow, by name.
    pub(crate) fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    pub(crate) fn warming_settings(&self) -> &WarmingSettings {
        &self.settings.warming
    }

    /// Tells the tiers what they could not be told yet, for a moment at most, and ends their use.
    async fn close(&self) {
        for cache in self.regions.all() {
            let untold = cache.close(LAST_WORDS).await.untold;
            if untold > 0 {
                tracing::warn!(
                    region = cache.name(),
                    untold,
                    "a tier is away and was not told of all changes"
                );
            }
        }
        self.regions.places().close().await;
        if let Some(audit) = &self.audit
            && !audit.close()
        {
            tracing::warn!("the audit log hangs, and lacks its last lines");
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Is ready when the server begins to stop.
    pub(crate) fn draining(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut draining = self.draining.subscribe();
        // An error means that the server is gone, which is as good a reason.
        async move { drop(draining.wait_for(|draining| *draining).await) }
    }

    pub(crate) fn begin_draining(&self) {
        self.draining.send_replace(true);
        if let Some(warming) = self.warming() {
            warming.pause();
        }
    }
}

/// The audit log in this file.
fn audit(path: &Path) -> Result<Audit, StartError> {
    const MAX_BYTES: u64 = 16 << 20;
    const KEPT: u32 = 8;
    let shown = path.display().to_string();
    let cannot = |error| StartError::new(format!("audit_log = {shown:?} cannot be written: {error}"));
    Audit::to_file(path, MAX_BYTES, KEPT).map_err(cannot)
}

impl From<CreateError> for StartError {
    fn from(error: CreateError) -> Self {
        Self { message: format!("a region cannot be made: {error}") }
    }
}
