//! The `widecast-bench` binary: arguments, then scenarios, then the table.

use std::io::{self, Write};

use anyhow::{Context, Result};
use clap::Parser;
use widecast_bench::args::{Arguments, Command, batching};
use widecast_bench::disturbance::Clocks;
use widecast_bench::floor::Floor;
use widecast_bench::limits::raise_open_files;
use widecast_bench::machine::Machine;
use widecast_bench::report::{json, table};

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let open_files = raise_open_files();
    if let Command::FloorServer { batched } = arguments.command {
        let floor = Floor::bind(batching(batched))?;
        writeln!(io::stderr(), "listening on http://{}", floor.address()?)?;
        return Ok(floor.run()?);
    }
    let machine = Machine::describe(open_files);
    let bench = arguments.bench(open_files)?;
    let mut rows = Vec::new();
    let before = Clocks::now()?;
    for scenario in arguments.scenarios() {
        writeln!(io::stderr(), "{}…", scenario.name)?;
        rows.extend((scenario.run)(&bench).with_context(|| scenario.name.to_owned())?);
    }
    let others = Clocks::now()?.others_share(&before);
    let machine = machine.shared_with(others);
    writeln!(io::stdout(), "{}\n\n{}", machine.line(), table(&rows))?;
    if let Some(path) = &arguments.json {
        let text = json(&machine, &bench.json(), &rows);
        std::fs::write(path, format!("{text:#}\n")).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
