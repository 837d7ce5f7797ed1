//! The formats that are lines of text: the ARC authors' blocks, plain lists of keys, and tables with a header.
//!
//! A line is judged as it arrives. Keys are numbered by first occurrence, so what they look like is forgotten once the
//! file is read.

use std::collections::HashMap;
use std::hash::Hash;
use std::io::Read;

use super::bytes::Unpacked;
use super::{Fault, Part, Trace};

/// Lines `start count ignored request`: each stands for `count` keys in a row.
pub(super) fn arc<R: Read>(bytes: &mut Unpacked<R>, part: &mut Part) -> Result<Trace, Fault> {
    let mut numbers = Numbers::default();
    let mut keys = Vec::new();
    lines(bytes, part, |line, max_bytes| {
        let fields: Vec<&[u8]> = line.split(u8::is_ascii_whitespace).filter(|it| !it.is_empty()).collect();
        let &[start, count, _, _] = fields.as_slice() else {
            return Err(wrong("the line", line, "four numbers: start, count, ignored, request"));
        };
        let first: u64 = number(start).ok_or_else(|| wrong("start", start, "a whole number"))?;
        let blocks: u32 = number(count).ok_or_else(|| wrong("count", count, U32))?;
        let end = first.checked_add(blocks.into());
        let end = end.ok_or_else(|| wrong("start", start, "a number whose last block fits 64 bits"))?;
        // One short line can stand for four billion requests: they count against the limit as if each were a byte.
        if keys.len() as u64 + u64::from(blocks) > max_bytes {
            return Err(Fault::TooLong { max_bytes });
        }
        for key in first..end {
            keys.push(numbers.of(key)?);
        }
        Ok(())
    })?;
    Ok(numbers.trace(keys))
}

/// One key per line.
pub(super) fn keys<R: Read>(bytes: &mut Unpacked<R>, part: &mut Part) -> Result<Trace, Fault> {
    let mut numbers = Numbers::default();
    let mut keys = Vec::new();
    lines(bytes, part, |line, _| {
        keys.push(numbers.of_bytes(line)?);
        Ok(())
    })?;
    Ok(numbers.trace(keys))
}

/// A table whose first line names its columns.
pub(super) fn csv<R: Read>(bytes: &mut Unpacked<R>, part: &mut Part) -> Result<Trace, Fault> {
    let mut numbers = Numbers::default();
    let mut table: Option<Table> = None;
    lines(bytes, part, |line, _| match &mut table {
        None => {
            table = Some(Table::headed(line)?);
            Ok(())
        }
        Some(table) => table.push(line, &mut numbers),
    })?;
    let Some(mut table) = table else {
        *part = Part::Line(1);
        return Err(wrong("the line", b"", HEADER));
    };
    let keys = table.columns.remove(KEY).unwrap_or_default();
    let mut column = |name| table.columns.remove(name);
    let (sizes, ttls, costs, times) = (column("size"), column("ttl"), column("cost"), column(TIME));
    Ok(Trace { sizes, ttls, times, costs, ..numbers.trace(keys) })
}

/// Calls `read` with every line that holds anything, and with the limit of the file.
fn lines<R: Read>(
    bytes: &mut Unpacked<R>,
    part: &mut Part,
    mut read: impl FnMut(&[u8], u64) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut buffer = Vec::new();
    for number in 1.. {
        *part = Part::Line(number);
        let Some(line) = bytes.line(&mut buffer)? else { break };
        if !line.is_empty() {
            read(line, bytes.max_bytes())?;
        }
    }
    Ok(())
}

/// The columns of a table, in the order of its header.
struct Table {
    names: Vec<&'static str>,
    columns: HashMap<&'static str, Vec<u32>>,
    /// The time of the first request, from which the others are counted.
    start: Option<u32>,
}

impl Table {
    fn headed(line: &[u8]) -> Result<Self, Fault> {
        // Spreadsheets begin a text with this mark.
        let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        let mut names = Vec::new();
        for field in line.split(|&byte| byte == b',') {
            let field = field.trim_ascii();
            let known = COLUMNS.into_iter().find(|name| name.as_bytes() == field);
            let name = known.filter(|name| !names.contains(name));
            names.push(name.ok_or_else(|| wrong("column", field, HEADER))?);
        }
        if !names.contains(&KEY) {
            return Err(wrong("the line", line, HEADER));
        }
        let columns = names.iter().map(|&name| (name, Vec::new())).collect();
        Ok(Self { names, columns, start: None })
    }

    fn push(&mut self, line: &[u8], numbers: &mut Numbers<Box<[u8]>>) -> Result<(), Fault> {
        if line.contains(&b'"') {
            return Err(wrong("the line", line, "fields without quotes"));
        }
        let fields: Vec<&[u8]> = line.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).collect();
        if fields.len() != self.names.len() {
            return Err(wrong("the line", line, "as many fields as the first line has"));
        }
        for (&name, field) in self.names.iter().zip(fields) {
            let value = match name {
                KEY => numbers.of_bytes(field)?,
                TIME => {
                    let time = number(field).ok_or_else(|| wrong(name, field, U32))?;
                    let start = *self.start.get_or_insert(time);
                    time.checked_sub(start)
                        .ok_or_else(|| wrong(name, field, "no time before that of the first request"))?
                }
                _ => number(field).ok_or_else(|| wrong(name, field, U32))?,
            };
            if let Some(column) = self.columns.get_mut(name) {
                column.push(value);
            }
        }
        Ok(())
    }
}

/// Keys and their numbers by first occurrence.
struct Numbers<K> {
    numbers: HashMap<K, u32>,
}

impl<K> Default for Numbers<K> {
    fn default() -> Self {
        Self { numbers: HashMap::new() }
    }
}

impl<K: Hash + Eq> Numbers<K> {
    fn of(&mut self, key: K) -> Result<u32, Fault> {
        let next = self.next()?;
        Ok(*self.numbers.entry(key).or_insert(next))
    }

    fn next(&self) -> Result<u32, Fault> {
        u32::try_from(self.numbers.len()).ok().filter(|&next| next < u32::MAX).ok_or(Fault::Keys)
    }

    /// A trace of these keys without further columns.
    fn trace(&self, mut keys: Vec<u32>) -> Trace {
        keys.shrink_to_fit();
        let unique = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        Trace { name: String::new(), unique, keys, sizes: None, ttls: None, times: None, costs: None }
    }
}

impl Numbers<Box<[u8]>> {
    /// The number of a key that is copied only the first time.
    fn of_bytes(&mut self, key: &[u8]) -> Result<u32, Fault> {
        match self.numbers.get(key) {
            Some(&number) => Ok(number),
            None => self.of(key.into()),
        }
    }
}

fn number<N: std::str::FromStr>(field: &[u8]) -> Option<N> {
    str::from_utf8(field).ok()?.parse().ok()
}

fn wrong(what: &'static str, found: &[u8], expected: &'static str) -> Fault {
    let text = String::from_utf8_lossy(found);
    let mut found: String = text.chars().take(SHOWN_CHARS).collect();
    if found.len() < text.len() {
        found.push('…');
    }
    Fault::Text { what, found: found.into(), expected }
}

const KEY: &str = "key";
const TIME: &str = "time";
const COLUMNS: [&str; 5] = [KEY, "size", "ttl", "cost", TIME];
const HEADER: &str = "a first line of column names: key, and any of size, ttl, cost, time, each once";
const U32: &str = "a whole number from 0 to 4294967295";
/// As much of a wrong line as helps to find it.
const SHOWN_CHARS: usize = 60;
