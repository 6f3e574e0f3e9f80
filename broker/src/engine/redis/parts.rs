//! The parts of a cluster: each has its share of the channels, and all its keys and topics are in one slot.
//!
//! None of this must ever change: brokers of two releases have to agree about it.

use std::ops::Range;

use widecast_protocol::ChannelName;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// How many there are: enough for some on each of many primaries, few enough for each to have connections of its own.
pub(super) const PARTS: usize = 32;

/// How many slots a cluster has.
const SLOTS: u16 = 16384;

/// The part that has this channel.
pub(super) fn part_of(channel: &ChannelName) -> usize {
    let hash = xxh3_64_with_seed(channel.as_str().as_bytes(), 0);
    usize::try_from(hash % PARTS as u64).unwrap_or(0)
}

/// What stands in braces in all keys and topics of a part, so that all are in one slot.
///
/// The slots of the parts are spread evenly over all slots, and in their order: primaries have ranges of slots that follow each other,
/// and so each has its share of the parts.
pub(super) fn tag_of(part: usize) -> String {
    let slots = slots_of(part);
    let tags = (0..u32::MAX).map(|number| number.to_string());
    let mut fitting = tags.filter(|tag| slots.contains(&usize::from(slot_of(tag))));
    // Among the first few thousand numbers there is one for each range of slots: a test has them all.
    fitting.next().unwrap_or_default()
}

/// Where the slot of a part lies.
fn slots_of(part: usize) -> Range<usize> {
    let slots = usize::from(SLOTS);
    part * slots / PARTS..(part + 1) * slots / PARTS
}

/// The slot of the keys that have this in braces: CRC-16/XMODEM, as the cluster specification of Redis has it.
pub(super) fn slot_of(tag: &str) -> u16 {
    let crc = tag.bytes().fold(0, |mut crc: u16, byte| {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            let is_high = crc & 0x8000 != 0;
            crc <<= 1;
            if is_high {
                crc ^= 0x1021;
            }
        }
        crc
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_that_of_the_specification() {
        assert_eq!(slot_of("123456789"), 0x31C3);
    }

    #[test]
    fn each_part_is_where_it_has_always_been() {
        let all = (0..PARTS).map(|part| {
            let tag = tag_of(part);
            assert!(slots_of(part).contains(&usize::from(slot_of(&tag))));
            format!("{tag}:{}", slot_of(&tag))
        });
        insta::assert_snapshot!(all.collect::<Vec<_>>().join(" "), @"10:247 113:513 21:1413 3:1584 61:2369 72:2579 50:3123 43:3937 11:4310 112:4640 20:5540 2:5649 60:6496 73:6706 51:7186 42:8000 12:8373 111:8771 23:9671 1:9842 63:10499 70:10833 52:11377 41:12067 13:12436 110:12898 22:13798 0:13907 62:14626 71:14960 53:15440 40:16130");
    }

    #[test]
    fn a_channel_is_where_it_has_always_been() {
        let part = |number| {
            let channel = ChannelName::parse(&format!("channel-{number}")).unwrap();
            part_of(&channel).to_string()
        };
        let found: Vec<_> = (0..16).map(part).collect();
        insta::assert_snapshot!(found.join(" "), @"2 25 30 29 29 12 11 12 19 2 9 23 10 20 21 27");
    }

    #[test]
    fn channels_are_spread_evenly() {
        let mut channels = [0; PARTS];
        for number in 0..32_000 {
            let channel = ChannelName::parse(&format!("channel-{number}")).unwrap();
            channels[part_of(&channel)] += 1;
        }
        assert!(
            channels.iter().all(|count| (850..1150).contains(count)),
            "{channels:?}"
        );
    }
}
