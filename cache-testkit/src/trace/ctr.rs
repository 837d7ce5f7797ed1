//! The format `CTR1`: a header that promises, and columns that are believed only as they arrive.
//!
//! A count in the header is a promise: columns grow as their bytes arrive, so a lie costs an error and no memory.

use std::io::Read;

use super::bytes::Unpacked;
use super::{COSTS, Fault, HEADER_BYTES, KNOWN_FLAGS, MAGIC, Part, SIZES, TIMES, TTLS, Trace};

impl<R: Read> Unpacked<R> {
    /// The whole trace, still without a name.
    pub(super) fn trace(&mut self, part: &mut Part) -> Result<Trace, Fault> {
        *part = Part::Header;
        let header = self.header()?;
        let keys = self.keys(&header, part)?;
        let mut column = |name, flag| {
            (header.flags & flag != 0).then(|| self.column(name, header.requests, part)).transpose()
        };
        let (sizes, ttls) = (column("sizes", SIZES)?, column("ttls", TTLS)?);
        let (times, costs) = (column("times", TIMES)?, column("costs", COSTS)?);
        *part = Part::End;
        if self.byte()?.is_some() {
            return Err(Fault::Trailing);
        }
        Ok(Trace { name: String::new(), unique: header.unique, keys, sizes, ttls, times, costs })
    }

    fn header(&mut self) -> Result<Header, Fault> {
        let mut bytes = [0; HEADER_BYTES];
        for byte in &mut bytes {
            *byte = self.expect("17 bytes of header")?;
        }
        let [m0, m1, m2, m3, u0, u1, u2, u3, requests @ .., flags] = bytes;
        let magic = [m0, m1, m2, m3];
        if magic != MAGIC {
            return Err(Fault::Magic { found: magic });
        }
        if flags & !KNOWN_FLAGS != 0 {
            return Err(Fault::Flags { found: flags });
        }
        let unique = u32::from_le_bytes([u0, u1, u2, u3]);
        Ok(Header { unique, requests: u64::from_le_bytes(requests), flags })
    }

    /// The column of keys, which must be dense and numbered by first occurrence.
    fn keys(&mut self, header: &Header, part: &mut Part) -> Result<Vec<u32>, Fault> {
        let unique = header.unique;
        let mut seen = 0;
        let keys = self.values("keys", header.requests, part, |key| {
            if key > seen || key >= unique {
                return Err(Fault::Key { key, seen, unique });
            }
            seen = seen.max(key.saturating_add(1));
            Ok(())
        })?;
        if seen < unique {
            return Err(Fault::Unique { found: seen, declared: unique });
        }
        Ok(keys)
    }

    fn column(&mut self, name: &'static str, requests: u64, part: &mut Part) -> Result<Vec<u32>, Fault> {
        self.values(name, requests, part, |_| Ok(()))
    }

    fn values(
        &mut self,
        name: &'static str,
        requests: u64,
        part: &mut Part,
        mut check: impl FnMut(u32) -> Result<(), Fault>,
    ) -> Result<Vec<u32>, Fault> {
        let mut values = Vec::new();
        let mut sum = 0_i128;
        for request in 0..requests {
            *part = Part::Column(name, request);
            sum += i128::from(self.difference()?);
            let value = u32::try_from(sum).map_err(|_| Fault::Range { value: sum })?;
            check(value)?;
            values.push(value);
        }
        values.shrink_to_fit();
        Ok(values)
    }

    /// One zigzag LEB128 varint.
    fn difference(&mut self) -> Result<i64, Fault> {
        let mut zigzag = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.expect("one more value")?;
            let bits = u64::from(byte & 0x7F);
            if (bits << shift) >> shift != bits {
                return Err(Fault::Varint);
            }
            zigzag |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed());
            }
        }
        Err(Fault::Varint)
    }
}

struct Header {
    unique: u32,
    requests: u64,
    flags: u8,
}
