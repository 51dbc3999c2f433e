//! How what a destination needs a person for is told. Nothing here knows of pages.

use laneway_domain::Need;

/// How what a destination needs is told.
pub(crate) trait Told: Sized {
    /// What that means.
    fn meaning(self) -> &'static str;
    /// How loudly it is shown.
    fn tone(self) -> Tone;
}

impl Told for Need {
    fn meaning(self) -> &'static str {
        match self {
            Self::Stopped => "Laneway has paused it: nothing is sent until you resume it",
            Self::Down => "its breaker is open: one probe at a time is sent until one gets through",
            Self::Held => "keys are held: they wait for you to retry or skip their events",
            Self::Blocked => "keys are blocked: their events are retried",
            Self::DeadLetters => "events were given up: they wait for you to retry or discard them",
            Self::Late => "nothing fails, but events wait for longer than a minute",
            Self::Paused => "you have paused it: its events wait",
            Self::Left => "it is in no configuration any more: what waits for it is kept until you forget it",
            Self::Nothing => "everything is delivered as it comes",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Stopped | Self::Down | Self::Held => Tone::Bad,
            Self::Blocked | Self::DeadLetters | Self::Late => Tone::Warning,
            Self::Paused | Self::Left => Tone::Quiet,
            Self::Nothing => Tone::Good,
        }
    }
}

/// How loudly something is shown. Never by its colour alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Bad,
    Warning,
    Quiet,
    Good,
}

impl Tone {
    /// The name of its style.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Warning => "warning",
            Self::Quiet => "quiet",
            Self::Good => "good",
        }
    }
}
