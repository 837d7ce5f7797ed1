//! Jobs: long work that its client does not wait for.
//!
//! ```text
//! POST /v1/clear   Prefer: respond-async (RFC 7240)  ──►  202, Location: /v1/jobs/7
//! GET /v1/jobs/7                                     ──►  running and how far, then the status and the answer that the request came to
//! DELETE /v1/jobs/7                                  ──►  it is ended where it stands
//! ```
//!
//! A job is the request itself, run in a task of its own: it is checked, counted and answered as it would be otherwise. A server that stops
//! waits for its jobs as for other requests, begins no more, and ends those that its time is too short for.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderName, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cache_core::Time;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::answer::Answer;
use super::any::AnyJson;
use super::body;
use super::extract::{Bare, JobId, NoParams};
use super::openapi::Description;
use super::progress::Progress;
use crate::app::App;
use crate::insight::ratio;
use crate::problem::Problem;

/// How many jobs run at once.
const MAX_RUNNING: usize = 8;

/// How many jobs are remembered, those that run included: the oldest that have ended give way.
const MAX_KEPT: usize = 64;

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The jobs of a server.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    kept: Mutex<Kept>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    jobs: BTreeMap<u64, Job>,
}

#[derive(Debug)]
struct Job {
    /// The method and the route, without keys.
    what: String,
    began: Time,
    progress: Progress,
    state: Phase,
}

#[derive(Debug)]
enum Phase {
    Running(Option<AbortHandle>),
    Done(Time, StatusCode, Option<AnyJson>),
    Cancelled(Time),
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct JobBody {
    id: u64,
    /// The method and the route.
    what: String,
    /// `running`, `done` or `cancelled`.
    state: &'static str,
    seconds: f64,
    /// How much is done: entries that were looked at, removed or stored, lines of warmers, rounds.
    done: u64,
    /// Of how much, if that is known.
    total: Option<u64>,
    percent: Option<f64>,
    /// The status that the request came to.
    status: Option<u16>,
    /// What it was answered with.
    answer: Option<AnyJson>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct JobsBody {
    /// The newest last.
    jobs: Vec<JobBody>,
}

impl Jobs {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place; nothing if too many run.
    fn begin(&self, what: String, began: Time, progress: Progress) -> Option<JobBody> {
        let mut kept = self.kept();
        if kept.running() >= MAX_RUNNING {
            return None;
        }
        while kept.jobs.len() >= MAX_KEPT {
            let oldest = kept.jobs.iter().find(|(_, job)| !job.is_running()).map(|(id, _)| *id)?;
            kept.jobs.remove(&oldest);
        }
        kept.last += 1;
        let (id, job) = (kept.last, Job { what, began, progress, state: Phase::Running(None) });
        let body = JobBody::new(id, &job, began);
        kept.jobs.insert(id, job);
        Some(body)
    }

    /// How many run.
    pub(crate) fn running(&self) -> usize {
        self.kept().running()
    }

    /// Is ready when none runs.
    pub(crate) async fn idle(&self) {
        loop {
            let mut ended = pin!(self.ended.notified());
            // Whatever ends from here on is noticed.
            ended.as_mut().enable();
            if self.running() == 0 {
                return;
            }
            ended.await;
        }
    }

    /// Ends all that run where they stand, and says what they were.
    pub(crate) fn cancel_all(&self, now: Time) -> Vec<String> {
        let mut kept = self.kept();
        let running = kept.jobs.values_mut().filter(|job| job.is_running());
        let cancelled = running.map(|job| {
            job.cancel(now);
            job.what.clone()
        });
        let cancelled = cancelled.collect();
        self.ended.notify_waiters();
        cancelled
    }

    /// Says how a job has ended, or can be ended, unless it has ended already; whether it had not.
    fn set(&self, id: u64, state: Phase) -> bool {
        let mut kept = self.kept();
        let running = kept.jobs.get_mut(&id).filter(|job| job.is_running());
        let was_running = running.map(|job| job.state = state).is_some();
        drop(kept);
        self.ended.notify_waiters();
        was_running
    }
}

impl Kept {
    fn running(&self) -> usize {
        self.jobs.values().filter(|job| job.is_running()).count()
    }
}

impl Job {
    fn is_running(&self) -> bool {
        matches!(self.state, Phase::Running(_))
    }

    /// Ends it where it stands, if it runs; whether it did.
    fn cancel(&mut self, now: Time) -> bool {
        let Phase::Running(handle) = &self.state else { return false };
        handle.iter().for_each(AbortHandle::abort);
        self.state = Phase::Cancelled(now);
        true
    }
}

impl JobBody {
    fn new(id: u64, job: &Job, now: Time) -> Self {
        let (state, ended) = match &job.state {
            Phase::Running(_) => ("running", now),
            Phase::Done(ended, ..) => ("done", *ended),
            Phase::Cancelled(ended) => ("cancelled", *ended),
        };
        let (status, answer) = match &job.state {
            Phase::Done(_, status, answer) => (Some(status.as_u16()), answer.clone()),
            _ => (None, None),
        };
        let (done, total) = job.progress.figures();
        Self {
            id,
            what: job.what.clone(),
            state,
            seconds: ended.since(job.began).as_secs_f64(),
            done,
            total,
            percent: total.map(|total| 100.0 * ratio(done, total)),
            status,
            answer,
        }
    }
}

/// Runs the request as a job, if it prefers that.
pub(super) async fn perhaps_later(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if request.method().is_safe() || !prefers_async(request.headers()) {
        return next.run(request).await;
    }
    match later(app, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

fn prefers_async(headers: &HeaderMap) -> bool {
    let mut texts = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    texts.any(|text| text.split(',').any(|part| part.trim().eq_ignore_ascii_case("respond-async")))
}

async fn later(app: Arc<App>, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    // It is kept as JSON.
    parts.headers.remove(ACCEPT);
    // What is on its way is taken in first: behind the answer nobody would read it.
    let bytes = body::read(&app, body, None).await?;
    let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let what = format!("{} {route}", parts.method);
    let full = || {
        let detail = format!("{MAX_RUNNING} jobs run already; try again later");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_header("retry-after", "5")
    };
    if app.is_draining() {
        let detail = "the server is stopping, and begins no more jobs";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_header("retry-after", "5"));
    }
    let (began, progress) = (app.clock.now(), Progress::of_job());
    let mut request = Request::from_parts(parts, Body::from(bytes));
    request.extensions_mut().insert(progress.clone());
    let body = app.jobs.begin(what, began, progress).ok_or_else(full)?;
    let id = body.id;
    let of_job = Arc::clone(&app);
    let running = tokio::spawn(async move {
        // As at the edge: what a panic leaves behind is caches, which lock nothing across calls, and this job, which ends here.
        let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
        let (parts, body) = answer.unwrap_or_else(|_| panicked(id)).into_parts();
        let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let ended = of_job.clock.now();
        of_job.jobs.set(id, Phase::Done(ended, parts.status, AnyJson::read(&bytes)));
    });
    if !app.jobs.set(id, Phase::Running(Some(running.abort_handle()))) {
        // Ended by somebody else before it could be: it has not to go on.
        running.abort();
    }
    let headers = [
        (LOCATION, format!("/v1/jobs/{id}")),
        (HeaderName::from_static("preference-applied"), "respond-async".to_owned()),
    ];
    let text = serde_json::to_string(&body).unwrap_or_default();
    Ok((StatusCode::ACCEPTED, headers, [(CONTENT_TYPE, body::JSON)], text).into_response())
}

fn panicked(id: u64) -> Response {
    tracing::error!(job = id, "a job panicked");
    let detail = "the server failed at this job; others are not concerned";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response()
}

pub(super) fn describe_later(operation: &mut Description<'_>) {
    operation.takes_header("Prefer", "`respond-async`: it becomes a job, and this is answered at once.");
    operation.answers_json::<JobBody>(202, "a job; see `Location`");
    operation.with_header(202, "Location", "the job");
    operation.fails(&[400, 408, 413]);
}

pub(super) async fn list(State(app): State<Arc<App>>, _: NoParams) -> Answer<JobsBody> {
    let now = app.clock.now();
    Answer(JobsBody {
        jobs: app.jobs.kept().jobs.iter().map(|(id, job)| JobBody::new(*id, job, now)).collect(),
    })
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    JobId(id): JobId,
    _: NoParams,
) -> Result<Answer<JobBody>, Problem> {
    let kept = app.jobs.kept();
    let job = kept.jobs.get(&id).ok_or_else(none)?;
    Ok(Answer(JobBody::new(id, job, app.clock.now())))
}

/// Ends a job that runs; what it has done stays done. One that has ended is forgotten.
pub(super) async fn cancel(
    _: Bare,
    State(app): State<Arc<App>>,
    JobId(id): JobId,
) -> Result<Answer<JobBody>, Problem> {
    let now = app.clock.now();
    let mut kept = app.jobs.kept();
    let job = kept.jobs.get_mut(&id).ok_or_else(none)?;
    if job.cancel(now) {
        let body = JobBody::new(id, job, now);
        app.jobs.ended.notify_waiters();
        return Ok(Answer(body));
    }
    let body = JobBody::new(id, job, now);
    kept.jobs.remove(&id);
    Ok(Answer(body))
}

fn none() -> Problem {
    Problem::not_found("there is no such job, or it ended long ago").with_field("id")
}
