//! The rules of RFC 6455 one by one, then the properties that hold for any frames.

use bytes::Bytes;
use proptest::prelude::*;

use super::{
    Decoder, DecoderLimits, Event, FrameError, Opcode, binary, close, header, ping, pong, text,
};
use crate::codes::Code;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const LIMITS: DecoderLimits = DecoderLimits {
    message_bytes: 100_000,
    fragments: 8,
};

/// A client's frame: first byte, payload; masked, the length in its shortest form.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    header(Opcode::Binary, payload.len(), &mut frame);
    frame[0] = first;
    frame[1] |= 0x80;
    frame.extend(KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(b, k)| b ^ k));
    frame
}

/// What our own encoder makes, as a client would have sent it.
fn masked(server_frame: &Bytes) -> Vec<u8> {
    let payload_at = match server_frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    frame(server_frame[0], &server_frame[payload_at..])
}

/// All events of these pieces, and the error that ended them.
fn decode(pieces: &[&[u8]]) -> (Vec<Event>, Option<FrameError>) {
    let mut decoder = Decoder::new(LIMITS);
    let mut events = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        loop {
            match decoder.feed(&mut input) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
        assert!(input.is_empty(), "without an event all input is read");
    }
    (events, None)
}

fn events(bytes: &[u8]) -> Vec<Event> {
    let (events, error) = decode(&[bytes]);
    assert_eq!(error, None);
    events
}

fn error(bytes: &[u8]) -> FrameError {
    let (_, error) = decode(&[bytes]);
    error.expect("an error")
}

fn closed(code: Option<u16>, reason: &str) -> Event {
    let reason = reason.to_owned();
    Event::Close { code, reason }
}

#[test]
fn the_standards_example_is_read() {
    // Section 5.7: a single-frame masked text message.
    let hello = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    assert_eq!(events(&hello), [Event::Text("Hello".into())]);
}

#[test]
fn fragments_make_one_message_and_control_frames_may_stand_between_them() {
    // Sections 5.4 and 5.5.
    let bytes = [
        frame(0x01, b"Hel"),
        frame(0x89, b"there?"),
        frame(0x00, b""),
        frame(0x8a, b""),
        frame(0x80, b"lo"),
        frame(0x82, b"\xff"),
    ]
    .concat();
    let expected = [
        Event::Ping("there?".into()),
        Event::Pong("".into()),
        Event::Text("Hello".into()),
        Event::Binary(Bytes::from_static(b"\xff")),
    ];
    assert_eq!(events(&bytes), expected);
}

#[test]
fn a_continuation_needs_a_message() {
    // Section 5.4, also after a message that was complete.
    assert_eq!(error(&frame(0x80, b"x")), FrameError::NothingToContinue);
    let bytes = [frame(0x81, b"x"), frame(0x00, b"y")].concat();
    assert_eq!(error(&bytes), FrameError::NothingToContinue);
}

#[test]
fn messages_are_not_mixed() {
    // Section 5.4.
    let bytes = [frame(0x01, b"x"), frame(0x82, b"y")].concat();
    assert_eq!(error(&bytes), FrameError::MessageUnfinished);
}

#[test]
fn reserved_bits_and_opcodes_are_refused() {
    // Section 5.2.
    for bit in [0x10, 0x20, 0x40] {
        assert_eq!(error(&frame(0x81 | bit, b"x")), FrameError::ReservedBits);
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        let expected = FrameError::ReservedOpcode(opcode);
        assert_eq!(error(&frame(0x80 | opcode, b"x")), expected);
    }
}

#[test]
fn a_client_has_to_mask() {
    // Section 5.1; told after two bytes.
    assert_eq!(error(&text(b"x")[..2]), FrameError::NotMasked);
}

#[test]
fn control_frames_are_short_and_whole() {
    // Section 5.5.
    for opcode in [0x8, 0x9, 0xA] {
        assert_eq!(error(&frame(opcode, b"")), FrameError::FragmentedControl);
        let long = frame(0x80 | opcode, &[b'x'; 126]);
        assert_eq!(error(&long[..2]), FrameError::LongControl);
    }
    let longest = Bytes::from(vec![b'x'; 125]);
    assert_eq!(events(&frame(0x89, &longest)), [Event::Ping(longest)]);
}

#[test]
fn the_length_takes_as_few_bytes_as_it_can() {
    // Section 5.2.
    let short = |length: u16| [&[0x82, 0xfe][..], &length.to_be_bytes(), &KEY].concat();
    let long = |length: u64| [&[0x82, 0xff][..], &length.to_be_bytes(), &KEY].concat();
    assert_eq!(error(&short(0)), FrameError::BadLength(0));
    assert_eq!(error(&short(125)), FrameError::BadLength(125));
    assert_eq!(events(&short(126)), []);
    assert_eq!(error(&long(65_535)), FrameError::BadLength(65_535));
    assert_eq!(events(&long(65_536)), []);
    // The topmost bit is zero.
    let negative = 1 << 63;
    assert_eq!(error(&long(negative)), FrameError::BadLength(negative));
}

#[test]
fn a_message_that_is_too_large_is_refused_at_its_header() {
    // Section 10.4: limits are the implementation's.
    let announced = |length: u64| [&[0x82, 0xff][..], &length.to_be_bytes(), &KEY].concat();
    assert_eq!(events(&announced(100_000)), []);
    let too_large = |actual| FrameError::MessageTooLarge {
        limit: 100_000,
        actual,
    };
    assert_eq!(error(&announced(100_001)), too_large(100_001));
    let most = i64::MAX.cast_unsigned();
    assert_eq!(error(&announced(most)), too_large(most));
    // The sum counts, from the header of the fragment that is too much.
    let first = frame(0x01, &"x".repeat(99_999).into_bytes());
    let bytes = [&first, &frame(0x80, b"ab")[..6]].concat();
    assert_eq!(error(&bytes), too_large(100_001));
    assert_eq!(events(&[first, frame(0x80, b"a")].concat()).len(), 1);
    assert_eq!(too_large(1).code().close_code(), 1009);
}

#[test]
fn a_message_has_a_bounded_number_of_fragments() {
    let mut bytes = [frame(0x01, b""), frame(0x00, b"").repeat(6)].concat();
    assert_eq!(
        events(&[&bytes[..], &frame(0x80, b"x")].concat()),
        [Event::Text("x".into())]
    );
    bytes.extend(frame(0x00, b"").repeat(2));
    let expected = FrameError::TooManyFragments { limit: 8 };
    assert_eq!(error(&bytes), expected);
    assert_eq!(expected.code().close_code(), 1009);
}

#[test]
fn text_that_is_not_utf8_is_refused_at_its_first_bad_byte() {
    // Section 8.1: surrogates, overlong forms, beyond U+10FFFF, stray bytes.
    let bad: [&[u8]; 6] = [
        b"\xed\xa0",
        b"\xc0",
        b"\xe0\x80",
        b"\xf4\x90",
        b"\xff",
        b"\x80",
    ];
    for bad in bad {
        let mut message = frame(0x01, &[b"\xce\xba", bad, b"the rest"].concat());
        // The rest of the frame has not come.
        message.truncate(message.len() - b"the rest".len());
        assert_eq!(error(&message), FrameError::BadUtf8, "{bad:x?}");
        message.pop();
        if bad.len() > 1 {
            assert_eq!(events(&message), [], "{bad:x?} can become good");
        }
    }
    assert_eq!(FrameError::BadUtf8.code().close_code(), 1007);
}

#[test]
fn a_character_may_be_split_between_frames_but_not_be_cut_off() {
    // Section 5.6.
    let bytes = [frame(0x01, b"\xf0\x9f"), frame(0x80, b"\x98\x80")].concat();
    assert_eq!(events(&bytes), [Event::Text("😀".into())]);
    let bytes = [frame(0x01, b"\xf0\x9f"), frame(0x80, b"\x98")].concat();
    assert_eq!(error(&bytes), FrameError::BadUtf8);
    let bytes = [frame(0x01, b"\xf0\x9f"), frame(0x00, b"x")].concat();
    assert_eq!(error(&bytes), FrameError::BadUtf8);
}

#[test]
fn a_close_frame_may_say_why() {
    // Section 5.5.1.
    assert_eq!(events(&frame(0x88, b"")), [closed(None, "")]);
    let bytes = frame(0x88, b"\x03\xe8");
    assert_eq!(events(&bytes), [closed(Some(1000), "")]);
    let bytes = frame(0x88, b"\x0f\xa0g\xc3\xbcle");
    assert_eq!(events(&bytes), [closed(Some(4000), "güle")]);
    assert_eq!(error(&frame(0x88, b"\x03")), FrameError::ShortClose);
    assert_eq!(error(&frame(0x88, b"\x03\xe8\xc3")), FrameError::BadUtf8);
}

#[test]
fn only_close_codes_that_may_be_sent_are_taken() {
    // Section 7.4.
    for code in 0..=u16::MAX {
        let bytes = frame(0x88, &code.to_be_bytes());
        let good = match code {
            1004..=1006 => false,
            1000..=1014 | 3000..=4999 => true,
            _ => false,
        };
        if good {
            assert_eq!(events(&bytes), [closed(Some(code), "")]);
        } else {
            assert_eq!(error(&bytes), FrameError::BadCloseCode(code));
        }
    }
    assert_eq!(FrameError::BadCloseCode(1005).code().close_code(), 1002);
}

#[test]
fn nothing_is_read_after_the_end() {
    // Sections 1.4 and 7.1.7.
    let bytes = [frame(0x88, b""), frame(0x81, b"late"), text(b"x").into()].concat();
    assert_eq!(events(&bytes), [closed(None, "")]);
    let mut decoder = Decoder::new(LIMITS);
    let bytes = [frame(0x80, b"x"), frame(0x81, b"late")].concat();
    let mut input = &bytes[..];
    assert_eq!(decoder.feed(&mut input), Err(FrameError::NothingToContinue));
    assert_eq!(decoder.feed(&mut input), Ok(None));
    assert!(input.is_empty());
}

#[test]
fn a_decoder_costs_nothing_between_messages() {
    assert!(size_of::<Decoder>() <= 32, "{}", size_of::<Decoder>());
    let mut decoder = Decoder::new(LIMITS);
    let bytes = [frame(0x01, b"a"), frame(0x80, b"b")].concat();
    let (mut head, mut tail) = bytes.split_at(9);
    assert_eq!(decoder.feed(&mut head), Ok(None));
    assert!(!decoder.is_idle());
    assert!(decoder.feed(&mut tail).is_ok_and(|event| event.is_some()));
    assert!(decoder.is_idle());
}

#[test]
fn every_error_means_something_to_the_client() {
    assert_eq!(Code::from(FrameError::NotMasked), Code::WebSocketProtocol);
    assert_eq!(Code::from(FrameError::NotMasked).close_code(), 1002);
}

/// Frames of which many are legal, in an order that sometimes is.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        8 => prop::sample::select(vec![0x01, 0x02, 0x00, 0x80, 0x81, 0x82, 0x89, 0x8a]),
        1 => Just(0x88),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        4 => "\\PC{0,40}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => Just(vec![b'x'; 300]),
        1 => Just(vec![3, 232]),
    ];
    (first, payload).prop_map(|(first, payload)| frame(first, &payload))
}

proptest! {
    #[test]
    fn splitting_anywhere_changes_nothing(frames in prop::collection::vec(any_frame(), 1..6)) {
        let bytes = frames.concat();
        let whole = decode(&[&bytes]);
        let single: Vec<_> = bytes.chunks(1).collect();
        prop_assert_eq!(&decode(&single), &whole);
        for at in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(at);
            prop_assert_eq!(&decode(&[head, tail]), &whole, "split at {}", at);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let whole = decode(&[&bytes]);
        let single: Vec<_> = bytes.chunks(1).collect();
        prop_assert_eq!(decode(&single), whole);
    }

    #[test]
    fn frames_that_the_encoders_make_are_read_back(
        words in ".*",
        bytes in prop::collection::vec(any::<u8>(), 0..70_000),
        code in prop_oneof![1000_u16..=1003, 1007_u16..=1014, 3000_u16..=4999],
    ) {
        let small = Bytes::from(bytes[..bytes.len().min(125)].to_vec());
        let sent = [
            masked(&text(words.as_bytes())),
            masked(&binary(&bytes)),
            masked(&ping(&small)),
            masked(&pong(&small)),
            masked(&close(code, "why")),
        ];
        let expected = [
            Event::Text(words.into()),
            Event::Binary(bytes.into()),
            Event::Ping(small.clone()),
            Event::Pong(small),
            closed(Some(code), "why"),
        ];
        prop_assert_eq!(events(&sent.concat()), expected);
    }
}
