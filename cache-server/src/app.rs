//! The application: what all requests share, and the server as its owner sees it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use cache_core::{Clock, SystemClock, Time};
use strata::Presets;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::auth::{self, Guard};
use crate::config::Settings;
use crate::figures::Figures;
use crate::insight::History;
use crate::regions::{CreateError, Regions};
use crate::{api, edge, origin, serve};

/// A server with its regions, ready to listen.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    limits: serve::Limits,
}

/// Why a server cannot be made. Settings that were read by this crate give none of these.
#[derive(Debug, Error)]
#[error("{message}")]
pub struct StartError {
    message: String,
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
        Ok(Self { app: Arc::new(App::new(settings, clock)?), limits })
    }

    /// All routes, to be mounted elsewhere or asked without a socket.
    pub fn router(&self) -> Router {
        api::router()
            .layer(from_fn_with_state(Arc::clone(&self.app), auth::check))
            .layer(from_fn_with_state(Arc::clone(&self.app), origin::check))
            .layer(from_fn_with_state(Arc::clone(&self.app), edge::guard))
            .with_state(Arc::clone(&self.app))
    }

    /// Serves until `shutdown` is ready and the requests of that moment are finished, or the drain timeout is over.
    ///
    /// # Cancel safety
    /// Dropping it ends the server and its connections at once.
    pub async fn run(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let router = self.router();
        serve::serve(listener, self.app, router, (self.limits, shutdown)).await;
    }
}

/// What all requests share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) regions: Regions,
    pub(crate) presets: Presets,
    pub(crate) guard: Option<Guard>,
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
    started: Time,
    draining: watch::Sender<bool>,
}

impl App {
    pub(crate) fn new(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let regions = Regions::new(Arc::clone(&clock));
        for (name, region) in &settings.regions {
            regions.create(name, region)?;
        }
        let figures = Figures::new().map_err(|error| StartError { message: format!("metrics: {error}") })?;
        Ok(Self {
            regions,
            presets: settings.presets,
            guard: settings.token.as_ref().map(Guard::new),
            figures,
            body_limit_bytes: settings.body_limit_bytes,
            body_timeout: settings.body_timeout,
            linger_timeout: settings.body_timeout.min(settings.header_timeout),
            max_connections: settings.max_connections,
            history: History::new(clock.now()),
            watchers: api::Watchers::new(),
            walks: api::Walks::new(),
            started: clock.now(),
            clock,
            draining: watch::Sender::new(false),
        })
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.clock.now().since(self.started)
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
    }
}

impl From<CreateError> for StartError {
    fn from(error: CreateError) -> Self {
        Self { message: format!("a region cannot be made: {error}") }
    }
}
