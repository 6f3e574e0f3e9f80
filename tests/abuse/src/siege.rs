//! One abuse of one broker, from the start of the broker to the verdict.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::sync::watch;
use widecast_tests::socket::Bare;
use widecast_tests::{Broker, eventually};

use crate::bystander::{Bystander, Served};
use crate::dice::Dice;
use crate::kinds::Kind;

/// How long what the abuse has left open is kept, so that the bystander meets a broker that holds it.
const HOLD: Duration = Duration::from_secs(1);

/// How soon a broker is free of an attacker that has gone.
const FREE: &str = "the broker to be free of the attacker's connections";

/// What an abuse did to the broker.
#[derive(Debug)]
pub struct Outcome {
    kind: &'static str,
    seed: u64,
    grown_mib: u64,
    bound_mib: u64,
    served: Served,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            seed,
            grown_mib,
            bound_mib,
            served,
        } = self;
        write!(
            f,
            "{kind:<20} seed {seed:<10} +{grown_mib} of {bound_mib} MiB, bystander {} messages, slowest {} ms",
            served.messages,
            served.slowest.as_millis()
        )
    }
}

/// Lets a kind of abuse have a broker of its own.
///
/// # Errors
/// When the broker does not keep its bounds, the bystander loses something, or the abuse itself fails.
pub async fn besiege(kind: &Kind, seed: u64, scale: usize) -> Result<Outcome> {
    let mut broker = Broker::with((kind.settings)()).await?;
    let mut dice = Dice::new(seed, scale);
    let bystander = Bystander::join(&broker).await?;
    let before = broker.resident_bytes()?;
    broker.forget_most_resident()?;
    let (stop, stopped) = watch::channel(false);
    let attack = async {
        let held: Vec<Bare> = (kind.run)(&broker, &mut dice).await?;
        tokio::time::sleep(HOLD).await;
        stop.send_replace(true);
        Ok(held)
    };
    let (held, served) = tokio::try_join!(attack, bystander.live(&broker, stopped))
        .with_context(|| format!("{} with seed {seed}", kind.name))?;
    let grown = broker.most_resident_bytes()?.saturating_sub(before);
    let bound_mib = kind.most_mib * scale as u64;
    let outcome = Outcome {
        kind: kind.name,
        seed,
        grown_mib: grown >> 20,
        bound_mib,
        served,
    };
    ensure!(
        grown >> 20 <= bound_mib,
        "the broker took too much memory: {outcome}"
    );
    held.into_iter().for_each(Bare::reset);
    eventually(FREE, async || {
        let open = broker.metrics().await?.value("widecast_connections");
        // Those of the harness, which are kept for a next request.
        Ok(open <= 8.0)
    })
    .await
    .with_context(|| format!("{} with seed {seed}", kind.name))?;
    broker.check_alive().await?;
    Ok(outcome)
}
