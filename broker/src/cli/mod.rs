//! The command line: its arguments, and the subcommands besides `serve`.
//!
//! `main` parses [`Arguments`], runs a subcommand from here or hands the settings to `app`, and turns a [`CliError`] into
//! one line on standard error and an exit status. The subcommands are clients like any other: they use `config`, the
//! protocol and HTTP, nothing else of the broker.

mod arguments;
mod broker_arguments;
mod credential_arguments;
mod error;
mod given_credential;
mod key;
mod log_writer;
mod logging;
mod nodes;
mod publish;
mod settings;
mod subscribe;
mod token;
mod token_file;

pub use arguments::{
    Arguments, CliCommand, ConfigCommand, NodesArguments, Output, PublishArguments, ServeArguments,
    SubscribeArguments, TransportArgument,
};
pub use credential_arguments::{
    ExplainArguments, InspectArguments, KeyArguments, TokenArguments, TokenCommand,
};
pub use error::CliError;
pub use key::make_key;
pub use log_writer::LogEnd;
pub use logging::start_logging;
pub use nodes::list_nodes;
pub use publish::publish;
pub use settings::run_config_command;
pub use subscribe::subscribe;
pub use token::{explain, inspect_token, make_token};
