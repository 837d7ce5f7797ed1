//! The few words of the Redis protocol that it takes to run a server: a command out, a reply in, on a socket of its own.

use std::io::{self, BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::wait::PATIENCE;

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing.
    Nil,
    /// A number.
    Integer(i64),
    /// A text or bytes; what is not UTF-8 is replaced.
    Text(String),
    /// An error, with its code.
    Error(String),
    /// Several.
    Array(Vec<Reply>),
}

impl Reply {
    /// The text, or nothing if it is none.
    pub fn text(&self) -> &str {
        if let Self::Text(text) | Self::Error(text) = self { text } else { "" }
    }

    /// The number, if it is one.
    pub fn integer(&self) -> Option<i64> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }

    /// The parts; nothing if there are none.
    pub fn parts(&self) -> &[Self] {
        if let Self::Array(parts) = self { parts } else { &[] }
    }
}

/// Sends commands, one after another, and returns the last reply.
pub(super) fn ask(address: SocketAddr, commands: &[&[&str]]) -> io::Result<Reply> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut last = Reply::Nil;
    for command in commands {
        stream.write_all(&packed(command))?;
        last = read(&mut reader)?;
    }
    Ok(last)
}

fn packed(words: &[&str]) -> Vec<u8> {
    let each = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    [format!("*{}\r\n", words.len())].into_iter().chain(each).collect::<String>().into_bytes()
}

fn read(reader: &mut impl BufRead) -> io::Result<Reply> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, format!("{line:?} begins no reply"));
    let (kind, rest) = line.trim_end().split_at_checked(1).ok_or_else(malformed)?;
    let number = || rest.parse::<i64>().map_err(|_| malformed());
    match kind {
        "+" => Ok(Reply::Text(rest.to_owned())),
        "-" => Ok(Reply::Error(rest.to_owned())),
        ":" => Ok(Reply::Integer(number()?)),
        "$" => {
            let Ok(bytes) = usize::try_from(number()?) else { return Ok(Reply::Nil) };
            let mut body = vec![0; bytes + 2];
            reader.read_exact(&mut body)?;
            Ok(Reply::Text(String::from_utf8_lossy(&body[..bytes]).into_owned()))
        }
        "*" => {
            let Ok(count) = usize::try_from(number()?) else { return Ok(Reply::Nil) };
            (0..count).map(|_| read(reader)).collect::<io::Result<_>>().map(Reply::Array)
        }
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_reply_is_read() {
        let mut bytes = &b"*6\r\n+OK\r\n-ERR no\r\n:-7\r\n$-1\r\n$4\r\na\r\nb\r\n*0\r\n"[..];
        let expected = [
            Reply::Text("OK".into()),
            Reply::Error("ERR no".into()),
            Reply::Integer(-7),
            Reply::Nil,
            Reply::Text("a\r\nb".into()),
            Reply::Array(vec![]),
        ];
        assert_eq!(read(&mut bytes).expect("whole").parts(), expected);
        for torn in [&b""[..], b"+", b"$5\r\nab\r\n", b"*2\r\n:1\r\n", b"!x\r\n", b":x\r\n"] {
            assert_eq!(read(&mut { torn }).ok(), (torn == b"+").then(|| Reply::Text(String::new())));
        }
    }
}
