//! Jobs: long work that its client does not wait for.
//!
//! ```text
//! POST /v1/clear   Prefer: respond-async (RFC 7240)  ──►  202, Location: /v1/jobs/7
//! GET /v1/jobs/7                                     ──►  running, then the status and the answer that the request came to
//! DELETE /v1/jobs/7                                  ──►  it is ended where it stands
//! ```
//!
//! A job is the request itself, run in a task of its own: it is checked, counted and answered as it would be otherwise.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderName, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use cache_core::Time;
use http_body_util::BodyExt;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::task::AbortHandle;

use super::answer::Answer;
use super::any::AnyJson;
use super::body;
use super::extract::{Bare, JobId, NoParams};
use super::openapi::Description;
use crate::app::App;
use crate::problem::Problem;

/// How many jobs run at once.
const MAX_RUNNING: usize = 8;

/// How many jobs are remembered, those that run included: the oldest that have ended give way.
const MAX_KEPT: usize = 64;

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The jobs of a server.
#[derive(Debug, Default)]
pub(crate) struct Jobs(Mutex<Kept>);

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
    state: &'static str,
    seconds: f64,
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place; nothing if too many run.
    fn begin(&self, what: String, began: Time) -> Option<u64> {
        let mut kept = self.kept();
        let is_running = |job: &Job| matches!(job.state, Phase::Running(_));
        if kept.jobs.values().filter(|job| is_running(job)).count() >= MAX_RUNNING {
            return None;
        }
        while kept.jobs.len() >= MAX_KEPT {
            let oldest = kept.jobs.iter().find(|(_, job)| !is_running(job)).map(|(id, _)| *id)?;
            kept.jobs.remove(&oldest);
        }
        kept.last += 1;
        let id = kept.last;
        kept.jobs.insert(id, Job { what, began, state: Phase::Running(None) });
        Some(id)
    }

    /// Says how a job has ended, or can be ended, unless it has ended already.
    fn set(&self, id: u64, state: Phase) {
        if let Some(job) = self.kept().jobs.get_mut(&id)
            && matches!(job.state, Phase::Running(_))
        {
            job.state = state;
        }
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
        Self {
            id,
            what: job.what.clone(),
            state,
            seconds: ended.since(job.began).as_secs_f64(),
            status,
            answer,
        }
    }
}

/// Runs the request as a job, if it prefers that.
pub(super) async fn perhaps_later(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if !prefers_async(request.headers()) {
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
    let request = Request::from_parts(parts, Body::from(bytes));
    let full = || {
        let detail = format!("{MAX_RUNNING} jobs run already; try again later");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_header("retry-after", "5")
    };
    let began = app.clock.now();
    let id = app.jobs.begin(what.clone(), began).ok_or_else(full)?;
    let of_job = Arc::clone(&app);
    let running = tokio::spawn(async move {
        let (parts, body) = next.run(request).await.into_parts();
        let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let ended = of_job.clock.now();
        of_job.jobs.set(id, Phase::Done(ended, parts.status, AnyJson::read(&bytes)));
    });
    app.jobs.set(id, Phase::Running(Some(running.abort_handle())));
    let body = JobBody { id, what, state: "running", seconds: 0.0, status: None, answer: None };
    let headers = [
        (LOCATION, format!("/v1/jobs/{id}")),
        (HeaderName::from_static("preference-applied"), "respond-async".to_owned()),
    ];
    let text = serde_json::to_string(&body).unwrap_or_default();
    Ok((StatusCode::ACCEPTED, headers, [(CONTENT_TYPE, body::JSON)], text).into_response())
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
    if let Phase::Running(handle) = &job.state {
        handle.iter().for_each(AbortHandle::abort);
        job.state = Phase::Cancelled(now);
        return Ok(Answer(JobBody::new(id, job, now)));
    }
    let body = JobBody::new(id, job, now);
    kept.jobs.remove(&id);
    Ok(Answer(body))
}

fn none() -> Problem {
    Problem::not_found("there is no such job, or it ended long ago").with_field("id")
}
