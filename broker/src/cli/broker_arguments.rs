//! The arguments that say which broker is asked, and what proves who asks: those of all subcommands that are clients.

use std::path::{Path, PathBuf};

use clap::Args;
use widecast_client::{BrokerUrl, Client, Error};
use widecast_protocol::Code;

use super::error::CliError;
use super::given_credential::GivenCredential;
use super::token_file::read_token;

/// Which broker.
#[derive(Debug, Clone, Args)]
pub(super) struct BrokerArguments {
    /// The broker's address
    #[arg(long, value_name = "URL", env = "WIDECAST_URL", hide_env_values = true, default_value = BrokerUrl::DEFAULT, value_parser = url)]
    url: BrokerUrl,
    /// For an https:// address: trust the authorities in this PEM file, and not those of the system
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    #[command(flatten)]
    credential: GivenCredential,
}

impl BrokerArguments {
    /// What proves who is calling: as it was given, or as the file has it now.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(super) fn credential(&self) -> Result<Option<String>, CliError> {
        match &self.credential {
            GivenCredential::None => Ok(None),
            GivenCredential::Token(token) => Ok(Some(token.clone())),
            GivenCredential::File(file) => read_token(file).map(Some),
        }
    }

    /// The file that is read again when the broker no longer takes what it has held.
    pub(super) fn token_file(&self) -> Option<&Path> {
        match &self.credential {
            GivenCredential::File(file) => Some(file),
            _ => None,
        }
    }

    /// A client of the broker that proves who it is with this.
    pub(super) fn client(&self, credential: Option<&str>) -> Result<Client, Error> {
        let mut client = Client::builder(&self.url.to_string());
        if let Some(file) = &self.ca {
            client = client.authorities(file);
        }
        if let Some(token) = credential {
            client = client.token(token);
        }
        client.build()
    }

    /// Asks the broker for something; once more if it does not take the token, and the file holds another by then.
    ///
    /// # Errors
    /// When the token cannot be read, or the broker cannot be reached or refuses.
    pub(super) async fn ask<T>(
        &self,
        something: impl AsyncFn(&Client) -> Result<T, Error>,
    ) -> Result<T, CliError> {
        let credential = self.credential()?;
        let answer = something(&self.client(credential.as_deref())?).await;
        let error = match answer {
            Err(error) if self.is_renewable(&error) => error,
            other => return Ok(other?),
        };
        let newer = self.credential()?;
        if newer == credential {
            return Err(self.refused(error));
        }
        let answer = something(&self.client(newer.as_deref())?).await;
        answer.map_err(|error| self.refused(error))
    }

    /// Whether the broker does not take the token, and another may come to be in the file that it is from.
    pub(super) fn is_renewable(&self, error: &Error) -> bool {
        self.token_file().is_some() && error.code() == Some(Code::Unauthorized.as_str())
    }

    /// What the command says of an error: where the token is from, if that is what is refused.
    pub(super) fn refused(&self, error: Error) -> CliError {
        match (self.token_file(), &error) {
            (Some(file), Error::Refused(refusal)) if self.is_renewable(&error) => {
                CliError::TokenRefused {
                    file: file.to_owned(),
                    reason: refusal.to_string(),
                }
            }
            _ => error.into(),
        }
    }
}

/// An address; clap says already which text is none, without a password that may be in it.
fn url(text: &str) -> Result<BrokerUrl, String> {
    text.parse().map_err(|_| {
        if text.contains('@') {
            return "expected an address without a user or password: prove who is calling with --token or --token-file".to_owned();
        }
        let default = BrokerUrl::DEFAULT;
        format!("expected an address such as {default} or https://push.example.com")
    })
}
