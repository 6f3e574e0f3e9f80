//! The tool itself, small: that every message is counted once, not how fast that went.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use widecast_bench::floor::{Batching, Floor};
use widecast_bench::form::Form;
use widecast_bench::load::{
    Outcome, Plan, PollPlan, Polling, Publishers, Swarm, SwarmPlan, drive, poll,
};

const PLAN: Plan = Plan {
    window: 1,
    messages: 20,
    time: Duration::from_mins(1),
    interval: Duration::ZERO,
    payload_bytes: 128,
};

/// A floor in a thread, which ends with the test process.
fn floor(batching: Batching) -> Result<SocketAddr> {
    let floor = Floor::bind(batching)?;
    let address = floor.address()?;
    std::thread::spawn(move || floor.run());
    Ok(address)
}

fn run(batching: Batching, form: Form, channels: usize, plan: &Plan) -> Result<Outcome> {
    let target = floor(batching)?;
    let mut swarm = Swarm::open(SwarmPlan {
        target,
        publish_to: target,
        form,
        subscribers: 10,
        channels,
        channels_each: 1,
        headers: String::new(),
    })?;
    let mut publishers = Publishers::connect(&swarm, plan)?;
    drive(&mut swarm, &mut publishers, plan)
}

#[test]
fn every_subscriber_of_every_form_hears_every_message() {
    for form in Form::ALL {
        let outcome = run(Batching::None, form, 1, &PLAN).unwrap();
        assert_eq!(
            (outcome.messages, outcome.deliveries),
            (20, 200),
            "{form:?}"
        );
    }
}

#[test]
fn batching_loses_nothing() {
    for form in Form::ALL {
        let plan = Plan { window: 8, ..PLAN };
        let outcome = run(Batching::UpTo(3), form, 1, &plan).unwrap();
        assert_eq!(outcome.deliveries, 200, "{form:?}");
    }
}

#[test]
fn a_message_stays_in_its_channel() {
    let outcome = run(Batching::None, Form::RawWebSocket, 10, &PLAN).unwrap();
    assert_eq!((outcome.messages, outcome.deliveries), (20, 20));
    let outcome = run(Batching::None, Form::JsonWebSocket, 5, &PLAN).unwrap();
    assert_eq!((outcome.messages, outcome.deliveries), (20, 40));
}

#[test]
fn each_delivery_of_a_paced_run_has_a_latency() {
    let plan = Plan {
        interval: Duration::from_millis(1),
        ..PLAN
    };
    let outcome = run(Batching::None, Form::Sse, 1, &plan).unwrap();
    assert_eq!(outcome.latencies.len(), 200);
}

#[test]
fn polls_are_answered_short_and_long() {
    let target = floor(Batching::None).unwrap();
    for polling in [Polling::Short, Polling::Long, Polling::Long] {
        let plan = PollPlan {
            target,
            pollers: 5,
            polling,
            answers: 50,
            time: Duration::from_mins(1),
        };
        let outcome = poll(&plan).unwrap();
        assert!(
            (50..60).contains(&outcome.answers),
            "{polling:?}: {outcome:?}"
        );
    }
}

#[test]
fn a_tiny_calibration_runs_from_the_command_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("figures.json");
    let output = Command::new(env!("CARGO_BIN_EXE_widecast-bench"))
        .args([
            "calibrate",
            "--rounds",
            "1",
            "--seconds",
            "60",
            "--messages",
            "20",
        ])
        .args(["--subscribers", "10", "--connections", "10", "--json"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = std::fs::read_to_string(file).unwrap();
    let figures: serde_json::Value = serde_json::from_str(&text).unwrap();
    let rows = figures["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 14);
    assert!(rows.iter().all(|row| row["floor"].is_number()), "{text}");
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        table.matches("fan-out 1 × 10, 8 in flight").count(),
        4,
        "{table}"
    );
}

#[test]
fn without_the_broker_the_error_says_how_to_build_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_widecast-bench"))
        .args(["publish", "--quick", "--broker", "/nowhere/widecast"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("cargo build --release"), "{error}");
}
