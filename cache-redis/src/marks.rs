//! Marks: the random numbers by which tags are removed, made and prolonged by a script.
//!
//! What they are for is told in `store.rs`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use cache_core::{Error, ErrorKind, Result, Tag};
use redis::Value;

use crate::fault::PLACE;
use crate::random;
use crate::script::{Call, Script};
use crate::store::RedisStore;

/// A mark lives by a quarter longer than the entry that needs it, so that not each write has to prolong it, and at least
/// an hour longer.
const MARK_SLACK_MS: u64 = 3_600_000;

static MARK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("script/mark.lua")));

impl RedisStore {
    /// The marks of these tags, made where there are none, which live so long as an entry of this life needs them.
    pub(crate) async fn marks(
        &self,
        operation: &'static str,
        lives: BTreeMap<&Tag, u64>,
    ) -> Result<BTreeMap<Tag, u64>> {
        let calls: Vec<Call> = lives.iter().map(|(tag, life)| self.mark_call(tag, *life)).collect();
        let marks = self.run_marks(operation, &calls).await?;
        Ok(lives.into_keys().cloned().zip(marks).collect())
    }

    /// Makes or prolongs marks, and returns them in order.
    pub(crate) async fn run_marks(&self, operation: &'static str, calls: &[Call]) -> Result<Vec<u64>> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let answers = self.connection().run_many(operation, &MARK, calls).await?;
        let answers = answers.into_iter().map(|answer| self.connection().accept(operation, answer));
        answers.map(|answer| mark(operation, &answer?)).collect()
    }

    /// A call that has the mark of a tag live so long as an entry of this life needs it.
    pub(crate) fn mark_call(&self, tag: &Tag, life: u64) -> Call {
        let life = if life == 0 { 0 } else { life + life / 4 + MARK_SLACK_MS };
        Call::on(self.connection().name('t', tag.as_str())).number(random::number()).number(life)
    }
}

/// A mark as it stands in Redis. What is none is not ours: no entry can rely on it, and none with its tag is readable.
fn mark(operation: &'static str, answer: &Value) -> Result<u64> {
    number(answer).ok_or_else(|| Error::new(ErrorKind::Corrupt, PLACE, operation))
}

/// A number that stands as text: numbers of a script's own would not be exact, nor does the client refuse one below zero.
pub(crate) fn number(answer: &Value) -> Option<u64> {
    let Value::BulkString(text) = answer else { return None };
    str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_a_number_or_none() {
        assert_eq!(number(&Value::BulkString(u64::MAX.to_string().into())), Some(u64::MAX));
        let texts = ["x", "-1", "", "18446744073709551616"].map(|text| Value::BulkString(text.into()));
        for odd in texts.into_iter().chain([Value::Nil, Value::Int(-7), Value::Int(7)]) {
            assert_eq!(number(&odd), None);
        }
    }
}
