//! What carries news from one node to the others: a channel, a stream that each reads for itself, or what the server tells by itself
//! of keys that were written. Each by its bare commands, beside each other, without a bus over it.
//!
//! ```text
//! channel    PUBLISH                ─► whoever has subscribed
//! stream     XADD MAXLEN ~ 10000    ─► XREAD BLOCK COUNT 512, one connection for each node
//! tracking   SET key PX             ─► invalidations of a prefix (`CLIENT TRACKING ON BCAST`), which tell names of keys
//! ```
//!
//! A message says when it was sent, so whoever hears it knows how long it took.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cache_core::{Clock, SystemClock, Time};
use cache_testkit::redis::Server;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, PushInfo, PushKind, Value};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::report::Report;
use super::{Scale, VALUE, median};
use crate::Outcome;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    Channel,
    Stream,
    Tracking,
}

/// What a node has heard so far.
#[derive(Debug)]
struct Ear {
    clock: SystemClock,
    heard: AtomicU64,
    ages_us: Mutex<Vec<f64>>,
}

/// One after another, each on a server of its own.
pub(super) async fn compare(scale: &Scale, report: &mut Report) -> Outcome {
    for callers in CALLERS {
        for carrier in [Carrier::Channel, Carrier::Stream, Carrier::Tracking] {
            let mut found = Vec::new();
            for _ in 0..scale.rounds.min(SERVERS) {
                found.push(round(carrier, callers, scale).await?);
            }
            let median = |of: fn(&Found) -> f64| median(found.iter().map(of).collect());
            let what = |figure: &str| format!("{}, {callers} callers a node: {figure}", carrier.as_str());
            report.told(what("events"), median(|it| it.per_second), "a second");
            report.told(what("heard after, median"), median(|it| it.median_us), "us");
            report.told(what("heard after, 99 of 100"), median(|it| it.most_us), "us");
            report.told(what("server, an event"), median(|it| it.server_us), "us");
            report.told(what("kept by the server"), median(|it| it.kept_kib), "KiB");
        }
    }
    Ok(())
}

struct Found {
    per_second: f64,
    median_us: f64,
    most_us: f64,
    server_us: f64,
    kept_kib: f64,
}

async fn round(carrier: Carrier, callers: usize, scale: &Scale) -> Outcome<Found> {
    let server = Server::start();
    let clock = SystemClock::new();
    let mut ears = Vec::new();
    for _ in 0..NODES {
        ears.push(listen(carrier, &server, clock).await?);
    }
    let (before, cpu) = (figure(&server, "used_memory")?, processor(&server)?);
    let (begun, is_over) = (clock.now(), Arc::new(AtomicBool::new(false)));
    let mut tasks = Vec::new();
    for node in 0..NODES {
        // Busy as the machine is, no call shall fail.
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        let client = Client::open(server.url())?;
        let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        for caller in 0..callers {
            let (connection, is_over) = (connection.clone(), Arc::clone(&is_over));
            let author = u32::try_from(node * callers + caller)?;
            tasks.push(tokio::spawn(publish(carrier, connection, (clock, author), is_over)));
        }
    }
    let _ = timeout(scale.round * 4, std::future::pending::<()>()).await;
    is_over.store(true, Relaxed);
    let mut sent = 0;
    for task in tasks {
        sent += task.await??;
    }
    let took = clock.now().since(begun).as_secs_f64();
    let end = clock.now().after(PATIENCE);
    while ears.iter().any(|(ear, _)| ear.heard.load(Relaxed) < sent) {
        if clock.now() > end {
            return Err(format!("{} did not carry all of {sent} events", carrier.as_str()).into());
        }
        let _ = timeout(Duration::from_millis(1), std::future::pending::<()>()).await;
    }
    let count = f64::from(u32::try_from(sent)?);
    let server_us = (processor(&server)? - cpu) * 1e6 / count;
    let kept_kib = (figure(&server, "used_memory")? - before) / 1024.0;
    let mut ages: Vec<f64> =
        ears.iter().flat_map(|(ear, _)| std::mem::take(&mut *ear.ages_us.lock())).collect();
    for (_, task) in &ears {
        task.abort();
    }
    ages.sort_unstable_by(f64::total_cmp);
    let at = |of_100: usize| ages.get(ages.len() * of_100 / 100).copied().unwrap_or_default();
    Ok(Found { per_second: count / took, median_us: at(50), most_us: at(99), server_us, kept_kib })
}

/// Sends one message after another, each as soon as the last one is answered.
async fn publish(
    carrier: Carrier,
    mut connection: MultiplexedConnection,
    (clock, author): (SystemClock, u32),
    is_over: Arc<AtomicBool>,
) -> Result<u64, String> {
    let mut sent = 0_u64;
    while !is_over.load(Relaxed) {
        let mut message = VALUE;
        message[..8].copy_from_slice(&clock.now().as_nanos().to_be_bytes());
        message[8..12].copy_from_slice(&author.to_be_bytes());
        let answer = connection.send_packed_command(&carrier.command(&message)).await;
        answer.map_err(|error| error.to_string())?.extract_error().map_err(|error| error.to_string())?;
        sent += 1;
    }
    Ok(sent)
}

async fn listen(
    carrier: Carrier,
    server: &Server,
    clock: SystemClock,
) -> Outcome<(Arc<Ear>, JoinHandle<()>)> {
    let ear = Arc::new(Ear { clock, heard: AtomicU64::new(0), ages_us: Mutex::default() });
    let config =
        AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(Some(PATIENCE));
    if carrier == Carrier::Stream {
        let connection =
            Client::open(server.url())?.get_multiplexed_async_connection_with_config(&config).await?;
        return Ok((Arc::clone(&ear), tokio::spawn(read(connection, ear))));
    }
    let told = Arc::clone(&ear);
    let config = config.set_push_sender(move |push: PushInfo| {
        told.take(push);
        Ok::<(), std::convert::Infallible>(())
    });
    let url = format!("{}?protocol=resp3", server.url());
    let mut connection = Client::open(url)?.get_multiplexed_async_connection_with_config(&config).await?;
    let mut words = match carrier {
        Carrier::Channel => redis::cmd("SUBSCRIBE"),
        _ => redis::cmd("CLIENT"),
    };
    let words = match carrier {
        Carrier::Channel => words.arg(NAME),
        _ => words.arg(&["TRACKING", "ON", "BCAST", "PREFIX", NAME]),
    };
    connection.send_packed_command(words).await?.extract_error()?;
    // It listens for as long as it is held.
    let held = tokio::spawn(async move {
        std::future::pending::<()>().await;
        drop(connection);
    });
    Ok((ear, held))
}

/// Reads a stream from its beginning on, for ever.
async fn read(mut connection: MultiplexedConnection, ear: Arc<Ear>) {
    let mut last = b"0-0".to_vec();
    loop {
        let mut command = redis::cmd("XREAD");
        command.arg(&["BLOCK", "0", "COUNT", "512", "STREAMS", NAME]).arg(&last);
        let Ok(answer) = connection.send_packed_command(&command).await else { return };
        let entries = parts(&answer).first().and_then(|stream| parts(stream).get(1));
        for entry in entries.map(parts).unwrap_or_default() {
            if let [Value::BulkString(id), fields] = parts(entry)
                && let [_, Value::BulkString(message)] = parts(fields)
            {
                last.clone_from(id);
                ear.hear(message);
            }
        }
    }
}

fn parts(value: &Value) -> &[Value] {
    if let Value::Array(parts) = value { parts } else { &[] }
}

impl Ear {
    fn take(&self, PushInfo { kind, data }: PushInfo) {
        match (kind, data.last()) {
            (PushKind::Message, Some(Value::BulkString(message))) => self.hear(message),
            (PushKind::Invalidate, Some(Value::Array(names))) => {
                for name in names {
                    if let Value::BulkString(name) = name {
                        self.hear(name.strip_prefix(NAME.as_bytes()).unwrap_or_default());
                    }
                }
            }
            _ => {}
        }
    }

    fn hear(&self, message: &[u8]) {
        let Some(sent) = message.first_chunk() else { return };
        let age = self.clock.now().since(Time::from_nanos(u64::from_be_bytes(*sent)));
        self.ages_us.lock().push(age.as_secs_f64() * 1e6);
        self.heard.fetch_add(1, Relaxed);
    }
}

impl Carrier {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Stream => "stream",
            Self::Tracking => "tracking",
        }
    }

    fn command(self, message: &[u8]) -> Cmd {
        match self {
            Self::Channel => redis::cmd("PUBLISH").arg(NAME).arg(message).take(),
            Self::Stream => {
                redis::cmd("XADD").arg(&[NAME, "MAXLEN", "~", KEPT, "*", "m"]).arg(message).take()
            }
            Self::Tracking => {
                let name = [NAME.as_bytes(), message].concat();
                redis::cmd("SET").arg(name).arg("").arg("PX").arg(60_000).take()
            }
        }
    }
}

fn figure(server: &Server, field: &str) -> Outcome<f64> {
    let told = server.info(field).ok_or_else(|| format!("the server does not tell `{field}`"))?;
    Ok(told.parse()?)
}

/// The processor time of the server so far, in seconds.
fn processor(server: &Server) -> Outcome<f64> {
    Ok(figure(server, "used_cpu_user")? + figure(server, "used_cpu_sys")?)
}

/// How many servers are started for each row at most.
const SERVERS: usize = 7;
const NAME: &str = "news:";
/// How many messages a stream keeps, for whoever was away.
const KEPT: &str = "10000";
const NODES: usize = 3;
const CALLERS: [usize; 2] = [1, 32];
const PATIENCE: Duration = Duration::from_secs(10);
