//! The arguments: what clap turns into parser and help. Flags that are settings go to [`crate::config`], which checks
//! them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand, ValueEnum};
use widecast_protocol::{ChannelName, Cursor, EventName, IdempotencyKey};

use super::broker_arguments::BrokerArguments;
use super::credential_arguments::{ExplainArguments, KeyArguments, TokenArguments};
use super::error::CliError;
use crate::config::{ConfigErrors, Layers, Loaded};

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "widecast.toml";

/// Carries messages from any publisher to every subscriber of a named channel.
#[derive(Debug, Parser)]
#[command(name = "widecast", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "Without a subcommand the broker is served.")]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    command: Option<CliCommand>,
    #[command(flatten)]
    serve: ServeArguments,
}

/// A subcommand.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Serve the broker (what happens without a subcommand, too).
    Serve(ServeArguments),
    /// Check or show the settings, without serving.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make an API key for a backend, and print it with the settings by which the broker knows it.
    Key(KeyArguments),
    /// Make a token for trying things out, or inspect one.
    Token(TokenArguments),
    /// Publish one message and print the broker's answer.
    Publish(PublishArguments),
    /// Print the messages of channels as they come, through cuts of the connection, until Ctrl-C.
    Subscribe(SubscribeArguments),
    /// List the brokers that share an engine; for operators only.
    Nodes(NodesArguments),
}

/// What to do with the settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether the settings can be used; the exit status is 2 if not.
    Check(ServeArguments),
    /// Print every setting with its value, default, origin and meaning, as a file that could be used.
    Show(ServeArguments),
    /// Say what may be done on a channel, and which rule allows or refuses it.
    Explain(ExplainArguments),
}

/// The flags of the broker.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArguments {
    /// The settings file [default: ./widecast.toml if there is one]
    #[arg(long, value_name = "FILE", env = "WIDECAST_CONFIG")]
    config: Option<PathBuf>,
    /// The address to listen on; may be given several times [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// How many worker threads serve connections [default: one per core]
    #[arg(long, value_name = "COUNT")]
    workers: Option<String>,
    /// Listen on a public address without authentication: anybody may read and write every channel
    #[arg(long)]
    allow_public_without_authentication: bool,
    /// What is logged: a level, or a list such as `info,widecast::session=debug` [default: info]
    #[arg(long, value_name = "FILTER")]
    log_filter: Option<String>,
    /// The form of the log: text or json [default: text]
    #[arg(long, value_name = "FORM")]
    log_format: Option<String>,
    /// Any other setting, such as `limits.message_bytes=65536`; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// What to publish, and where.
#[derive(Debug, Args)]
pub struct PublishArguments {
    /// The channel
    #[arg(value_parser = ChannelName::parse)]
    pub channel: ChannelName,
    /// The data; - or nothing: read it from standard input
    pub data: Option<OsString>,
    /// The name of the event
    #[arg(long, value_parser = EventName::parse)]
    pub event: Option<EventName>,
    /// Makes it harmless to publish the same message again within five minutes
    #[arg(long, value_name = "KEY", value_parser = IdempotencyKey::parse)]
    pub idempotency_key: Option<IdempotencyKey>,
    #[command(flatten)]
    pub(super) form: FormArguments,
    #[command(flatten)]
    pub(super) broker: BrokerArguments,
}

/// What the data is.
#[derive(Debug, Clone, Default, Args)]
#[group(multiple = false)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line, and clap lets only one of them through"
)]
pub(super) struct FormArguments {
    /// The data is JSON
    #[arg(long)]
    json: bool,
    /// The data is a string
    #[arg(long)]
    text: bool,
    /// The data is a sequence of bytes
    #[arg(long)]
    binary: bool,
    /// The data is MessagePack
    #[arg(long)]
    msgpack: bool,
}

/// The form of the data to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DataForm {
    /// JSON.
    Json,
    /// A string.
    Text,
    /// A sequence of bytes.
    Binary,
    /// MessagePack.
    MessagePack,
}

impl FormArguments {
    /// The form that was asked for, if any was.
    pub(super) fn form(&self) -> Option<DataForm> {
        let forms = [
            (self.json, DataForm::Json),
            (self.text, DataForm::Text),
            (self.binary, DataForm::Binary),
            (self.msgpack, DataForm::MessagePack),
        ];
        let asked = forms.into_iter().find(|(asked, _)| *asked);
        asked.map(|(_, form)| form)
    }
}

/// What to listen to, and how.
#[derive(Debug, Args)]
pub struct SubscribeArguments {
    /// The channels
    #[arg(required = true, value_name = "CHANNEL", value_parser = ChannelName::parse)]
    pub channels: Vec<ChannelName>,
    /// The transport
    #[arg(long, value_enum, default_value_t = TransportArgument::Ws)]
    pub transport: TransportArgument,
    /// Begin after this place, as a message or a gap notice named it
    #[arg(long, value_parser = Cursor::parse)]
    pub cursor: Option<Cursor>,
    /// Print so many past messages of each channel first; the broker gives at most
    /// `limits.messages_per_history` of them
    #[arg(long, value_name = "NUMBER", conflicts_with = "cursor")]
    pub history: Option<u32>,
    /// What to print of each message
    #[arg(long, value_enum, default_value_t = Output::Data)]
    pub output: Output,
    /// End after so many messages
    #[arg(long, value_name = "NUMBER")]
    pub count: Option<u64>,
    #[command(flatten)]
    pub(super) broker: BrokerArguments,
}

/// Which broker to ask for its nodes, and how to show them.
#[derive(Debug, Args)]
pub struct NodesArguments {
    /// Print a JSON object a line, with all that is known of each
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) broker: BrokerArguments,
}

/// How `subscribe` listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TransportArgument {
    /// A WebSocket
    #[value(alias = "websocket")]
    Ws,
    /// An event stream
    Sse,
    /// An HTTP stream of JSON lines
    Stream,
    /// A sequence of polls
    Poll,
}

impl From<TransportArgument> for widecast_client::Transport {
    fn from(transport: TransportArgument) -> Self {
        match transport {
            TransportArgument::Ws => Self::WebSocket,
            TransportArgument::Sse => Self::Sse,
            TransportArgument::Stream => Self::HttpStream,
            TransportArgument::Poll => Self::LongPoll,
        }
    }
}

/// What `subscribe` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// The data: a string as itself, anything else as JSON; of several channels behind the channel's name and a tab
    Data,
    /// One JSON object a line, with all that the transport tells of the message
    Json,
}

impl Arguments {
    /// Reads the arguments. Help and version come as an error of status 0.
    ///
    /// # Errors
    /// When they are not as they should be.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, CliError> {
        let arguments: Vec<_> = arguments.into_iter().collect();
        let read = Self::try_parse_from(&arguments);
        read.map_err(|error| named_by_variable(error, &arguments).into())
    }

    /// What to do: `serve` when nothing is said.
    pub fn command(self) -> CliCommand {
        self.command.unwrap_or(CliCommand::Serve(self.serve))
    }
}

/// clap names the flag also where the environment gave the value: here it names the variable.
fn named_by_variable(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    const VARIABLES: [(&str, &str); 2] =
        [("--config", "WIDECAST_CONFIG"), ("--url", "WIDECAST_URL")];
    let Some(ContextValue::String(named)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let flag = named.split(' ').next().unwrap_or_default();
    let is_flag = |given: &OsString| {
        let given = given.to_string_lossy();
        given.split('=').next() == Some(flag)
    };
    let known = VARIABLES.iter().find(|(known, _)| *known == flag);
    let Some((_, variable)) = known.filter(|_| !arguments.iter().any(is_flag)) else {
        return error;
    };
    if std::env::var_os(variable).is_some_and(|value| value.is_empty()) {
        return clap::Error::raw(ErrorKind::InvalidValue, empty_variable(variable));
    }
    let variable = ContextValue::String((*variable).to_owned());
    error.insert(ContextKind::InvalidArg, variable);
    error
}

/// What is said of a variable that is set and has no value.
pub(super) fn empty_variable(name: &str) -> String {
    format!("the environment variable {name} is empty: give it a value, or unset it")
}

impl ServeArguments {
    /// Puts file, environment and flags together.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn load(
        &self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Loaded, ConfigErrors> {
        let mut layers = Layers::new();
        if let Some(path) = self.file() {
            layers = layers.file(path);
        }
        layers = layers.variables(variables);
        for assignment in &self.set {
            layers = layers.set(assignment);
        }
        for (flag, key, value) in self.flags() {
            layers = layers.flag(flag, key, &value);
        }
        layers.load()
    }

    /// The file to read: the one that was named, or the default one if it is there.
    pub fn file(&self) -> Option<&Path> {
        // A link that leads nowhere is there, too, and an error.
        let default =
            || Some(Path::new(DEFAULT_FILE)).filter(|path| path.symlink_metadata().is_ok());
        self.config.as_deref().or_else(default)
    }

    /// The settings that have a flag of their own, as they were given: flag, key, value.
    fn flags(&self) -> impl Iterator<Item = (&'static str, &'static str, String)> + '_ {
        let listen = (!self.listen.is_empty()).then(|| self.listen.join(","));
        let allow = self.allow_public_without_authentication;
        let given = [
            ("--listen", "server.listen", listen),
            ("--workers", "server.workers", self.workers.clone()),
            (
                "--allow-public-without-authentication",
                "server.allow_public_without_authentication",
                allow.then(|| true.to_string()),
            ),
            ("--log-filter", "log.filter", self.log_filter.clone()),
            ("--log-format", "log.format", self.log_format.clone()),
        ];
        let given = given.into_iter();
        given.filter_map(|(flag, key, value)| Some((flag, key, value?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn read(arguments: &str) -> Result<CliCommand, CliError> {
        let arguments = arguments.split(' ').map(OsString::from);
        Arguments::read(arguments).map(Arguments::command)
    }

    #[test]
    fn the_definition_is_sound() {
        <Arguments as CommandFactory>::command().debug_assert();
    }

    #[test]
    fn without_a_subcommand_the_broker_is_served() {
        let Ok(CliCommand::Serve(arguments)) = read("widecast --listen 127.0.0.1:1 --workers 2")
        else {
            panic!("expected serve");
        };
        let loaded = arguments.load([]).unwrap();
        assert_eq!(loaded.config.server.listen[0].port(), 1);
        assert_eq!(loaded.config.server.workers.count(), 2);
        let entry = loaded.entries().into_iter().next().unwrap();
        assert_eq!(entry.source.to_string(), "--listen");
    }

    #[test]
    fn a_flag_of_its_own_wins_over_set() {
        let Ok(CliCommand::Serve(arguments)) =
            read("widecast serve --listen 127.0.0.1:1 --set server.listen=127.0.0.1:2")
        else {
            panic!("expected serve");
        };
        assert_eq!(
            arguments.load([]).unwrap().config.server.listen[0].port(),
            1
        );
    }

    #[test]
    fn a_websocket_may_be_named_as_everywhere_else() {
        let Ok(CliCommand::Subscribe(arguments)) =
            read("widecast subscribe a --transport websocket")
        else {
            panic!("expected subscribe");
        };
        assert_eq!(arguments.transport, TransportArgument::Ws);
    }

    #[test]
    fn a_bad_flag_is_one_line_that_says_what_to_do() {
        let message = |arguments: &str| read(arguments).unwrap_err().to_string();
        insta::assert_snapshot!(message("widecast --lisen 1"), @"unexpected argument '--lisen' found; a similar argument exists: '--listen'; see widecast --help");
        insta::assert_snapshot!(message("widecast sreve"), @"unrecognized subcommand 'sreve'; a similar subcommand exists: 'serve'; see widecast --help");
        insta::assert_snapshot!(message("widecast subscribe"), @"the following required arguments were not provided: <CHANNEL>...; see widecast --help");
        insta::assert_snapshot!(message("widecast subscribe a --transport smoke"), @"invalid value 'smoke' for '--transport <TRANSPORT>'; [possible values: ws, sse, stream, poll]; see widecast --help");
        insta::assert_snapshot!(message("widecast subscribe a --cursor x"), @"invalid value 'x' for '--cursor <CURSOR>': expected a cursor as the broker gave it: <epoch>-<offset>, or <channel>=<epoch>-<offset>,…; see widecast --help");
        insta::assert_snapshot!(message("widecast publish a b --json --text"), @"the argument '--json' cannot be used with '--text'; see widecast --help");
        insta::assert_snapshot!(message("widecast publish a b --url localhost:80"), @"invalid value 'localhost:80' for '--url <URL>': expected an address such as http://127.0.0.1:8080 or https://push.example.com; see widecast --help");
        insta::assert_snapshot!(message("widecast --workers"), @"a value is required for '--workers <COUNT>' but none was supplied; see widecast --help");
    }
}
