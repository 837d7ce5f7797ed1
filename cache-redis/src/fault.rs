//! What can go wrong with a call, and what that means to whoever asked.

use cache_core::{Error, ErrorKind};
use redis::{ErrorKind as Kind, RedisError, ServerErrorKind};
use thiserror::Error as ThisError;

pub(crate) const PLACE: &str = "redis";

/// Why a call failed.
#[derive(Clone, Debug, ThisError)]
pub(crate) enum Fault {
    /// No answer in time.
    #[error("no answer within the command timeout")]
    Late,
    /// As many calls as allowed are on their way.
    #[error("as many calls are on their way as `max_in_flight` allows")]
    Full,
    /// There is no connection, and the attempt to make one has failed.
    #[error("not connected: {0}")]
    Down(String),
    /// A Cluster in which nobody has the slot, or everybody names another.
    #[error("nobody in the cluster has the slot at the moment")]
    Homeless,
    /// An answer that no server gives to this question.
    #[error("the answer is not what the command answers")]
    Odd,
    /// The server or the connection says no.
    #[error(transparent)]
    Redis(#[from] RedisError),
}

impl Fault {
    /// The code of the server's error, if it is one.
    pub(crate) fn code(&self) -> Option<&str> {
        let Self::Redis(error) = self else { return None };
        error.code()
    }

    pub(crate) fn is_unknown_script(&self) -> bool {
        self.code() == Some("NOSCRIPT")
    }

    /// Whether whoever answered is not the one who takes writes.
    pub(crate) fn is_demoted(&self) -> bool {
        self.code() == Some("READONLY")
    }

    /// Whether an error says that what is there is of another kind than the command works on.
    pub(crate) fn is_of_wrong_type(error: &Error) -> bool {
        let source = std::error::Error::source(error);
        let fault = source.and_then(|source| source.downcast_ref::<Self>());
        fault.is_some_and(|fault| fault.code() == Some("WRONGTYPE"))
    }

    /// The error of an operation. `has_others` tells whether another server may soon take the place of one that refuses writes.
    pub(crate) fn during(self, operation: &'static str, has_others: bool) -> Error {
        let kind = match &self {
            Self::Late => ErrorKind::TimedOut,
            Self::Full | Self::Down(_) | Self::Homeless => ErrorKind::Unavailable,
            Self::Odd => ErrorKind::Corrupt,
            Self::Redis(_) if self.is_demoted() && has_others => ErrorKind::Unavailable,
            Self::Redis(error) => kind(error),
        };
        Error::new(kind, PLACE, operation).with_source(self)
    }
}

fn kind(error: &RedisError) -> ErrorKind {
    match error.kind() {
        // The connection is replaced after an answer that cannot be read, too.
        Kind::Io | Kind::Parse => ErrorKind::Unavailable,
        Kind::UnexpectedReturnType => ErrorKind::Corrupt,
        Kind::Client | Kind::InvalidClientConfig | Kind::RESP3NotSupported => ErrorKind::Invalid,
        Kind::Server(server) => match server {
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask => ErrorKind::Unavailable,
            ServerErrorKind::CrossSlot => ErrorKind::Invalid,
            _ => ErrorKind::Refused,
        },
        _ if error.code() == Some("BUSY") => ErrorKind::Unavailable,
        _ => ErrorKind::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(kind: ServerErrorKind) -> Fault {
        Fault::Redis(RedisError::from((Kind::Server(kind), "as the server says")))
    }

    #[test]
    fn what_passes_by_itself_may_be_tried_again_and_what_is_refused_may_not() {
        let io = || Fault::Redis(std::io::Error::from(std::io::ErrorKind::BrokenPipe).into());
        for fault in [Fault::Late, Fault::Full, Fault::Homeless, Fault::Down(String::new()), io()] {
            assert!(fault.during("get", false).is_retryable());
        }
        for kind in [ServerErrorKind::BusyLoading, ServerErrorKind::ClusterDown, ServerErrorKind::Moved] {
            assert!(server(kind).during("get", false).is_retryable(), "{kind:?}");
        }
        for kind in [ServerErrorKind::NoPerm, ServerErrorKind::ReadOnly, ServerErrorKind::ResponseError] {
            assert_eq!(server(kind).during("put", false).kind(), ErrorKind::Refused, "{kind:?}");
        }
        let demoted = server(ServerErrorKind::ReadOnly).during("put", true);
        assert_eq!(demoted.kind(), ErrorKind::Unavailable, "another primary is being made");
        assert_eq!(Fault::Odd.during("get", false).kind(), ErrorKind::Corrupt);
    }
}
