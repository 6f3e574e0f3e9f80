//! Bodies of a few bytes that become large, posted by one address again and again.

use std::io::Write;

use anyhow::{Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use widecast_tests::socket::Bare;
use widecast_tests::{Broker, Settings};

use super::{Attack, Kind};
use crate::dice::Dice;

pub(super) const KIND: Kind = Kind {
    name: "inflation",
    about: "a kilobyte of gzip costs its client nothing and the broker a millisecond",
    settings: || {
        Settings::new()
            .key("server.trusted_proxies", r#"["127.0.0.1"]"#)
            .key("limits.work_bytes_per_address_and_second", "4194304")
    },
    most_mib: 64,
    run: |broker, dice| -> Attack<'_> { Box::pin(run(broker, dice)) },
};

/// The gzip of some bytes.
pub(super) fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    Ok(gzip.finish()?)
}

/// Posts a body of gzip as a proxy does for the attacker; gives the head of the answer.
pub(super) async fn post(broker: &Broker, target: &str, kind: &str, body: &[u8]) -> Result<String> {
    let mut connection = Bare::connect(broker).await?;
    let length = body.len();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.7\r\nContent-Type: {kind}\r\n\
         Content-Encoding: gzip\r\nContent-Length: {length}\r\n\r\n"
    );
    connection.send(head.as_bytes()).await?;
    connection.send(body).await?;
    Ok(String::from_utf8(connection.until(b"\r\n\r\n").await?)?)
}

async fn run(broker: &Broker, dice: &mut Dice) -> Result<Vec<Bare>> {
    let (mut inflated, mut refused) = (0, 0);
    for _ in 0..dice.many(60) {
        let any = dice.up_to(1 << 20);
        let size = dice.one_of(&[1 << 20, (1 << 20) + 1, 1 << 22, any]);
        let text = gzip(&vec![b'0'; size])?;
        let kind = dice.one_of(&[
            "text/plain",
            "application/octet-stream",
            "application/x-www-form-urlencoded",
        ]);
        let answer = post(broker, "/channels/inflated/messages", kind, &text).await?;
        let is_refused = answer.starts_with("HTTP/1.1 429");
        ensure!(
            !is_refused || answer.to_ascii_lowercase().contains("\r\nretry-after: "),
            "{answer}"
        );
        refused += usize::from(is_refused);
        inflated += if is_refused { 0 } else { size.min(1 << 20) };
    }
    ensure!(
        refused > 0,
        "{inflated} bytes were inflated for one address"
    );
    Ok(Vec::new())
}
