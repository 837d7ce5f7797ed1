//! What is charged to one quota of a key: a window in buckets, of which an exact one has very short ones, or a rate.

use std::time::Duration;

use cache_core::{Quota, Shape, Time};

use super::rate::Rate;
use super::window::Window;

#[derive(Debug)]
pub(super) enum Ledger {
    Window(Window),
    Rate(Rate),
}

impl Ledger {
    pub(super) fn new(quota: Quota) -> Self {
        match quota.shape() {
            Shape::Buckets(_) | Shape::Exact => Self::Window(Window::new(quota)),
            Shape::Smooth { each } => Self::Rate(Rate::new(quota, each)),
        }
    }

    pub(super) fn is_of(&self, quota: &Quota) -> bool {
        match self {
            Self::Window(window) => window.is_of(quota),
            Self::Rate(rate) => rate.is_of(quota),
        }
    }

    /// Whether it had no room when it was last asked, and nothing has been taken or given back since.
    pub(super) fn has_denied(&self) -> bool {
        match self {
            Self::Window(window) => window.has_denied(),
            Self::Rate(rate) => rate.has_denied(),
        }
    }

    /// What would be left after this cost, which is within the limit, or how long to wait for room.
    pub(super) fn ask(&mut self, cost: u64, now: Time) -> Result<u64, Duration> {
        match self {
            Self::Window(window) => window.ask(cost, now),
            Self::Rate(rate) => rate.ask(cost, now),
        }
    }

    /// Charges a cost for which there is room, and returns where it is then.
    pub(super) fn take(&mut self, cost: u64, now: Time) -> u64 {
        match self {
            Self::Window(window) => window.take(cost, now),
            Self::Rate(rate) => rate.take(cost, now),
        }
    }

    /// Takes a charge out of where it was, if it is still there.
    pub(super) fn give_back(&mut self, cost: u64, mark: u64) {
        match self {
            Self::Window(window) => window.give_back(cost, mark),
            Self::Rate(rate) => rate.give_back(cost, mark),
        }
    }

    /// When the last charge no longer counts; `None` if nothing is charged.
    pub(super) fn idle_at(&self) -> Option<Time> {
        match self {
            Self::Window(window) => window.idle_at(),
            Self::Rate(rate) => rate.idle_at(),
        }
    }
}
