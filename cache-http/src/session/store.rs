//! Sessions as `tower-sessions` wants them: its middleware does the cookies, this keeps what is behind them.

use std::collections::HashMap;

use async_trait::async_trait;
use serde_json::Value;
use time::OffsetDateTime;
use tower_sessions_core::SessionStore;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::session_store::{Error, Result};

use super::{Session, SessionError, Sessions, id};

/// What `tower-sessions` keeps in a session.
pub type Data = HashMap<String, Value>;

impl Sessions<Data> {
    /// The entry of a session's data that says whose it is: a text or a number. Sessions that have it can be
    /// [revoked together](Self::revoke_all). Default: none.
    #[must_use]
    pub fn with_user_key(mut self, key: &str) -> Self {
        self.user_key = Some(key.into());
        self
    }

    fn user_of(&self, data: &Data) -> Option<Box<str>> {
        match data.get(&**self.user_key.as_ref()?)? {
            Value::String(user) => Some(user.as_str().into()),
            Value::Number(user) => Some(user.to_string().into()),
            _ => None,
        }
    }

    fn session(&self, since: u64, record: &Record) -> Session<Data> {
        let (user, data) = (self.user_of(&record.data), record.data.clone());
        Session { user, since, ends: Some(millis(record.expiry_date)), data }
    }
}

/// A session that the middleware saves after it was revoked stays gone. When it ends, the middleware says; the longest life of
/// [`Sessions::with_most`] holds all the same, from the last time that its id changed.
#[async_trait]
impl SessionStore for Sessions<Data> {
    async fn create(&self, record: &mut Record) -> Result<()> {
        while self.cache.contains(&key(record.id)).await.map_err(failed)? {
            record.id = Id::default();
        }
        let session = self.session(self.now(), record);
        self.begin(&key(record.id), session).await.map_err(failed)
    }

    async fn save(&self, record: &Record) -> Result<()> {
        let new = self.session(self.now(), record);
        let change = move |old: Session<Data>| Session { since: old.since, ..new.clone() };
        self.replace(&key(record.id), change).await.map_err(failed)?;
        Ok(())
    }

    async fn load(&self, session_id: &Id) -> Result<Option<Record>> {
        let Some(session) = self.find(&key(*session_id)).await.map_err(failed)? else { return Ok(None) };
        let expiry_date = moment(session.ends.unwrap_or(self.now()));
        Ok(Some(Record { id: *session_id, data: session.data, expiry_date }))
    }

    async fn delete(&self, session_id: &Id) -> Result<()> {
        self.cache.remove(&key(*session_id)).await.map_err(failed)?;
        Ok(())
    }
}

fn key(id: Id) -> String {
    id::key(&id.0.to_le_bytes())
}

fn millis(moment: OffsetDateTime) -> u64 {
    u64::try_from((moment.unix_timestamp_nanos() / 1_000_000).max(0)).unwrap_or(u64::MAX)
}

fn moment(millis: u64) -> OffsetDateTime {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000);
    moment.unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn failed(error: impl Into<SessionError>) -> Error {
    Error::Backend(error.into().to_string())
}
