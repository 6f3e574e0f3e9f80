//! What the protocol's work on one message costs: once for each message, or once for each wire form, never per subscriber.

use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use flate2::Compression;
use flate2::write::GzEncoder;
use widecast_protocol::codec::{Codec, decode_commands};
use widecast_protocol::encoded::EncodedMessage;
use widecast_protocol::framing::Wire;
use widecast_protocol::framing::websocket::{Decoder, DecoderLimits};
use widecast_protocol::{ChannelName, Epoch, Message, Offset, Origin, Payload};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    payloads(&mut criterion);
    compressed(&mut criterion);
    wire_forms(&mut criterion);
    commands(&mut criterion);
    frames(&mut criterion);
    criterion.final_summary();
}

/// A chat message, and a table of numbers such as a dashboard sends.
fn documents() -> [(&'static str, Bytes); 2] {
    let chat = r#"{"user":"Ada","text":"Grüße aus dem Kanal, wie geht es?","at":1700000000000,"tags":["a","b"]}"#;
    let rows: Vec<_> = (0..200)
        .map(|n| format!(r#"{{"id":{n},"value":{}.5,"name":"row {n}"}}"#, n * 3))
        .collect();
    let table = format!("[{}]", rows.join(","));
    [("chat", chat.into()), ("table", table.into())]
}

fn payloads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("payload");
    for (name, json) in documents() {
        let from_json = Payload::from_json(json.clone()).expect("the document is JSON");
        let packed = from_json.to_msgpack();
        let from_packed = Payload::from_msgpack(packed.clone()).expect("it was just written");
        group.throughput(Throughput::Bytes(json.len() as u64));
        group.bench_function(BenchmarkId::new("check JSON", name), |bencher| {
            bencher.iter(|| Payload::from_json(black_box(json.clone())));
        });
        group.bench_function(BenchmarkId::new("JSON to MessagePack", name), |bencher| {
            bencher.iter(|| black_box(&from_json).to_msgpack());
        });
        group.throughput(Throughput::Bytes(packed.len() as u64));
        group.bench_function(BenchmarkId::new("check MessagePack", name), |bencher| {
            bencher.iter(|| Payload::from_msgpack(black_box(packed.clone())));
        });
        group.bench_function(BenchmarkId::new("MessagePack to JSON", name), |bencher| {
            bencher.iter(|| black_box(&from_packed).to_json());
        });
    }
    group.finish();
}

/// A table of about 100 kB, as it comes and compressed: what the broker does with it when it is published, and once more if
/// somebody reads JSON.
fn compressed(criterion: &mut Criterion) {
    let rows: Vec<_> = (0..1500_u64)
        .map(|n| {
            let (id, price) = (n * 2_654_435_761 % 4_294_967_296, n * 7919 % 100_000);
            format!(r#"{{"id":{id},"name":"article number {n}","price":{price}.5,"active":true}}"#)
        })
        .collect();
    let json = Payload::from_json(format!("[{}]", rows.join(","))).expect("it is JSON");
    let packed = json.to_msgpack();
    let plain = Payload::from_msgpack(packed.clone()).expect("it was just written");
    let extension = extension(&gzip(&packed));
    let payload = Payload::from_msgpack(extension.clone()).expect("it was just written");
    let checked = payload.checked_gzip(packed.len()).expect("it is gzip");
    let mut group = criterion.benchmark_group(format!(
        "value of {} bytes, {} as gzip",
        packed.len(),
        checked.size_bytes()
    ));
    group.bench_function("check plain", |bencher| {
        bencher.iter(|| Payload::from_msgpack(black_box(packed.clone())));
    });
    group.bench_function("check compressed", |bencher| {
        bencher.iter(|| {
            let payload = Payload::from_msgpack(black_box(extension.clone()));
            payload.and_then(|payload| payload.checked_gzip(packed.len()))
        });
    });
    group.bench_function("plain to JSON", |bencher| {
        bencher.iter(|| black_box(&plain).to_json());
    });
    group.bench_function("compressed to JSON", |bencher| {
        bencher.iter(|| black_box(&checked).to_json());
    });
    group.finish();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let compressed = encoder.write_all(bytes).and_then(|()| encoder.finish());
    compressed.expect("writing to memory does not fail")
}

/// A compressed value, its lengths in 32 bits.
fn extension(gzip: &[u8]) -> Bytes {
    let length = u32::try_from(gzip.len()).expect("a gzip of some kilobytes");
    let mut out = vec![0xc9];
    out.extend((length + 5).to_be_bytes());
    out.extend([31, 0xc6]);
    out.extend(length.to_be_bytes());
    out.extend(gzip);
    out.into()
}

fn message(payload: Payload) -> Message {
    Message {
        channel: ChannelName::parse("chat:room").expect("the name is short"),
        payload,
        event: None,
        id: None,
        origin: Origin::verified("https://example.org"),
        offset: Offset(1000),
        epoch: Epoch(0x1234_5678_9abc_def0),
        timestamp_ms: 1_700_000_000_000,
        sender: None,
    }
}

/// Making one form of a message for the first time; after that it is shared.
fn wire_forms(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wire form, 128-byte text");
    let message = message(Payload::text("x".repeat(128)));
    for form in [
        Wire::RawWebSocket,
        Wire::JsonWebSocket,
        Wire::MessagePackWebSocket,
        Wire::RawSse,
        Wire::JsonSse,
        Wire::RawNdjson,
        Wire::JsonNdjson,
        Wire::MessagePackStream,
    ] {
        group.bench_function(format!("{form:?}"), |bencher| {
            bencher.iter_batched_ref(
                || EncodedMessage::new(message.clone()),
                |encoded| encoded.bytes(form),
                BatchSize::SmallInput,
            );
        });
    }
    let shared = EncodedMessage::new(message);
    group.bench_function("any, the second time", |bencher| {
        bencher.iter(|| black_box(&shared).bytes(Wire::JsonWebSocket));
    });
    group.finish();
}

/// What a session reads most: one message to publish.
fn commands(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode a command");
    let json = format!(
        r#"{{"type":"publish","channel":"chat:room","id":17,"data":"{}"}}"#,
        "x".repeat(128)
    );
    let fields = Payload::from_json(json.clone()).expect("the command is JSON");
    for (codec, frame) in [
        (Codec::Json, Bytes::from(json)),
        (Codec::MessagePack, fields.to_msgpack()),
    ] {
        group.bench_function(format!("{codec:?}"), |bencher| {
            bencher.iter(|| decode_commands(codec, black_box(&frame)));
        });
    }
    group.finish();
}

/// A client's text frame with a mask that has to be undone.
fn client_frame(length: u16) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![0x81, 0x80 | 0x7e];
    frame.extend(length.to_be_bytes());
    frame.extend(MASK);
    frame.extend(
        MASK.iter()
            .cycle()
            .take(length.into())
            .map(|mask| mask ^ b'x'),
    );
    frame
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("WebSocket decode and unmask");
    for length in [128, 4096, 65535] {
        let frame = client_frame(length);
        let mut decoder = Decoder::new(DecoderLimits {
            message_bytes: 1 << 20,
            fragments: 1,
        });
        group.throughput(Throughput::Bytes(length.into()));
        group.bench_function(format!("{length} bytes"), |bencher| {
            bencher.iter(|| {
                let mut input = black_box(&frame[..]);
                decoder.feed(&mut input)
            });
        });
    }
    group.finish();
}
