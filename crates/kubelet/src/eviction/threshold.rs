//! What is too little: `memory.available<100Mi`, `nodefs.inodesFree<5%`.

use std::time::Duration;

use api_types::quantity::Quantity;

use super::{Amount, Pressure};

/// What is observed, in the order in which shortages are dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// `memory.available`.
    Memory,
    /// `nodefs.available`: the disk of the kubelet's directory.
    NodeDisk,
    /// `nodefs.inodesFree`.
    NodeInodes,
    /// `imagefs.available`: the disk of Docker's directory.
    ImageDisk,
    /// `imagefs.inodesFree`.
    ImageInodes,
    /// `pid.available`.
    Pid,
}

impl Signal {
    /// All.
    pub const ALL: [Self; 6] =
        [Self::Memory, Self::NodeDisk, Self::NodeInodes, Self::ImageDisk, Self::ImageInodes, Self::Pid];

    /// As settings spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory.available",
            Self::NodeDisk => "nodefs.available",
            Self::NodeInodes => "nodefs.inodesFree",
            Self::ImageDisk => "imagefs.available",
            Self::ImageInodes => "imagefs.inodesFree",
            Self::Pid => "pid.available",
        }
    }

    /// The condition of the node that a shortage means.
    #[must_use]
    pub const fn pressure(self) -> Pressure {
        match self {
            Self::Memory => Pressure::Memory,
            Self::Pid => Pressure::Pid,
            _ => Pressure::Disk,
        }
    }

    /// What is short, as messages say it.
    #[must_use]
    pub const fn resource(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::NodeDisk | Self::ImageDisk => "ephemeral-storage",
            Self::NodeInodes | Self::ImageInodes => "inodes",
            Self::Pid => "pids",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.as_str() == text)
    }
}

/// How little is too little.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Limit {
    Quantity(u64),
    /// Of all there is, from 0 to 1.
    Share(f64),
}

/// A limit of one signal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// What is observed.
    pub signal: Signal,
    limit: Limit,
    /// How long it may be fallen below before pods go. None at all is a hard threshold.
    pub grace: Option<Duration>,
}

impl Threshold {
    /// A hard threshold; `None` for one that says nothing: 0% and 100%.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(signal: &str, limit: &str) -> Result<Option<Self>, String> {
        let found = Signal::parse(signal).ok_or_else(|| format!("unsupported eviction signal {signal:?}"))?;
        let wrong = || format!("eviction threshold {limit:?} of {signal} is neither a quantity nor a percentage");
        let limit = match limit.strip_suffix('%') {
            Some(percent) => {
                let percent: f64 = percent.parse().map_err(|_| wrong())?;
                if !(0.0..=100.0).contains(&percent) {
                    return Err(wrong());
                }
                if percent == 0.0 || percent == 100.0 {
                    return Ok(None);
                }
                Limit::Share(percent / 100.0)
            }
            None => {
                let quantity: Quantity = limit.parse().map_err(|_| wrong())?;
                Limit::Quantity(u64::try_from(quantity.value()).map_err(|_| wrong())?)
            }
        };
        Ok(Some(Self { signal: found, limit, grace: None }))
    }

    /// The same as a soft threshold, which may be fallen below for so long.
    #[must_use]
    pub fn after(self, grace: Duration) -> Self {
        Self { grace: Some(grace), ..self }
    }

    /// The least that must be left of so much.
    #[must_use]
    pub fn least(&self, capacity: u64) -> u64 {
        match self.limit {
            Limit::Quantity(quantity) => quantity,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                clippy::cast_sign_loss,
                reason = "a share of an amount"
            )]
            Limit::Share(share) => (capacity as f64 * share) as u64,
        }
    }

    /// Whether too little is left.
    #[must_use]
    pub fn is_met(&self, amount: Amount) -> bool {
        amount.available < self.least(amount.capacity)
    }
}
