//! How a bus is set up: every option with its default, checked once.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use cache_core::Transport;
use thiserror::Error;
use tokio::runtime;
use tokio::sync::{Notify, watch};

use super::receive::Receiver;
use super::send::Sender;
use super::{Bus, Ending, Handle, Pace, Shared};
use crate::chance::Chance;
use crate::gap::Publishers;
use crate::outbox::Outbox;
use crate::secret::BusSecret;
use crate::stats::Counts;

const MAX_CHANNEL_BYTES: usize = 256;
/// For how many silences a missing publisher is doubted, unless set otherwise: long enough for a link that is mended, and for whoever is
/// alerted to restart what lost it; short enough that who was killed costs others a minute.
const ABSENCE: u32 = 20;

/// Sets up a [`Bus`].
#[derive(Clone)]
#[must_use]
pub struct BusBuilder {
    transport: Arc<dyn Transport>,
    channel: String,
    pace: Pace,
    absence: Option<Duration>,
    outbox: NonZeroUsize,
    publishers: NonZeroUsize,
    secret: Option<BusSecret>,
    seed: Option<u64>,
}

impl BusBuilder {
    pub(super) fn new(transport: Arc<dyn Transport>) -> Self {
        let second = Duration::from_secs(1);
        let at_most = const { NonZeroUsize::new(1024).unwrap() };
        Self {
            transport,
            channel: "strata".into(),
            pace: Pace { heartbeat: second, silence: second * 3, patience: second, absence: Duration::ZERO },
            absence: None,
            outbox: at_most,
            publishers: at_most,
            secret: None,
            seed: None,
        }
    }

    /// Names the channel. Default `strata`; 1 to 256 bytes. Whoever else uses it is a cause of doubt.
    pub fn with_channel(mut self, channel: impl Into<String>) -> Self {
        self.channel = channel.into();
        self
    }

    /// How long this bus says nothing before it says that it is there. Default 1 s; more than zero. The same on all buses of a
    /// channel, as the [silence](Self::with_silence) is measured against that of others.
    pub fn with_heartbeat(mut self, heartbeat: Duration) -> Self {
        self.pace.heartbeat = heartbeat;
        self
    }

    /// After how long without any message nothing is believed any more. Default 3 s; at least twice the heartbeat, or a single
    /// one that is late would be a doubt.
    pub fn with_silence(mut self, silence: Duration) -> Self {
        self.pace.silence = silence;
        self
    }

    /// For how long it is doubted again and again what a publisher may have changed that is not heard any more and has not said
    /// farewell: at first after the silence, and then once in each further one. Default twenty times the silence, one minute; zero
    /// is once.
    ///
    /// It may have lost its way to the bus alone, and still change what others hold copies of; and it may have been killed, and then each
    /// of these doubts costs a look at what is held, for nothing. Once it is given up, only the lives of copies bound how old they are.
    pub fn with_absence(mut self, absence: Duration) -> Self {
        self.absence = Some(absence);
        self
    }

    /// How long the transport may take for a message before it counts as failed. Default 1 s; more than zero.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.pace.patience = patience;
        self
    }

    /// How many events wait while the transport is away, beside those of the one message that is tried. Default 1024; each takes
    /// up to some 5 KiB, twice the length of its texts as a rule.
    pub fn with_outbox(mut self, max_events: NonZeroUsize) -> Self {
        self.outbox = max_events;
        self
    }

    /// How many publishers are known at once. Default 1024. With more processes than that on a channel, the one not heard for the
    /// longest time is forgotten, and a doubt when it is heard again.
    pub fn with_publishers(mut self, max_publishers: NonZeroUsize) -> Self {
        self.publishers = max_publishers;
        self
    }

    /// Signs what this bus says, and ignores whoever does not sign with the same secret. Default none: whoever may write to the channel
    /// is heard. The same on all buses of a channel; [`BusSecret`] says how to begin to sign, and how to change the secret.
    ///
    /// What is ignored is counted ([`BusStats::forged`](crate::BusStats::forged), [`BusStats::replayed`](crate::BusStats::replayed)),
    /// logged as a warning once a minute, and no cause of doubt: else whoever may write to the channel could have everything that is held
    /// looked up again. So a process with another secret than the others is not heard by them, nor they by it: alert on those counts. Costs
    /// 40 bytes and two passes of HMAC-SHA-256 for each message.
    ///
    /// A message can be played once more to whoever has not heard its publisher, or has forgotten it
    /// ([`with_publishers`](Self::with_publishers)), such as a process that begins after that one has ended: it removes again, or is a doubt.
    pub fn with_secret(mut self, secret: BusSecret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// Makes the bus's identity and the random part of its pauses a function of this seed, so that a simulation replays. Two buses
    /// of one seed take each other's messages for their own, and one that follows another with the same seed is not heard in order:
    /// where buses are to hear each other, each needs another one.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Opens the bus on the current tokio runtime, whose timer has to be enabled. It is not whole until it has heard itself.
    ///
    /// # Errors
    /// An option out of its range, or no runtime. A retry fails the same way.
    pub fn open(mut self) -> Result<Bus, BusError> {
        let Pace { heartbeat, silence, patience, .. } = self.pace;
        if !(1..=MAX_CHANNEL_BYTES).contains(&self.channel.len()) {
            return Err(BusError::Channel { bytes: self.channel.len() });
        }
        if heartbeat.is_zero() || patience.is_zero() {
            let option = if heartbeat.is_zero() { "heartbeat" } else { "patience" };
            return Err(BusError::Zero { option });
        }
        if silence < heartbeat.saturating_mul(2) {
            return Err(BusError::Silence { silence, heartbeat });
        }
        let runtime = runtime::Handle::try_current().map_err(|_| BusError::NoRuntime)?;
        self.pace.absence = self.absence.unwrap_or(silence.saturating_mul(ABSENCE));
        Ok(self.start(&runtime))
    }

    fn start(self, runtime: &runtime::Handle) -> Bus {
        let mut chance = self.seed.map(Chance::new);
        let mut number = || chance.as_mut().map_or_else(Chance::unpredictable, Chance::next);
        let publisher = u128::from(number()) << 64 | u128::from(number());
        let (for_sender, for_receiver) = (Chance::new(number()), Chance::new(number()));
        let shared = Arc::new(Shared {
            transport: self.transport,
            channel: self.channel,
            publisher,
            pace: self.pace,
            outbox: Outbox::new(self.outbox),
            secret: self.secret,
            listeners: Arc::default(),
            counts: Counts::default(),
            is_whole: false.into(),
            beat: false.into(),
            alarm: Notify::new(),
            ending: watch::Sender::new(Ending::default()),
            unsent: 0.into(),
        });
        let sender = Sender::new(Arc::clone(&shared), for_sender);
        let receiver = Receiver::new(Arc::clone(&shared), for_receiver, Publishers::new(self.publishers));
        let sender = runtime.spawn(sender.run()).abort_handle();
        let receiver = runtime.spawn(receiver.run()).abort_handle();
        Bus { handle: Arc::new(Handle { shared, sender, receiver }) }
    }
}

impl fmt::Debug for BusBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channel, pace, .. } = self;
        f.debug_struct("BusBuilder").field("channel", channel).field("pace", pace).finish_non_exhaustive()
    }
}

/// Why a bus cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BusError {
    /// The channel has no legal name.
    #[error("the name of the channel has {bytes} bytes; it needs 1 to {MAX_CHANNEL_BYTES}")]
    Channel {
        /// How long it is.
        bytes: usize,
    },
    /// A time that cannot be zero is.
    #[error("the {option} is zero; it needs some time, such as one second")]
    Zero {
        /// Which option.
        option: &'static str,
    },
    /// Every late heartbeat would be a doubt.
    #[error("the silence is {silence:?}; it needs at least twice the heartbeat of {heartbeat:?}")]
    Silence {
        /// What was given.
        silence: Duration,
        /// What it is measured against.
        heartbeat: Duration,
    },
    /// There is nothing to run the tasks on.
    #[error("there is no tokio runtime here; open the bus inside one, or enter its handle first")]
    NoRuntime,
}
