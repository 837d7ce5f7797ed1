//! Doubts: why a process may have missed something.

use std::fmt;

/// Why what is held may be out of date.
///
/// Some doubts pass at once: what was missed lies in the past, and from here on all is well. The others
/// [last](Self::is_lasting) until the bus hears itself again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Doubt {
    /// The bus has just been opened, and has not heard itself yet.
    Starting,
    /// The transport said that messages are missing.
    Missed,
    /// The subscription has ended.
    Ended,
    /// A message could not be published.
    Unsent,
    /// Nothing was heard for too long, not even from the bus itself.
    Silent,
    /// The bus was closed; this doubt has no end.
    Closed,
    /// A publisher's messages have a hole in their numbers.
    Gap,
    /// A publisher has lost events that it could not publish.
    Epoch,
    /// A publisher is heard for the first time, and has said something before.
    Stranger,
    /// A publisher is not heard any more, and has not said farewell; told again for as long as
    /// [`BusBuilder::with_absence`](crate::BusBuilder::with_absence) says.
    Vanished,
    /// A message could not be read: damaged, or written by a newer release.
    Unreadable,
}

impl Doubt {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Starting,
        Self::Missed,
        Self::Ended,
        Self::Unsent,
        Self::Silent,
        Self::Closed,
        Self::Gap,
        Self::Epoch,
        Self::Stranger,
        Self::Vanished,
        Self::Unreadable,
    ];

    /// Tells whether it lasts until the bus has heard itself again, and is then told a second time.
    pub const fn is_lasting(self) -> bool {
        matches!(
            self,
            Self::Starting | Self::Missed | Self::Ended | Self::Unsent | Self::Silent | Self::Closed
        )
    }

    /// Its name: one lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Missed => "missed",
            Self::Ended => "ended",
            Self::Unsent => "unsent",
            Self::Silent => "silent",
            Self::Closed => "closed",
            Self::Gap => "gap",
            Self::Epoch => "epoch",
            Self::Stranger => "stranger",
            Self::Vanished => "vanished",
            Self::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
