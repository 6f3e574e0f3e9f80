//! The `widecast` binary: arguments, then settings, then the broker or another subcommand.

use std::env;
use std::io;
use std::process::ExitCode;

use widecast::app;
use widecast::cli::{self, Arguments, CliError, Command, ServeArguments};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(&mut io::stdout(), &mut io::stderr()),
    }
}

fn run() -> Result<(), CliError> {
    let mut output = io::stdout();
    match Arguments::read(env::args_os())?.command() {
        Command::Serve(arguments) => serve(&arguments),
        Command::Config(command) => cli::run_config_command(&command, env::vars_os(), &mut output),
        Command::Publish(arguments) => cli::publish(&arguments, &mut output),
        Command::Subscribe(arguments) => cli::subscribe(arguments, &mut output, &mut io::stderr()),
    }
}

fn serve(arguments: &ServeArguments) -> Result<(), CliError> {
    let config = arguments.load(env::vars_os())?.config;
    let _last_lines = cli::start_logging(&config.log).map_err(CliError::Start)?;
    Ok(app::run(config, arguments.file())?)
}
