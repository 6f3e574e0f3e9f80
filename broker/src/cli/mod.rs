//! The command line: its arguments, and the subcommands besides `serve`.
//!
//! `main` parses [`Arguments`], runs a subcommand from here or hands the settings to `app`, and turns a [`CliError`] into
//! one line on standard error and an exit status. The subcommands are clients like any other: they use `config`, the
//! protocol and HTTP, nothing else of the broker.

mod arguments;
mod broker;
mod error;
mod log_writer;
mod logging;
mod publish;
mod settings;
mod subscribe;
mod tls;

pub use arguments::{
    Arguments, Command, ConfigCommand, Output, PublishArguments, ServeArguments,
    SubscribeArguments, Transport,
};
pub use error::CliError;
pub use log_writer::LogEnd;
pub use logging::start_logging;
pub use publish::publish;
pub use settings::run_config_command;
pub use subscribe::subscribe;
