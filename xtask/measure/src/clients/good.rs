//! Good clients: each asks so often on one connection, mostly reads, and knows what it has to be answered.
//!
//! Their pace does not depend on the answers: who was kept waiting asks at once what he should have asked meanwhile, so a stall is not one
//! slow answer but as many as it has delayed.

use std::net::SocketAddr;
use std::time::Duration;

use cache_core::{Clock, SystemClock};
use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::Outcome;

/// Entries that are there from the start, and never changed.
const KEPT: u64 = 10_000;
/// One that is large, for who asks for it and does not read.
pub(super) const LARGE: &str = "large";
const LARGE_BYTES: usize = 1_000_000;
/// Entries of each client, which it writes again and again.
const OWN: u64 = 500;
/// One request in so many is a write.
const WRITE_ONE_IN: u64 = 10;
/// Longer than this nobody waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// All of them, and what each has been told was stored.
pub(super) struct Good {
    address: SocketAddr,
    rate: u16,
    /// For each client, the last value of each of its entries that was acknowledged.
    acknowledged: Vec<Mutex<Vec<Option<u64>>>>,
}

/// How long the requests of a stretch took.
pub(super) type Latencies = Histogram<u64>;

impl Good {
    pub(super) fn new(address: SocketAddr, clients: u16, rate: u16) -> Self {
        let acknowledged = (0..clients).map(|_| Mutex::new(vec![None; usize_of(OWN)])).collect();
        Self { address, rate, acknowledged }
    }

    /// Stores the entries that are never changed.
    pub(super) async fn fill(&self) -> Outcome {
        let mut connection = Connection::open(self.address).await?;
        for key in 0..KEPT {
            connection.put(&kept(key), &key.to_string()).await?;
        }
        connection.put(LARGE, &"x".repeat(LARGE_BYTES)).await
    }

    /// Lets all of them ask for so long.
    pub(super) async fn drive(&self, lasts: Duration) -> Outcome<Latencies> {
        let all = (0..self.acknowledged.len()).map(|client| self.client(client, lasts));
        let mut sum = Latencies::new(3)?;
        for latencies in try_join_all(all).await? {
            sum.add(latencies)?;
        }
        Ok(sum)
    }

    async fn client(&self, client: usize, lasts: Duration) -> Outcome<Latencies> {
        let clock = SystemClock::new();
        let mut latencies = Latencies::new(3)?;
        let mut acknowledged = self.acknowledged[client].lock().await;
        let mut connection = Connection::open(self.address).await?;
        let mut pace = interval(Duration::from_secs(1) / u32::from(self.rate));
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let end = clock.now().after(lasts);
        let mut at = 0;
        while clock.now() < end {
            pace.tick().await;
            let begun = clock.now();
            if at % WRITE_ONE_IN == 0 {
                let own = at / WRITE_ONE_IN % OWN;
                connection.put(&of_client(client, own), &at.to_string()).await?;
                acknowledged[usize_of(own)] = Some(at);
            } else {
                // Scattered, and the same in each run.
                let key = at.wrapping_mul(0x9e37_79b9_7f4a_7c15) % KEPT;
                let found = connection.get(&kept(key)).await?;
                if found != Some(key) {
                    return Err(format!("{} answered with {found:?}", kept(key)).into());
                }
            }
            let took = clock.now().since(begun);
            latencies.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX))?;
            at += 1;
        }
        Ok(latencies)
    }

    /// How many entries are not what was acknowledged last.
    pub(super) async fn lost(&self) -> Outcome<u64> {
        let mut connection = Connection::open(self.address).await?;
        let mut lost = 0;
        for key in 0..KEPT {
            lost += u64::from(connection.get(&kept(key)).await? != Some(key));
        }
        for (client, acknowledged) in self.acknowledged.iter().enumerate() {
            for (own, value) in (0..).zip(acknowledged.lock().await.iter()) {
                lost += u64::from(connection.get(&of_client(client, own)).await? != *value);
            }
        }
        Ok(lost)
    }
}

fn kept(key: u64) -> String {
    format!("kept-{key}")
}

fn of_client(client: usize, own: u64) -> String {
    format!("own-{client}-{own}")
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// One connection, with one request after the other.
struct Connection(BufStream<TcpStream>);

impl Connection {
    async fn open(address: SocketAddr) -> Outcome<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(Self(BufStream::new(stream)))
    }

    async fn put(&mut self, key: &str, body: &str) -> Outcome {
        let length = body.len();
        let head =
            format!("PUT /v1/entries/{key} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n");
        match self.exchange(&(head + body)).await? {
            (201 | 204, _) => Ok(()),
            (status, body) => Err(format!("PUT {key} answered with {status}: {body}").into()),
        }
    }

    async fn get(&mut self, key: &str) -> Outcome<Option<u64>> {
        match self.exchange(&format!("GET /v1/entries/{key} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await? {
            (200, body) => Ok(body.parse().ok()),
            (404, _) => Ok(None),
            (status, body) => Err(format!("GET {key} answered with {status}: {body}").into()),
        }
    }

    async fn exchange(&mut self, request: &str) -> Outcome<(u16, String)> {
        let answered = timeout(PATIENCE, self.converse(request)).await;
        answered.map_err(|_| "a good client was not answered in 20 s")?
    }

    async fn converse(&mut self, request: &str) -> Outcome<(u16, String)> {
        self.0.write_all(request.as_bytes()).await?;
        self.0.flush().await?;
        let (mut status, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).await? == 0 {
                return Err("a good client was hung up on".into());
            }
            match line.trim_end() {
                "" => break,
                line if status.is_none() => {
                    status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
                }
                line => {
                    if let Some(number) = line.strip_prefix("content-length: ") {
                        length = number.parse()?;
                    }
                }
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await?;
        Ok((status.ok_or("an answer without a status")?, String::from_utf8(body)?))
    }
}
