//! The source of a fleet: numbers in the Redis that it shares, which every process counts up and reads on sockets of its own.
//!
//! A change of the source and a run of a loader are counted there, so that no process need be believed.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

/// A connection to the source.
pub(super) struct Source(Mutex<BufReader<TcpStream>>);

impl Source {
    pub(super) async fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self(Mutex::new(BufReader::new(stream))))
    }

    /// Counts a number up, and gives what it is now.
    pub(super) async fn count(&self, name: &str) -> io::Result<u64> {
        self.call(&["INCR", name]).await
    }

    /// Reads a number; zero if there is none.
    pub(super) async fn read(&self, name: &str) -> io::Result<u64> {
        self.call(&["GET", name]).await
    }

    /// Sets a number.
    pub(super) async fn set(&self, name: &str, number: u64) -> io::Result<()> {
        self.call(&["SET", name, &number.to_string()]).await.map(drop)
    }

    async fn call(&self, words: &[&str]) -> io::Result<u64> {
        let mut stream = self.0.lock().await;
        let words_sent = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
        let command = format!("*{}\r\n{}", words.len(), words_sent.collect::<String>());
        stream.write_all(command.as_bytes()).await?;
        let line = line(&mut stream).await?;
        let odd = || io::Error::other(format!("the source answers {line:?}"));
        match line.split_at_checked(1) {
            Some((":", number)) => number.parse().map_err(|_| odd()),
            Some(("+", _) | ("$", "-1")) => Ok(0),
            Some(("$", length)) => {
                let length: usize = length.parse().map_err(|_| odd())?;
                let mut text = vec![0; length + 2];
                stream.read_exact(&mut text).await?;
                std::str::from_utf8(&text).ok().and_then(|text| text.trim_end().parse().ok()).ok_or_else(odd)
            }
            _ => Err(odd()),
        }
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    line.truncate(line.trim_end().len());
    Ok(line)
}
