//! The `widecast` binary: arguments, then settings, then the broker or another subcommand.

use std::env;
use std::io;
use std::process::ExitCode;

use widecast::app;
use widecast::cli::{self, Arguments, CliCommand, CliError, ServeArguments, TokenCommand};

/// What is freed goes back to the system, also what a burst or an attack has made it take.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(&mut io::stdout(), &mut io::stderr()),
    }
}

fn run() -> Result<(), CliError> {
    let mut output = io::stdout();
    match Arguments::read(env::args_os())?.command() {
        CliCommand::Serve(arguments) => serve(&arguments),
        CliCommand::Config(command) => {
            cli::run_config_command(&command, env::vars_os(), &mut output)
        }
        CliCommand::Key(arguments) => cli::make_key(&arguments, &mut output),
        CliCommand::Token(arguments) => match &arguments.command {
            Some(TokenCommand::Inspect(arguments)) => {
                cli::inspect_token(arguments, env::vars_os(), &mut output)
            }
            None => cli::make_token(&arguments, &mut output),
        },
        CliCommand::Publish(arguments) => cli::publish(&arguments, &mut output),
        CliCommand::Nodes(arguments) => cli::list_nodes(&arguments, &mut output),
        CliCommand::Subscribe(arguments) => {
            cli::subscribe(arguments, &mut output, &mut io::stderr())
        }
    }
}

fn serve(arguments: &ServeArguments) -> Result<(), CliError> {
    let config = arguments.load(env::vars_os())?.config;
    let _last_lines = cli::start_logging(&config.log).map_err(CliError::Start)?;
    Ok(app::run(config, arguments.file())?)
}
