//! An error as people read it.

use std::error::Error;

/// An error with its causes in one line, each behind a colon. Errors here print one level only, so that whoever shows one to people
/// writes it so. Some of others print their cause, too: it is not said twice.
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !line.ends_with(&said) {
            line = format!("{line}: {said}");
        }
        source = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Because(&'static str, Option<Box<Self>>);

    impl fmt::Display for Because {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Because {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as &dyn Error)
        }
    }

    #[test]
    fn causes_stand_behind_what_they_cause() {
        let cause = Because("the disk is full", None);
        let error = Because("cannot write", Some(Box::new(cause)));
        assert_eq!(chain(&error), "cannot write: the disk is full");
    }

    #[test]
    fn a_cause_that_was_printed_with_what_it_causes_is_not_said_twice() {
        let cause = Because("the disk is full", None);
        let same = Because("the disk is full", Some(Box::new(cause)));
        let error = Because("cannot write: the disk is full", Some(Box::new(same)));
        assert_eq!(chain(&error), "cannot write: the disk is full");
    }
}
