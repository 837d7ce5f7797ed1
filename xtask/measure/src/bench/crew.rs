//! A crew of connections that ask as fast as they are answered, with as little work of their own as can be.
//!
//! Each sends a batch of requests that were written down before; then each reads as many bytes as the answers have, which all have the
//! same length. So there is nothing to parse and nobody to wake, and where every answer begins is looked at all the same.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use cache_core::Clock;

use crate::Outcome;

/// What is asked and what is answered.
#[derive(Debug)]
pub(super) struct Script {
    /// Batches, each of [`depth`](Self::depth) requests in a row.
    batches: Vec<Vec<u8>>,
    depth: usize,
    answer_bytes: usize,
    /// How every answer begins.
    beginning: &'static [u8],
}

impl Script {
    /// As many requests in a row as `depth`, and answers of as many bytes as `answer_bytes`.
    pub(super) fn new(
        requests: &[Vec<u8>],
        depth: usize,
        answer_bytes: usize,
        beginning: &'static [u8],
    ) -> Self {
        let batches = requests.chunks_exact(depth).map(<[_]>::concat).collect();
        Self { batches, depth, answer_bytes, beginning }
    }
}

/// Connections to one server.
#[derive(Debug)]
pub(super) struct Crew {
    streams: Vec<TcpStream>,
    answers: Vec<u8>,
}

impl Crew {
    pub(super) fn connect(address: SocketAddr, connections: usize) -> Outcome<Self> {
        let connect = |_| {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(stream)
        };
        let streams = (0..connections).map(connect).collect::<std::io::Result<_>>()?;
        Ok(Self { streams, answers: Vec::new() })
    }

    /// Asks for so long, and says how many answers there were.
    pub(super) fn ask(&mut self, script: &Script, clock: &impl Clock, time: Duration) -> Outcome<u64> {
        let end = clock.now().after(time);
        self.answers.resize(script.depth * script.answer_bytes, 0);
        let mut batches = script.batches.iter().cycle();
        let mut answered = 0;
        while clock.now() < end {
            for (stream, batch) in self.streams.iter_mut().zip(&mut batches) {
                stream.write_all(batch)?;
            }
            for stream in &mut self.streams {
                stream.read_exact(&mut self.answers)?;
                let is_right = |answer: &[u8]| answer.starts_with(script.beginning);
                if !self.answers.chunks(script.answer_bytes).all(is_right) {
                    let found = String::from_utf8_lossy(&self.answers).into_owned();
                    return Err(format!("answers are not as the first one was: {found}").into());
                }
                answered += script.depth as u64;
            }
        }
        Ok(answered)
    }
}

/// For an answer, before it is given up.
const PATIENCE: Duration = Duration::from_secs(10);
