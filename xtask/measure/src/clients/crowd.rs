//! The crowd: a process that holds idle connections, and, once it is told to, does what clients should not.
//!
//! It is told by lines on its standard input, says by lines on its standard output how far it is, and ends when its input does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::good::LARGE;
use super::malformed;
use crate::Outcome;

/// The command line of the process.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    address: SocketAddr,
    #[arg(long)]
    idle: u32,
    #[arg(long)]
    slow: u32,
}

/// What has become of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Idle connections that were open at the end.
    pub(super) idle: u64,
    /// Slow ones that the server has ended, and that were begun again.
    pub(super) slow_ended: u64,
    /// Bodies over the limit that were refused.
    pub(super) oversize: u64,
    /// What nobody may send, refused, hung up on, or not answered within a second because more of it was waited for.
    pub(super) malformed: u64,
    /// Of both, what was answered as if it were right.
    pub(super) accepted: u64,
}

/// The process, as its owner sees it.
pub(super) struct Crowd {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Crowd {
    /// Starts it, and waits until all that are idle are connected and were answered once.
    pub(super) fn start(address: SocketAddr, idle: u32, slow: u32) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let (address, idle, slow) = (address.to_string(), idle.to_string(), slow.to_string());
        command.args(["clients-crowd", "--address", &address, "--idle", &idle, "--slow", &slow]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().ok_or("its output is piped")?);
        let mut crowd = Self { process, input, output };
        crowd.line()?;
        Ok(crowd)
    }

    /// Lets the others begin, and waits until they have.
    pub(super) fn begin(&mut self) -> Outcome {
        writeln!(self.input.as_mut().ok_or("it runs")?, "begin")?;
        self.line().map(drop)
    }

    /// Ends all of it.
    pub(super) fn end(mut self) -> Outcome<Tally> {
        drop(self.input.take());
        Ok(serde_json::from_str(&self.line()?)?)
    }

    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err("the crowd has ended; what it said stands above".into());
        }
        Ok(line)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // It may be gone already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[derive(Default)]
struct Counts {
    idle: AtomicU64,
    slow_ended: AtomicU64,
    oversize: AtomicU64,
    malformed: AtomicU64,
    accepted: AtomicU64,
}

/// Is the process.
pub(crate) fn run(args: &Args) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let told = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
    let hears = Arc::clone(&told);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            hears[0].store(line.is_ok(), Relaxed);
        }
        hears[1].store(true, Relaxed);
    });
    runtime.block_on(async {
        let counts = Arc::new(Counts::default());
        let mut tasks = JoinSet::new();
        hold_idle(args, &counts, &mut tasks).await?;
        say("idle")?;
        until(&told[0]).await;
        misbehave(args, &counts, &mut tasks);
        say("begun")?;
        until(&told[1]).await;
        let read = |count: &AtomicU64| count.load(Relaxed);
        let tally = Tally {
            idle: read(&counts.idle),
            slow_ended: read(&counts.slow_ended),
            oversize: read(&counts.oversize),
            malformed: read(&counts.malformed),
            accepted: read(&counts.accepted),
        };
        say(&serde_json::to_string(&tally)?)
    })
}

fn say(line: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

async fn until(told: &AtomicBool) {
    let mut often = interval(Duration::from_millis(20));
    while !told.load(Relaxed) {
        often.tick().await;
    }
}

/// From an address of this machine among so many, as one alone has but some ten thousand ports.
async fn connect(address: SocketAddr, number: u32) -> std::io::Result<TcpStream> {
    const EACH: u32 = 5000;
    let source = u8::try_from(1 + number / EACH).unwrap_or(u8::MAX);
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, source], 0).into())?;
    socket.connect(address).await
}

/// Opens the idle ones, a hundred at a time. Each asks once, and waits for what never comes.
async fn hold_idle(args: &Args, counts: &Arc<Counts>, tasks: &mut JoinSet<()>) -> Outcome {
    const AT_ONCE: usize = 100;
    let mut opening = FuturesUnordered::new();
    for number in 0..args.idle {
        if opening.len() >= AT_ONCE {
            held(opening.next().await, counts, tasks)?;
        }
        opening.push(open_idle(args.address, number));
    }
    while let Some(opened) = opening.next().await {
        held(Some(opened), counts, tasks)?;
    }
    Ok(())
}

async fn open_idle(address: SocketAddr, number: u32) -> std::io::Result<TcpStream> {
    let mut stream = connect(address, number).await?;
    stream.write_all(b"GET /v1/entries/kept-1 HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    let mut answer = [0; 1024];
    let read = stream.read(&mut answer).await?;
    if answer[..read].starts_with(b"HTTP/1.1 200") {
        Ok(stream)
    } else {
        Err(std::io::Error::other(String::from_utf8_lossy(&answer[..read]).into_owned()))
    }
}

fn held(
    opened: Option<std::io::Result<TcpStream>>,
    counts: &Arc<Counts>,
    tasks: &mut JoinSet<()>,
) -> Outcome {
    let Some(opened) = opened else { return Ok(()) };
    let mut stream = opened.map_err(|error| format!("an idle connection cannot be had: {error}"))?;
    let counts = Arc::clone(counts);
    counts.idle.fetch_add(1, Relaxed);
    tasks.spawn(async move {
        let mut unexpected = [0; 64];
        // Whatever comes, it is not idle any more.
        let _ = stream.read(&mut unexpected).await;
        counts.idle.fetch_sub(1, Relaxed);
    });
    Ok(())
}

/// How often those that are no good come again.
const OVERSIZE_EVERY: Duration = Duration::from_millis(100);
const MALFORMED_EVERY: Duration = Duration::from_millis(50);
/// How many send what nobody may, as some of it is waited for.
const MALFORMED_AT_ONCE: usize = 8;
/// How often who is slow sends a byte.
const DRIP_EVERY: Duration = Duration::from_secs(1);

fn misbehave(args: &Args, counts: &Arc<Counts>, tasks: &mut JoinSet<()>) {
    let address = args.address;
    for number in 0..args.slow {
        let kind = [Slow::Header, Slow::Body, Slow::Reading][number as usize % 3];
        tasks.spawn(slow(address, args.idle + number, kind, Arc::clone(counts)));
    }
    tasks.spawn(oversize(address, Arc::clone(counts)));
    for first in 0..MALFORMED_AT_ONCE {
        tasks.spawn(all_malformed(address, first, Arc::clone(counts)));
    }
}

#[derive(Clone, Copy)]
enum Slow {
    Header,
    Body,
    Reading,
}

impl Slow {
    fn begins_with(self) -> String {
        match self {
            Self::Header => "GET /v1/entries/kept-1 HTTP/1.1\r\nx-slow: ".to_owned(),
            Self::Body => {
                "PUT /v1/entries/slow HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n".to_owned()
            }
            // More than the buffers of both sides hold.
            Self::Reading => {
                format!("GET /v1/entries/{LARGE} HTTP/1.1\r\nhost: localhost\r\n\r\n").repeat(20)
            }
        }
    }
}

/// One slow connection, again and again.
async fn slow(address: SocketAddr, number: u32, kind: Slow, counts: Arc<Counts>) {
    let mut drip = interval(DRIP_EVERY);
    drip.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        drip.tick().await;
        let Ok(mut stream) = connect(address, number).await else { continue };
        if stream.write_all(kind.begins_with().as_bytes()).await.is_err() {
            continue;
        }
        // Who does not read finds out that he was hung up on when he writes, or when his socket says so.
        while stream.write_all(b"x").await.is_ok() && !is_over(&stream, kind) {
            drip.tick().await;
        }
        counts.slow_ended.fetch_add(1, Relaxed);
    }
}

fn is_over(stream: &TcpStream, kind: Slow) -> bool {
    // What is answered to half a request is that it has taken too long.
    !matches!(kind, Slow::Reading) && stream.try_read(&mut [0; 256]).is_ok()
}

/// Bodies over the limit, declared or not.
async fn oversize(address: SocketAddr, counts: Arc<Counts>) {
    let chunk = [b"100000\r\n".to_vec(), vec![b'x'; 1 << 20], b"\r\n".to_vec()].concat();
    let declared =
        b"PUT /v1/entries/large HTTP/1.1\r\nhost: localhost\r\ncontent-length: 104857600\r\n\r\n".to_vec();
    let head = b"PUT /v1/entries/large HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunked = [&head[..], &chunk, &chunk, &chunk].concat();
    let mut pace = interval(OVERSIZE_EVERY);
    for request in [declared, chunked].iter().cycle() {
        pace.tick().await;
        judge(answer(address, request).await.as_deref(), &counts, &counts.oversize);
    }
}

/// All that nobody may send, in turn.
async fn all_malformed(address: SocketAddr, first: usize, counts: Arc<Counts>) {
    let mut pace = interval(MALFORMED_EVERY);
    for request in malformed::all().iter().cycle().skip(first) {
        pace.tick().await;
        judge(answer(address, request).await.as_deref(), &counts, &counts.malformed);
    }
}

fn judge(answer: Option<&[u8]>, counts: &Counts, refused: &AtomicU64) {
    let is_accepted = answer.is_some_and(|answer| answer.starts_with(b"HTTP/1.1 2"));
    let count = if is_accepted { &counts.accepted } else { refused };
    count.fetch_add(1, Relaxed);
}

/// How the answer to this begins, if there is one.
async fn answer(address: SocketAddr, request: &[u8]) -> Option<Vec<u8>> {
    const LONG_ENOUGH: Duration = Duration::from_secs(1);
    let mut stream = TcpStream::connect(address).await.ok()?;
    let mut answer = vec![0; 64];
    let exchange = async {
        // It may be refused before all of it is sent.
        let _ = stream.write_all(request).await;
        let read = stream.read(&mut answer).await.unwrap_or(0);
        answer.truncate(read);
    };
    timeout(LONG_ENOUGH, exchange).await.ok()?;
    Some(answer)
}
