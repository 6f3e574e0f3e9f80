//! Whether the other end of a WebSocket is alive: when to ping it, and when to give it up. Decides only; the session
//! acts.

/// What is known of the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// No ping is out.
    Quiet,
    /// A ping is out, and nothing has been heard since.
    Asked,
    /// A ping is out, and something has been heard since.
    Heard,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// Send a ping, and look again when it should have been answered.
    Ping,
    /// It has answered: look again when the next ping is due.
    Rest,
    /// It has not answered.
    GiveUp,
}

impl Life {
    /// After the other end has given a sign of life.
    pub(super) fn heard(self) -> Self {
        match self {
            Self::Quiet => Self::Quiet,
            Self::Asked | Self::Heard => Self::Heard,
        }
    }

    /// Looks after the other end: what is known from then on, and what to do.
    pub(super) fn look(self) -> (Self, Care) {
        match self {
            Self::Quiet => (Self::Asked, Care::Ping),
            Self::Heard => (Self::Quiet, Care::Rest),
            Self::Asked => (Self::Asked, Care::GiveUp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_answers_is_pinged_once_an_interval_and_rests_between() {
        let (asked, care) = Life::Quiet.heard().look();
        assert_eq!(care, Care::Ping);
        let (quiet, care) = asked.heard().heard().look();
        assert_eq!((quiet, care), (Life::Quiet, Care::Rest));
        assert_eq!(quiet.look().1, Care::Ping);
    }

    #[test]
    fn what_was_heard_before_the_ping_is_no_answer() {
        let (asked, _) = Life::Quiet.heard().look();
        assert_eq!(asked.look().1, Care::GiveUp);
    }
}
