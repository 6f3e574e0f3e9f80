//! A number of bytes, so that it is not taken for a count of anything else.

use std::fmt;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteCount(u64);

impl ByteCount {
    /// This many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// This many times 1,024 bytes.
    pub const fn kibibytes(count: u64) -> Self {
        Self(count * 1024)
    }

    /// This many times 1,048,576 bytes.
    pub const fn mebibytes(count: u64) -> Self {
        Self(count * 1024 * 1024)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number for comparing with what is in memory: more than can be addressed is as good as no limit.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}
