//! What authentication and limits cost: the broker with both beside the broker with its defaults, which stands in the floor's place.

use anyhow::Result;

use super::bench::{Bench, Compared, Contender, Cost, Spread, cost_of_deliveries, swarm};
use crate::form::Form;
use crate::report::{Row, Target};
use crate::server::{BrokerCommand, Credential, Server};

/// How much more a delivery may cost.
const DELIVERY: Target = Target::TimesFloor(1.02);

/// How much more a publication may cost, in microseconds.
const PUBLICATION: Target = Target::MoreThanFloor(1.0);

pub(super) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let Contender::Broker(command) = &bench.contender else {
        return Ok(Vec::new());
    };
    let subscribers = bench.effort.subscribers;
    let mut rows = Vec::new();
    for form in [Form::RawWebSocket, Form::JsonWebSocket] {
        let scenario = format!("token: fan-out 1 × {subscribers}, 8 in flight");
        let row = Row::new(scenario, form.label(), "µs CPU/delivery").with_target(DELIVERY);
        let spread = Spread::one_channel(subscribers);
        let compared = compare(bench, command, Credential::Token, &|server| {
            cost_of_deliveries(server, &mut swarm(server, form, spread)?, &bench.plan(8))
        })?;
        rows.push(compared.cost_row(row));
    }
    let mut plan = bench.plan(32);
    plan.messages = plan.messages.saturating_mul(subscribers as u64);
    for (name, credential) in [
        ("token", Credential::Token),
        ("API key", Credential::ApiKey),
    ] {
        let scenario = format!("{name}: HTTP publish, 1 subscriber, 32 in flight");
        let form = Form::RawWebSocket;
        let row = Row::new(scenario, form.label(), "µs CPU/publish+delivery");
        let compared = compare(bench, command, credential, &|server| {
            let mut swarm = swarm(server, form, Spread::one_channel(1))?;
            cost_of_deliveries(server, &mut swarm, &plan)
        })?;
        rows.push(compared.cost_row(row.with_target(PUBLICATION)));
    }
    Ok(rows)
}

/// Measures both servers in turn, in new processes each round: the same program takes up to two microseconds more or less for a
/// publication, depending on where its memory happens to be.
fn compare(
    bench: &Bench,
    command: &BrokerCommand,
    credential: Credential,
    measure: &dyn Fn(&Server) -> Result<Cost>,
) -> Result<Compared<Cost>> {
    bench.compare_anew(
        || measure(&Server::guarded(command, credential)?),
        || measure(&Server::broker(command)?),
    )
}
