//! Hits over HTTP: the server, a bare axum handler that answers the same bytes, and Redis, in turns.
//!
//! ```text
//! processor 1: crew of connections ──► processor 0: cache-server │ bare handler │ redis-server     one after another, in rounds
//! ```
//!
//! What is compared is pairs of one round. The processor time of the server's process is the steady figure: it hardly depends
//! on what else the machine does, as long as that is the same for all.

use std::io::{BufRead, BufReader, Read as _, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use cache_core::{Clock, SystemClock};
use cache_testkit::redis;

use super::crew::{Crew, Script};
use crate::Outcome;
use crate::child::{self, Cores, Server};
use crate::figures::{Asked, Figures, median};

/// The command line of `bench server`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Prints one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Runs everything briefly: to see that it works, not to believe the numbers
    #[arg(long)]
    quick: bool,
}

/// Starts the servers, asks them in turns, and prints what was found.
pub(super) fn run(args: &Args, out: &mut impl Write) -> Outcome {
    let cores = Cores::apart();
    let redis = redis::Server::start();
    let strata = Server::strata(&[("CACHE_MAX_CONNECTIONS", "200")], cores)?;
    let answer = fill(strata.address())?;
    let bare = Server::own(&answer.as_arguments(), cores)?;
    let from_bare =
        Answer::to(b"GET /v1/entries/key:00000 HTTP/1.1\r\nhost: localhost\r\n\r\n", bare.address())?;
    if from_bare.sorted() != answer.sorted() {
        return Err(format!("the bare handler answers otherwise: {from_bare:?} for {answer:?}").into());
    }
    fill_redis(redis.address())?;
    let redis_pid = redis.info("process_id").ok_or("Redis does not say what process it is")?.parse()?;
    if let Some(cores) = cores {
        cores.give(redis_pid)?;
        cores.take()?;
    }
    let http: Vec<_> = keys().map(|key| get(&key)).collect();
    let resp: Vec<_> =
        keys().map(|key| format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len()).into_bytes()).collect();
    let resp_bytes = format!("${VALUE_BYTES}\r\n\r\n").len() + VALUE_BYTES;
    let mut figures = Figures::default();
    for depth in DEPTHS {
        let of_http = || Script::new(&http, depth, answer.bytes, b"HTTP/1.1 200 OK\r\n");
        let mut sides = [
            Side::new("strata", (strata.pid(), strata.address()), of_http())?,
            Side::new("bare axum", (bare.pid(), bare.address()), of_http())?,
            Side::new("redis", (redis_pid, redis.address()), Script::new(&resp, depth, resp_bytes, b"$"))?,
        ];
        in_turns(&mut sides, if args.quick { &QUICK } else { &FULL })?;
        tell(&sides, depth, &mut figures);
    }
    if cores.is_none() && !args.json {
        writeln!(out, "servers and client share the processors: there is one only, or no taskset\n")?;
    }
    figures.print(args.json, out)
}

/// One of those that are compared.
struct Side {
    name: &'static str,
    pid: u32,
    crew: Crew,
    script: Script,
    /// Of each round: answers in a second, and microseconds of processor time for each.
    rates: Vec<f64>,
    cpu_us: Vec<f64>,
}

impl Side {
    fn new(name: &'static str, (pid, address): (u32, SocketAddr), script: Script) -> Outcome<Self> {
        let crew = Crew::connect(address, CONNECTIONS)?;
        Ok(Self { name, pid, crew, script, rates: Vec::new(), cpu_us: Vec::new() })
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of requests, far below 2^53")]
    fn round(&mut self, clock: &SystemClock, time: Duration) -> Outcome {
        let (cpu, begun) = (child::cpu(self.pid)?, clock.now());
        let answered = self.crew.ask(&self.script, clock, time)? as f64;
        let (took, cpu) = (clock.now().since(begun), child::cpu(self.pid)?.saturating_sub(cpu));
        self.rates.push(answered / took.as_secs_f64());
        self.cpu_us.push(cpu.as_secs_f64() * 1e6 / answered);
        Ok(())
    }
}

/// Each round begins with another side, so that none always comes after the same one.
fn in_turns(sides: &mut [Side], scale: &Scale) -> Outcome {
    let clock = SystemClock::new();
    for side in &mut *sides {
        side.crew.ask(&side.script, &clock, scale.round / 2)?;
    }
    for _ in 0..scale.rounds {
        for side in &mut *sides {
            side.round(&clock, scale.round)?;
        }
        sides.rotate_left(1);
    }
    sides.sort_by_key(|side| std::cmp::Reverse(side.name));
    Ok(())
}

fn tell(sides: &[Side], depth: usize, figures: &mut Figures) {
    for side in sides {
        let what = |of: &str| format!("{}: {of}, {depth} in a row", side.name);
        figures.told(what("GET of a hit"), median(side.rates.clone()), "a second");
        figures.told(what("processor time of the server"), median(side.cpu_us.clone()), "us each");
    }
    let of = |name: &str| sides.iter().find(|side| side.name == name);
    let (Some(ours), Some(bare)) = (of("strata"), of("bare axum")) else { return };
    let pairs = |ours: &[f64], theirs: &[f64]| {
        median(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect())
    };
    let (rate, cpu) = (pairs(&ours.rates, &bare.rates), pairs(&bare.cpu_us, &ours.cpu_us));
    let least = Asked::AtLeast(if depth == 1 { 0.9 } else { 3.0 });
    let what = |of: &str| format!("{of} the bare handler's, {depth} in a row");
    if depth == 1 {
        figures.asked(what("answers a second, of"), rate, "times", least);
    } else {
        figures.told(what("answers a second, of"), rate, "times");
    }
    figures.asked(what("answers in the same processor time, of"), cpu, "times", least);
}

/// What the server answers to a hit.
#[derive(Debug)]
struct Answer {
    /// Without those that say how long it is and when it was sent.
    headers: Vec<String>,
    body: String,
    /// How long it is as a whole.
    bytes: usize,
}

impl Answer {
    /// Asks once.
    fn to(request: &[u8], address: SocketAddr) -> Outcome<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(request)?;
        Self::read(&mut BufReader::new(stream))
    }

    fn read(reader: &mut impl BufRead) -> Outcome<Self> {
        let (mut headers, mut bytes, mut length) = (Vec::new(), 0, 0);
        loop {
            let mut line = String::new();
            bytes += reader.read_line(&mut line)?;
            match line.trim_end().split_once(": ") {
                Some(("content-length", text)) => length = text.parse()?,
                Some(("date", _)) => {}
                Some(_) => headers.push(line.trim_end().to_owned()),
                None if line.starts_with("HTTP/1.1 2") => {}
                None if line == "\r\n" => break,
                None => return Err(format!("not an answer: {line:?}").into()),
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        Ok(Self { headers, body: String::from_utf8(body)?, bytes: bytes + length })
    }

    fn as_arguments(&self) -> Vec<&str> {
        let headers = self.headers.iter().flat_map(|header| ["--header", header]);
        ["bench", "bare", "--body", &self.body].into_iter().chain(headers).collect()
    }

    /// What two answers must have in common.
    fn sorted(&self) -> (Vec<&String>, &str, usize) {
        let mut headers: Vec<_> = self.headers.iter().collect();
        headers.sort();
        (headers, &self.body, self.bytes)
    }
}

fn keys() -> impl Iterator<Item = String> {
    (0..KEYS).map(|key| format!("key:{key:05}"))
}

fn get(key: &str) -> Vec<u8> {
    format!("GET /v1/entries/{key} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

/// Stores all keys, and tells what one of them is answered with.
fn fill(address: SocketAddr) -> Outcome<Answer> {
    let put = |key: String| {
        let head =
            format!("PUT /v1/entries/{key}?ttl=1d HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain");
        format!("{head}\r\ncontent-length: {VALUE_BYTES}\r\n\r\n{}", "v".repeat(VALUE_BYTES))
    };
    let puts: Vec<_> = keys().map(put).collect();
    let mut reader = BufReader::new(TcpStream::connect(address)?);
    for puts in puts.chunks(AT_ONCE) {
        reader.get_mut().write_all(puts.concat().as_bytes())?;
        for _ in puts {
            Answer::read(&mut reader)?;
        }
    }
    Answer::to(&get("key:00000"), address)
}

fn fill_redis(address: SocketAddr) -> Outcome {
    let value = "v".repeat(VALUE_BYTES);
    let set =
        |key: String| format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${VALUE_BYTES}\r\n{value}\r\n", key.len());
    let sets: Vec<_> = keys().map(set).collect();
    let mut stream = TcpStream::connect(address)?;
    for sets in sets.chunks(AT_ONCE) {
        stream.write_all(sets.concat().as_bytes())?;
        let mut answers = vec![0; OK.len() * sets.len()];
        stream.read_exact(&mut answers)?;
        if answers != OK.repeat(sets.len()) {
            return Err("Redis has not stored all keys".into());
        }
    }
    Ok(())
}

/// How much of everything.
struct Scale {
    rounds: usize,
    round: Duration,
}

const FULL: Scale = Scale { rounds: 9, round: Duration::from_secs(1) };
const QUICK: Scale = Scale { rounds: 1, round: Duration::from_millis(50) };
const CONNECTIONS: usize = 50;
/// How many requests each connection sends before it reads.
const DEPTHS: [usize; 2] = [1, 16];
const KEYS: usize = 10_000;
const VALUE_BYTES: usize = 100;
const OK: &[u8] = b"+OK\r\n";
/// How many are stored before answers are read.
const AT_ONCE: usize = 100;
