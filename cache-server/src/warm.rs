//! Warmers: they load lines of JSON, as an export has them, from a file or over HTTP, into a region.
//!
//! A node that starts can so be warmed from one that runs, and a team from whatever its own programs write.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::header::{ACCEPT, AUTHORIZATION, DATE, HOST, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode, Uri};
use bytes::Bytes;
use cache_ratelimit::Budget;
use cache_refresh::{Progress, WarmError, Warmer, Warming};
use futures_util::stream;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::api;
use crate::app::App;
use crate::budgets;
use crate::config::{WarmFrom, WarmerSettings, WarmingSettings};
use crate::trust;

/// What is read of a file at once.
const CHUNK_BYTES: usize = 64 << 10;

/// How long a server that starts waits for its warmers: they go on while it serves.
const AT_START: Duration = Duration::ZERO;

/// Makes the warmers and, if they run by themselves, begins. Needs a runtime.
pub(crate) async fn begin(app: &Arc<App>, settings: &WarmingSettings) -> Result<Warming, WarmError> {
    let mut builder = Warming::builder().max_running(settings.max_concurrent).clock(Arc::clone(&app.clock));
    for (name, warmer) in &settings.warmers {
        let (interval, deadline) = (warmer.interval, warmer.deadline);
        let warmer = of(app, name, warmer).every(interval.unwrap_or(settings.interval));
        builder = builder.warmer(warmer.with_deadline(deadline.unwrap_or(settings.deadline)));
    }
    if !app.budgets().is_empty() {
        let all: Vec<_> = app.budgets().values().cloned().collect();
        builder = builder.budget_used(move || {
            let all = all.clone();
            async move { budgets::used(&all).await }
        });
    }
    let warming = builder.open()?;
    if settings.is_enabled {
        warming.start(AT_START).await;
    }
    Ok(warming)
}

fn of(app: &Arc<App>, name: &str, settings: &WarmerSettings) -> Warmer {
    let budget = settings.budget.as_ref().and_then(|budget| app.budgets().get(budget)).cloned();
    // What warms the application must not keep it.
    let app = Arc::downgrade(app);
    let (settings, told, disk) = (settings.clone(), budget.clone(), Arc::new(Semaphore::new(1)));
    let warmer = Warmer::new(name, move |progress| {
        warm(app.clone(), (settings.clone(), told.clone()), Arc::clone(&disk), progress)
    });
    let Some(budget) = budget else { return warmer };
    let name: Arc<str> = name.into();
    warmer.metered(move || {
        let (budget, name) = (Arc::clone(&budget), Arc::clone(&name));
        async move {
            let decision = budget.take(&name).await;
            if decision.is_admitted() { Ok(()) } else { Err(decision.wait()) }
        }
    })
}

async fn warm(
    app: Weak<App>,
    (settings, budget): (WarmerSettings, Option<Arc<Budget>>),
    disk: Arc<Semaphore>,
    progress: Progress,
) -> Result<(), String> {
    let app = app.upgrade().ok_or("the server is stopping")?;
    let cache = app.regions.find(&settings.region);
    let cache = cache.ok_or_else(|| format!("there is no region named {:?}", settings.region))?;
    let lines = match &settings.from {
        WarmFrom::File(path) => read(path, disk).await?,
        WarmFrom::Url(url) => fetch(url, (&settings, budget.as_deref()), app.body_timeout).await?,
    };
    api::load(&app, &cache, lines, &|lines| progress.add(lines)).await
}

/// The bytes of a file, read apart from everybody else. A disk that hangs keeps its thread for longer than the run that wanted it: the next
/// run waits for that one, so that each warmer has one such thread at most.
async fn read(path: &Path, disk: Arc<Semaphore>) -> Result<Body, String> {
    let shown = path.display().to_string();
    let path = path.to_owned();
    let place = disk.acquire_owned().await.map_err(|error| error.to_string())?;
    let opened =
        spawn_blocking(move || (File::open(path), place)).await.map_err(|error| error.to_string())?;
    let file = opened.0.map_err(|error| format!("{shown}: {error}"))?;
    let chunks = stream::try_unfold((file, opened.1), |(mut file, place)| async move {
        let read = spawn_blocking(move || {
            let mut chunk = vec![0; CHUNK_BYTES];
            let read = file.read(&mut chunk)?;
            chunk.truncate(read);
            Ok::<_, std::io::Error>((chunk, (file, place)))
        });
        let (chunk, file) = read.await.map_err(std::io::Error::other)??;
        Ok::<_, std::io::Error>((!chunk.is_empty()).then(|| (Bytes::from(chunk), file)))
    });
    Ok(Body::from_stream(chunks))
}

/// The body behind an address, which has to be answered with 200. Nothing else is followed.
async fn fetch(
    url: &Uri,
    (settings, budget): (&WarmerSettings, Option<&Budget>),
    patience: Duration,
) -> Result<Body, String> {
    let authority = url.authority().ok_or("the address names no host")?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let mut request = Request::get(url.path_and_query().map_or("/", |path| path.as_str()))
        .header(HOST, authority.as_str())
        .header(ACCEPT, "application/x-ndjson, */*;q=0.1");
    if let Some(token) = &settings.token {
        let token = String::from_utf8_lossy(token.as_bytes());
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let is_sealed = url.scheme_str() == Some("https");
    let asked = async {
        let port = authority.port_u16().unwrap_or(if is_sealed { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await;
        let stream = stream.map_err(|error| format!("{authority} cannot be reached: {error}"))?;
        let answer = if is_sealed {
            let stream = seal(host, stream, settings.authorities.as_deref()).await;
            ask(stream.map_err(|error| format!("no safe connection to {authority}: {error}"))?, request).await
        } else {
            ask(stream, request).await
        };
        answer.map_err(|error| format!("{authority}: {error}"))
    };
    let answered = timeout(patience, asked).await;
    let answer = answered.map_err(|_| format!("{authority} has not answered within {patience:?}"))??;
    if let Some(budget) = budget {
        match answer.status() {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                budget.refused(retry_after(answer.headers()));
            }
            status if status.is_success() => budget.succeeded(),
            _ => {}
        }
    }
    if answer.status() != 200 {
        return Err(format!("{authority} has answered with {}", answer.status()));
    }
    Ok(Body::new(answer.into_body()))
}

async fn seal(
    host: &str,
    stream: TcpStream,
    authorities: Option<&str>,
) -> Result<TlsStream<TcpStream>, String> {
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(trust::client(authorities)?);
    connector.connect(name, stream).await.map_err(|error| error.to_string())
}

async fn ask(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Empty<Bytes>>,
) -> hyper::Result<Response<Incoming>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the body.
    drop(tokio::spawn(connection));
    sender.send_request(request).await
}

/// How long a source asks to be left alone: so many seconds, or until a moment, which is one of its own clock if it tells the time.
/// Source: RFC 9110, 10.2.3.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let field = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let text = field(RETRY_AFTER)?;
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let told = field(DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    Some(until.duration_since(told.unwrap_or_else(wall)).unwrap_or_default())
}

#[expect(clippy::disallowed_methods, reason = "a moment that another machine has named")]
fn wall() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_disk_that_hangs_keeps_one_thread_of_a_warmer_at_most() {
        let folder = tempfile::tempdir().expect("a folder");
        let (pipe, file) = (folder.path().join("pipe"), folder.path().join("file"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("coreutils").success());
        std::fs::write(&file, "line").expect("room");
        let disk = Arc::new(Semaphore::new(1));
        for path in [&pipe, &file] {
            let run = timeout(Duration::from_millis(50), read(path, Arc::clone(&disk))).await;
            assert!(run.is_err(), "the first waits for a writer, the next for the first");
        }
        drop(spawn_blocking(move || File::options().write(true).open(pipe)).await.expect("no panic"));
        let run = timeout(Duration::from_mins(1), read(&file, disk)).await;
        assert!(run.expect("the thread has come back").is_ok());
    }

    #[test]
    fn a_source_says_in_seconds_or_by_a_date_for_how_long_it_is_to_be_left_alone() {
        const NOON: &str = "Sun, 06 Nov 1994 12:00:00 GMT";
        let told = |text: &str, date: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().expect("legal"));
            headers.extend(date.map(|date| (DATE, date.parse().expect("legal"))));
            retry_after(&headers).map(|wait| wait.as_secs())
        };
        for (text, date, wait) in [
            ("120", None, Some(120)),
            (" 120 ", Some(NOON), Some(120)),
            ("0", None, Some(0)),
            ("99999999999999999999999", None, Some(u64::MAX)),
            ("Sun, 06 Nov 1994 12:02:00 GMT", Some(NOON), Some(120)),
            ("Sunday, 06-Nov-94 12:02:00 GMT", Some(NOON), Some(120)),
            ("Sun Nov  6 12:02:00 1994", Some(NOON), Some(120)),
            ("Sun, 06 Nov 1994 11:59:00 GMT", Some(NOON), Some(0)),
            ("Sun, 06 Nov 1994 12:02:00 GMT", Some("yesterday"), Some(0)),
            ("", None, None),
            ("-1", None, None),
            ("1.5", None, None),
            ("soon", None, None),
        ] {
            assert_eq!(told(text, date), wait, "{text:?} at {date:?}");
        }
        let tomorrow = httpdate::fmt_http_date(wall() + Duration::from_hours(24));
        let wait = told(&tomorrow, None).expect("a date");
        assert!((86_000..=86_400).contains(&wait), "{wait} s, where the source does not tell the time");
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
