//! Where those who come by a proxy find servers of which they are told: Sentinels and nodes of a cluster know them at the local host
//! alone, and the proxies stand at another one, on the same ports.

use std::net::Ipv4Addr;

/// The host of all servers.
const LOCAL: &[u8] = b"127.0.0.1";

/// Puts another host in its place that is as long, so that all lengths stay true.
#[derive(Debug)]
pub struct Translation {
    last: u8,
    /// How much of the host the last bytes were, which may have come in another piece.
    found: usize,
}

impl Translation {
    /// To this host, unless it is the local one; it must be one of `127.0.0.1` to `127.0.0.9`.
    pub fn to(host: Ipv4Addr) -> Option<Self> {
        let [.., number] = host.octets();
        (host != Ipv4Addr::LOCALHOST).then_some(Self {
            last: b'0' + number,
            found: 0,
        })
    }

    /// Does so in the next piece.
    pub fn translate(&mut self, piece: &mut [u8]) {
        for byte in piece {
            if *byte != LOCAL[self.found] {
                // Only its first digit can begin it anew.
                self.found = usize::from(*byte == LOCAL[0]);
                continue;
            }
            self.found += 1;
            if self.found == LOCAL.len() {
                *byte = self.last;
                self.found = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_replaced_wherever_it_is_cut() {
        let said = b"*2\r\n$9\r\n127.0.0.1\r\n$5\r\n40127.0.127.0.0.1";
        let expected = b"*2\r\n$9\r\n127.0.0.3\r\n$5\r\n40127.0.127.0.0.3";
        for cut in 0..said.len() {
            let mut translation = Translation::to(Ipv4Addr::new(127, 0, 0, 3)).unwrap();
            let mut translated = *said;
            let (first, second) = translated.split_at_mut(cut);
            translation.translate(first);
            translation.translate(second);
            assert_eq!(translated, *expected, "cut at {cut}");
        }
    }
}
