//! Ten times as many clients as there are places for requests: those that are answered wait no longer for it, and the rest is turned away at once.
//!
//! Each request holds its place for a while, since its body comes later than its head, so that places are what is short, and not the processor.

use std::net::SocketAddr;
use std::time::Duration;

use cache_core::{Clock, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Scale, ms, rest};
use crate::Outcome;
use crate::child::Server;
use crate::figures::{Asked, Figures};

const PLACES: u16 = 8;
const TIMES: u16 = 10;
/// How much later than its head a body comes.
const HOLDS: Duration = Duration::from_millis(5);
/// How long one that was turned away waits: a tenth of what it is told.
const PAUSE: Duration = Duration::from_millis(100);
/// Longer than this no answer takes.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn measure(scale: &Scale, figures: &mut Figures) -> Outcome {
    let server = Server::strata(&[("CACHE_MAX_REQUESTS", &PLACES.to_string())], None)?;
    let alone = crowd(server.address(), PLACES, scale.load).await?;
    let before = server.resident()?;
    let over = crowd(server.address(), PLACES * TIMES, scale.load).await?;
    let growth = server.resident()?.saturating_sub(before);
    let what = |what: &str| format!("{} clients over {PLACES} places: {what}", PLACES * TIMES);
    figures.told(format!("{PLACES} clients over {PLACES} places: answers, 99 of 100"), alone.p99(), "ms");
    figures.told(what("answers, 99 of 100"), over.p99(), "ms");
    figures.asked(
        what("that by what it is without the others"),
        over.p99() / alone.p99(),
        "times",
        Asked::AtMost(3.0),
    );
    let count = |count: usize| u32::try_from(count).map(f64::from);
    figures.told(what("answered"), count(over.accepted.len())?, "");
    figures.asked(what("turned away with Retry-After"), f64::from(over.shed), "", Asked::AtLeast(1.0));
    figures.asked(
        what("growth of the server"),
        super::transfer::mebibytes(growth),
        "MiB",
        Asked::AtMost(8.0),
    );
    Ok(())
}

/// What came of the requests of many.
#[derive(Default)]
struct Crowd {
    /// How long each took that was answered, in milliseconds.
    accepted: Vec<f64>,
    shed: u32,
}

impl Crowd {
    fn p99(&self) -> f64 {
        let mut times = self.accepted.clone();
        times.sort_unstable_by(f64::total_cmp);
        times.get(times.len() * 99 / 100).copied().unwrap_or_default()
    }
}

async fn crowd(address: SocketAddr, clients: u16, lasts: Duration) -> Outcome<Crowd> {
    let end = SystemClock::new().now().after(lasts);
    let mut all = JoinSet::new();
    for client in 0..clients {
        all.spawn(async move {
            let (clock, mut own) = (SystemClock::new(), Crowd::default());
            let mut connection = None;
            while clock.now() < end {
                let begun = clock.now();
                let is_taken =
                    put(address, &mut connection, client).await.map_err(|error| error.to_string())?;
                if is_taken {
                    own.accepted.push(ms(clock.now().since(begun)));
                } else {
                    own.shed += 1;
                    rest(PAUSE).await;
                }
            }
            Ok::<_, String>(own)
        });
    }
    let mut sum = Crowd::default();
    while let Some(own) = all.join_next().await {
        let own = own??;
        sum.accepted.extend(own.accepted);
        sum.shed += own.shed;
    }
    Ok(sum)
}

/// Stores an entry, its body some time after its head, unless it is turned away before.
async fn put(address: SocketAddr, kept: &mut Option<TcpStream>, client: u16) -> Outcome<bool> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => timeout(PATIENCE, TcpStream::connect(address)).await??,
    };
    let head = format!("PUT /v1/entries/{client} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    if let Ok(early) = timeout(HOLDS, answer(&mut stream)).await {
        return match early? {
            (503, head) if head.contains("retry-after: ") => Ok(false),
            (status, _) => Err(format!("answered with {status} before there was a body").into()),
        };
    }
    stream.write_all(b"v").await?;
    match timeout(PATIENCE, answer(&mut stream)).await?? {
        (204, _) => {
            *kept = Some(stream);
            Ok(true)
        }
        // The first of a client, which is told so in a body.
        (201, _) => Ok(true),
        // There was no place after all, which the server says whenever it comes to it.
        (503, _) => Ok(false),
        (status, _) => Err(format!("answered with {status}").into()),
    }
}

/// The status and the head of an answer. Nothing is lost where this is given up:
/// not a byte has come then.
async fn answer(stream: &mut TcpStream) -> Outcome<(u16, String)> {
    stream.readable().await?;
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Err("hung up on".into());
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or("an answer without a status")?, head))
}
