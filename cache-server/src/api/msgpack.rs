//! `MessagePack` from outside: bounded in depth, read to its last byte, and never repeated in an error.

use rmp_serde::decode::Error;
use serde::de::DeserializeOwned;

use super::json::{self, MAX_DEPTH};
use crate::problem::Problem;

/// Reads a body.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut rest = bytes;
    let mut input = rmp_serde::Deserializer::new(&mut rest);
    input.set_max_depth(MAX_DEPTH);
    let body = T::deserialize(&mut input).map_err(|error| translate(&error))?;
    if !rest.is_empty() {
        return Err(Problem::bad_request("the body goes on after its MessagePack has ended"));
    }
    Ok(body)
}

fn translate(error: &Error) -> Problem {
    match error {
        Error::Syntax(message) | Error::Uncategorized(message) => json::problem("the body", message),
        Error::DepthLimitExceeded => json::too_deep(),
        Error::InvalidMarkerRead(_) | Error::InvalidDataRead(_) => {
            Problem::bad_request("the body is not MessagePack: it breaks off")
        }
        _ => Problem::bad_request("the body is not MessagePack of the form that this route takes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize, serde::Serialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        number: u64,
    }

    #[track_caller]
    fn refused(bytes: &[u8], part: &str) {
        let shown = format!("{:?}", read::<json::Object<Wanted>>(bytes).expect_err("refused"));
        assert!(shown.contains(part), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn what_is_wrong_is_named_and_never_repeated() {
        let good = rmp_serde::to_vec_named(&Wanted { number: 7 }).expect("small");
        assert_eq!(read::<json::Object<Wanted>>(&good).expect("its own").0, Wanted { number: 7 });
        refused(&[&good[..], b"\xc0"].concat(), "goes on after");
        refused(&good[..good.len() - 1], "breaks off");
        refused(b"", "breaks off");
        refused(b"\x91\x07", "");
        refused(b"\xc1", "");
        refused(b"\x81\xa6number\xa6secret", "of the form");
        refused(b"\x81\xa5numbr\x07", "unknown field `numbr`; expected `number`");
        refused(b"\x80", "missing field `number`");
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| [vec![0x91; depth], vec![0xc0]].concat();
        assert!(read::<serde_json::Value>(&nested(MAX_DEPTH - 1)).is_ok());
        for depth in [MAX_DEPTH + 1, 200_000] {
            let shown = format!("{:?}", read::<serde_json::Value>(&nested(depth)).expect_err("too deep"));
            assert!(shown.contains("128 levels"), "{shown}");
        }
    }
}
