//! Server-sent events out of a stream of bytes, as the HTML standard writes them down.

use std::io::{self, BufRead, BufReader, Read};

/// The most bytes of a line: several times what a report of many regions takes.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Empty if it has none.
    pub(crate) name: String,
    pub(crate) data: String,
}

/// The events of a stream, in their order.
pub(crate) struct Events<R>(BufReader<R>);

impl<R: Read> Events<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self(BufReader::new(stream))
    }

    /// The next one; none when the stream has ended.
    pub(crate) fn next_event(&mut self) -> io::Result<Option<Event>> {
        let mut event = Event::default();
        let mut has_data = false;
        loop {
            let mut line = String::new();
            let read = (&mut self.0).take(MAX_LINE_BYTES).read_line(&mut line)?;
            if read as u64 == MAX_LINE_BYTES {
                return Err(io::Error::other("an event is too long"));
            }
            // An event that was not ended is not one.
            if read == 0 {
                return Ok(None);
            }
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                if has_data {
                    return Ok(Some(event));
                }
                event = Event::default();
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut event.name),
                "data" => {
                    if has_data {
                        event.data.push('\n');
                    }
                    event.data.push_str(value);
                    has_data = true;
                }
                // Comments keep the connection open; nothing here needs identifiers or pauses.
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_names_and_lines_of_data_and_may_stand_between_comments() {
        let text = ": hello\n\nevent: stats\ndata: {\"a\":\ndata: 1}\r\n\r\ndata:x\n\nevent: cut\ndata: off";
        let mut events = Events::new(text.as_bytes());
        let mut next = || events.next_event().unwrap().map(|event| (event.name, event.data));
        assert_eq!(next(), Some(("stats".into(), "{\"a\":\n1}".into())));
        assert_eq!(next(), Some((String::new(), "x".into())));
        assert_eq!(next(), None);
    }
}
