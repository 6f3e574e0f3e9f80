//! Which boot of the machine the files belong to.
//!
//! What the operating system has survives the broker, but not the machine: after a crash of the machine the disk may lack messages that
//! subscribers have heard. Whoever went on counting from there would give their places to others.

/// Where Linux tells of its present boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The boot in which the files are written, and whether the disk has all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BootMark {
    /// Empty where the system does not tell.
    boot: String,
    /// Whether the disk has all that was acknowledged: it was waited for each time, or at the end.
    is_complete: bool,
}

impl BootMark {
    /// The present boot.
    pub(super) fn now(is_complete: bool) -> Self {
        let boot = std::fs::read_to_string(BOOT_ID).unwrap_or_default();
        Self {
            boot: boot.trim().to_owned(),
            is_complete,
        }
    }

    /// Whether messages may be missing that were acknowledged before this mark was left, and that the present boot does not have.
    pub(super) fn may_lack_messages(&self) -> bool {
        !self.is_complete && self.boot != Self::now(false).boot
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.is_complete)];
        bytes.extend_from_slice(self.boot.as_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Self {
        let (is_complete, boot) = bytes.split_first().unwrap_or((&0, &[]));
        Self {
            boot: String::from_utf8_lossy(boot).into_owned(),
            is_complete: *is_complete == 1,
        }
    }
}

/// Makes the files look as if they had been written in another boot.
#[cfg(test)]
pub(super) fn pretend_another(path: &std::path::Path) {
    let settings = super::tests::settings(path);
    let store = super::store::Store::open(&settings).unwrap();
    let mark = store.boot_mark().unwrap().unwrap();
    let boot = "another".to_owned();
    store.set_boot_mark(&BootMark { boot, ..mark }).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_may_be_missing_only_after_another_boot_that_ended_without_waiting() {
        let other = |is_complete| BootMark {
            boot: "another".to_owned(),
            is_complete,
        };
        assert!(other(false).may_lack_messages());
        assert!(!other(true).may_lack_messages());
        assert!(!BootMark::now(false).may_lack_messages());
        let mark = other(true);
        assert_eq!(BootMark::decode(&mark.encode()), mark);
    }
}
