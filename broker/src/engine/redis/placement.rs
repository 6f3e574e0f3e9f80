//! Which of several servers has a channel.
//!
//! Each server draws a number for the channel, and the highest wins (rendezvous hashing). So the order in which servers are
//! named does not matter, and a server that is added or taken away takes with it only channels of its own.
//!
//! Brokers that disagree about the servers would not hear each other in some channels, and nobody would know. So each says
//! on every server which servers there are, for as long as its lease; a broker that says something else is refused there.
//! And a channel that was kept while there were other servers begins a new epoch: it may have been elsewhere meanwhile.

use widecast_protocol::ChannelName;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The servers that share the channels.
#[derive(Debug, Clone)]
pub(super) struct Servers {
    names: Vec<String>,
    seeds: Vec<u64>,
}

impl Servers {
    /// Servers of these names, all different.
    pub(super) fn new(names: Vec<String>) -> Self {
        let seeds = names
            .iter()
            .map(|name| xxh3_64_with_seed(name.as_bytes(), 0));
        Self {
            seeds: seeds.collect(),
            names,
        }
    }

    /// The index of the server that has this channel. It must never change: brokers of two releases have to agree.
    pub(super) fn index(&self, channel: &ChannelName) -> usize {
        let draw = |seed: u64| xxh3_64_with_seed(channel.as_str().as_bytes(), seed);
        let all = self.seeds.iter().enumerate();
        let highest = all.max_by_key(|&(index, &seed)| (draw(seed), &self.names[index]));
        highest.map_or(0, |(index, _)| index)
    }

    /// All of them, in the same order wherever they are named.
    pub(super) fn agreed(&self) -> String {
        let mut names: Vec<_> = self.names.iter().map(String::as_str).collect();
        names.sort_unstable();
        names.join(" ")
    }
}

/// What the name of a server process ends with, where these servers share the channels.
pub(super) fn mark(agreed: &str) -> String {
    match agreed {
        "" => String::new(),
        agreed => format!("@{:016x}", xxh3_64_with_seed(agreed.as_bytes(), 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(names: &[&str]) -> Servers {
        Servers::new(names.iter().map(|&name| name.to_owned()).collect())
    }

    fn place<'a>(names: &[&'a str], number: usize) -> &'a str {
        let channel = ChannelName::parse(&format!("channel-{number}")).unwrap();
        names[servers(names).index(&channel)]
    }

    #[test]
    fn a_channel_is_where_it_has_always_been() {
        let found: Vec<_> = (0..16)
            .map(|number| place(&["a", "b", "c"], number))
            .collect();
        insta::assert_snapshot!(found.concat(), @"cbbcacaabbbcaaaa");
    }

    #[test]
    fn the_order_of_the_servers_does_not_matter() {
        for number in 0..100 {
            assert_eq!(
                place(&["a", "b", "c"], number),
                place(&["c", "a", "b"], number)
            );
        }
        assert_eq!(servers(&["b", "a"]).agreed(), servers(&["a", "b"]).agreed());
    }

    #[test]
    fn another_server_takes_its_share_and_moves_nothing_else() {
        let (mut moved, mut of_a) = (0, 0);
        for number in 0..3000 {
            let (before, after) = (place(&["a", "b"], number), place(&["a", "b", "c"], number));
            of_a += usize::from(before == "a");
            if before != after {
                assert_eq!(after, "c");
                moved += 1;
            }
        }
        assert!((900..1100).contains(&moved), "{moved}");
        assert!((1400..1600).contains(&of_a), "{of_a}");
    }
}
