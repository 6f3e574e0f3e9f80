//! Who asks for something, and whether they may: the one place where that is decided.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use widecast_protocol::{ChannelName, Code, Origin, Payload};

use super::authenticator::ApiKey;
use super::claims::Proof;
use super::grant::Grant;
use crate::config::{NamespaceRules, Right};

/// Who sends a request or has a session.
#[derive(Debug, Clone)]
pub struct Principal {
    subject: Subject,
    page: Origin,
    /// From where it asks, if that is known.
    address: Option<IpAddr>,
    /// The most rights that the authorisation hook leaves it; `None`: no bound.
    bound: Option<Arc<Grant>>,
    /// Whether the hook has yet to say what it leaves it with its present credentials. Until then `bound` is that of the ones before.
    is_unanswered: bool,
    /// The subscription token that it has shown, and the channel for which it counts.
    shown: Option<(ChannelName, Arc<Proof>)>,
}

/// What somebody has proved to be.
#[derive(Debug, Clone)]
pub enum Subject {
    /// Nobody has to prove anything here: no authentication is configured.
    Anybody,
    /// Somebody without credentials.
    Anonymous,
    /// Somebody with a valid token.
    User(Arc<Proof>),
    /// Somebody without a token whom the authorisation hook knows by this name.
    Named(Arc<str>),
    /// A backend with an API key.
    ApiKey(Arc<ApiKey>),
}

impl Subject {
    /// The rights that its credential gives by itself, if it has one.
    pub fn grant(&self) -> Option<&Grant> {
        match self {
            Self::User(proof) => Some(&proof.grant),
            Self::ApiKey(key) => Some(&key.grant),
            Self::Anybody | Self::Anonymous | Self::Named(_) => None,
        }
    }
}

/// Why somebody may do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// No authentication is configured.
    NoAuthentication,
    /// The namespace gives the right to everybody (`anonymous`).
    Anonymous,
    /// The namespace gives the right to every user (`user`).
    User,
    /// The token says so.
    Token,
    /// The token that was shown for this channel alone says so.
    SubscriptionToken,
    /// The settings of the API key say so.
    ApiKey,
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAuthentication => "no authentication is configured",
            Self::Anonymous => "the namespace gives it to everybody (anonymous)",
            Self::User => "the namespace gives it to every user (user)",
            Self::Token => "the token gives it",
            Self::SubscriptionToken => "the subscription token gives it",
            Self::ApiKey => "the API key gives it",
        })
    }
}

/// Why somebody may not do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// `unauthorized` for somebody who has not proved anything, `forbidden` for others, and `authorization_unavailable` while the
    /// authorisation hook has yet to answer.
    pub code: Code,
    /// What was missing.
    pub detail: String,
}

impl Principal {
    /// Somebody who has proved this, by way of a page of this origin; unknown if it is no page.
    pub fn new(subject: Subject, page: Origin) -> Self {
        Self {
            subject,
            page,
            address: None,
            bound: None,
            is_unanswered: false,
            shown: None,
        }
    }

    /// The same at an address.
    #[must_use]
    pub fn at(self, address: Option<IpAddr>) -> Self {
        Self { address, ..self }
    }

    /// The principal after the authorisation hook has admitted it: under this name, if it has proved no other, and with at most
    /// these rights.
    #[must_use]
    pub fn admitted(mut self, user: Option<Arc<str>>, bound: Option<Arc<Grant>>) -> Self {
        if let (Subject::Anonymous, Some(user)) = (&self.subject, user) {
            self.subject = Subject::Named(user);
        }
        self.bound = bound;
        self.is_unanswered = false;
        self
    }

    /// The same page once its credentials have ended, about which the authorisation hook is yet to be asked: no right is added to those
    /// that it has left so far, and none can be used for anything new before it answers.
    #[must_use]
    pub fn losing(&self, subject: Subject) -> Self {
        Self {
            bound: self.bound.clone(),
            is_unanswered: true,
            ..self.proving(subject)
        }
    }

    /// The same as if the hook had left it what it has left so far: by this it is decided what somebody may go on with who has it
    /// already.
    #[must_use]
    pub fn going_on(self) -> Self {
        Self {
            is_unanswered: false,
            ..self
        }
    }

    /// From where it asks, if that is known: the address of the client, which a trusted proxy tells.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// What it has proved.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The same page with other credentials, before the authorisation hook has been asked about them.
    #[must_use]
    pub fn proving(&self, subject: Subject) -> Self {
        Self::new(subject, self.page.clone()).at(self.address)
    }

    /// The same, with a subscription token for a channel: what it grants there counts beside what the credentials grant.
    #[must_use]
    pub fn showing(self, channel: &ChannelName, proof: Arc<Proof>) -> Self {
        Self {
            shown: Some((channel.clone(), proof)),
            ..self
        }
    }

    /// The subscription token that it has shown for this channel.
    pub fn shown_for(&self, channel: &ChannelName) -> Option<&Proof> {
        let shown = self.shown.as_ref().filter(|(of, _)| of == channel);
        shown.map(|(_, proof)| &**proof)
    }

    /// The same without the subscription token.
    #[must_use]
    pub fn hiding(self) -> Self {
        Self {
            shown: None,
            ..self
        }
    }

    /// Who is shown as the sender of what it publishes: the name of its API key, or the origin of its page.
    pub fn origin(&self) -> Origin {
        match &self.subject {
            Subject::ApiKey(key) => key.origin.clone(),
            _ => self.page.clone(),
        }
    }

    /// The user whom its token names, or else the authorisation hook.
    pub fn user(&self) -> Option<&str> {
        match &self.subject {
            Subject::User(proof) => proof.user.as_deref(),
            Subject::Named(user) => Some(user),
            _ => None,
        }
    }

    /// The user to whom is charged what it does on a channel: itself, or else the user of the subscription token for this channel.
    pub fn charged_user(&self, channel: &ChannelName) -> Option<&str> {
        let of_shown = || self.shown_for(channel)?.user.as_deref();
        self.user().or_else(of_shown)
    }

    /// What others are shown of the user, if the token says it, or else the subscription token that it has shown.
    pub fn info(&self) -> Option<&Payload> {
        let own = match &self.subject {
            Subject::User(proof) => proof.info.as_ref(),
            _ => None,
        };
        own.or_else(|| self.shown.as_ref()?.1.info.as_ref())
    }

    /// The name of its API key, if it has one.
    pub fn api_key(&self) -> Option<&str> {
        match &self.subject {
            Subject::ApiKey(key) => Some(key.name()),
            _ => None,
        }
    }

    /// The channels that its token has sessions join without asking, in order.
    pub fn subscriptions(&self) -> impl Iterator<Item = &ChannelName> {
        let proof = match &self.subject {
            Subject::User(proof) => Some(proof),
            _ => None,
        };
        proof
            .into_iter()
            .flat_map(|proof| proof.grant.subscriptions())
    }

    /// When its credentials end, if they do.
    pub fn expires_at(&self) -> Option<SystemTime> {
        match &self.subject {
            Subject::User(proof) => Some(proof.expires_at),
            _ => None,
        }
    }

    /// Whether it may ask what concerns all channels.
    pub fn is_operator(&self) -> bool {
        matches!(&self.subject, Subject::ApiKey(key) if key.is_operator)
    }

    /// Decides whether it may do something on a channel with these rules, and says why.
    ///
    /// # Errors
    /// What is missing.
    pub fn require(
        &self,
        right: Right,
        channel: &ChannelName,
        rules: &NamespaceRules,
    ) -> Result<Basis, Denial> {
        let is_api_key = matches!(self.subject, Subject::ApiKey(_));
        if !is_api_key && !rules.offers(right) {
            let word = right.as_str();
            return Err(Denial {
                code: Code::Forbidden,
                detail: format!("the namespace of {channel} does not allow {word}"),
            });
        }
        let basis = self.basis(right, channel, rules);
        let basis = basis.or_else(|| self.shown_basis(right, channel, rules));
        let basis = basis.ok_or_else(|| self.denial(right, channel, rules))?;
        let is_left = |bound: &Arc<Grant>| bound.rights(channel).has(right);
        if !self.bound.as_ref().is_none_or(is_left) {
            let word = right.as_str();
            return Err(Denial {
                code: Code::Forbidden,
                detail: format!("the authorisation hook does not allow {word} on {channel}"),
            });
        }
        if self.is_unanswered {
            let word = right.as_str();
            return Err(Denial {
                code: Code::AuthorizationUnavailable,
                detail: format!(
                    "the authorisation hook has yet to say whether it allows {word} on {channel} without the token that has ended: try again later"
                ),
            });
        }
        Ok(basis)
    }

    /// The basis on which it has a right that the namespace offers, if there is one.
    fn basis(&self, right: Right, channel: &ChannelName, rules: &NamespaceRules) -> Option<Basis> {
        let is_open = !rules.private.is_on();
        match &self.subject {
            Subject::Anybody => Some(Basis::NoAuthentication),
            Subject::ApiKey(key) if key.grant.rights(channel).has(right) => Some(Basis::ApiKey),
            Subject::ApiKey(_) => None,
            // A right that clients without credentials have, everybody has.
            _ if is_open && rules.anonymous.has(right) => Some(Basis::Anonymous),
            Subject::User(_) | Subject::Named(_) if is_open && rules.user.has(right) => {
                Some(Basis::User)
            }
            Subject::User(proof) if proof.grant.rights(channel).has(right) => Some(Basis::Token),
            Subject::Anonymous | Subject::User(_) | Subject::Named(_) => None,
        }
    }

    /// Whether the token that it has shown for this channel allows it.
    fn shown_basis(
        &self,
        right: Right,
        channel: &ChannelName,
        rules: &NamespaceRules,
    ) -> Option<Basis> {
        let proof = self.shown_for(channel)?;
        // What the namespace offers to API keys alone, no token gives to one.
        let is_given = rules.offers(right) && proof.grant.rights(channel).has(right);
        is_given.then_some(Basis::SubscriptionToken)
    }

    fn denial(&self, right: Right, channel: &ChannelName, rules: &NamespaceRules) -> Denial {
        let word = right.as_str();
        let (code, detail) = match &self.subject {
            Subject::ApiKey(key) => {
                let name = key.name();
                let detail = format!("the API key {name} does not allow {word} on {channel}");
                (Code::Forbidden, detail)
            }
            Subject::User(_) => {
                let detail = format!("the token does not allow {word} on {channel}");
                (Code::Forbidden, detail)
            }
            Subject::Named(_) => {
                let detail = format!(
                    "the namespace of {channel} gives users no {word}, and there is no token"
                );
                (Code::Forbidden, detail)
            }
            Subject::Anybody | Subject::Anonymous if rules.private.is_on() => {
                let detail = format!("{word} on {channel} needs a token: its namespace is private");
                (Code::Unauthorized, detail)
            }
            Subject::Anybody | Subject::Anonymous => {
                let detail = format!("{word} on {channel} needs a token or an API key");
                (Code::Unauthorized, detail)
            }
        };
        Denial { code, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ChannelPattern, Rights, Switch};

    fn grant(pattern: &str, right: Right) -> Grant {
        let pattern = ChannelPattern::parse(pattern).unwrap();
        Grant::new(vec![(pattern, right.into())])
    }

    fn user(pattern: &str, right: Right) -> Subject {
        Subject::User(Arc::new(Proof {
            user: Some("7".into()),
            name: None,
            info: None,
            issued_at: None,
            expires_at: SystemTime::UNIX_EPOCH,
            grant: grant(pattern, right),
        }))
    }

    fn outcome(subject: &Subject, rules: &NamespaceRules) -> String {
        let principal = Principal::new(subject.clone(), Origin::unknown());
        let channel = ChannelName::parse("news").unwrap();
        match principal.require(Right::Publish, &channel, rules) {
            Ok(basis) => format!("{basis:?}"),
            Err(denial) => denial.code.to_string(),
        }
    }

    #[test]
    fn the_hook_names_who_has_no_token_and_only_takes_away() {
        let users = NamespaceRules {
            user: Rights::ALL,
            ..NamespaceRules::default()
        };
        let channel = ChannelName::parse("news").unwrap();
        let outcome = |subject: Subject, bound: Option<Grant>| {
            let principal = Principal::new(subject, Origin::unknown())
                .admitted(Some("8".into()), bound.map(Arc::new));
            let outcome = principal.require(Right::Publish, &channel, &users);
            let outcome = outcome.map_or_else(|denial| denial.detail, |basis| basis.to_string());
            format!("{:?}: {outcome}", principal.user())
        };
        let token = || user("news", Right::Publish);
        insta::assert_snapshot!(outcome(Subject::Anonymous, None), @r#"Some("8"): the namespace gives it to every user (user)"#);
        insta::assert_snapshot!(outcome(token(), None), @r#"Some("7"): the namespace gives it to every user (user)"#);
        insta::assert_snapshot!(outcome(token(), Some(grant("news", Right::Subscribe))), @r#"Some("7"): the authorisation hook does not allow publish on news"#);
        insta::assert_snapshot!(outcome(Subject::Anonymous, Some(grant("*", Right::Publish))), @r#"Some("8"): the namespace gives it to every user (user)"#);
    }

    #[test]
    fn a_subscription_token_counts_on_its_channel_alone_and_gives_what_it_says() {
        let Subject::User(proof) = user("*", Right::Publish) else {
            unreachable!("a user was made");
        };
        let news = ChannelName::parse("news").unwrap();
        let other = ChannelName::parse("other").unwrap();
        let rules = NamespaceRules {
            user: Right::History.into(),
            ..NamespaceRules::default()
        };
        let principal = Principal::new(Subject::Anonymous, Origin::unknown()).showing(&news, proof);
        let may = |right, channel| principal.require(right, channel, &rules).ok();
        assert_eq!(may(Right::Publish, &news), Some(Basis::SubscriptionToken));
        assert_eq!(may(Right::Publish, &other), None);
        // A subscription token does not bring the rights that the namespace gives to users.
        assert_eq!(may(Right::History, &news), None);
        let off = NamespaceRules {
            publish: Switch::Off,
            ..rules.clone()
        };
        assert!(principal.require(Right::Publish, &news, &off).is_err());
    }

    #[test]
    fn no_token_gives_an_api_key_what_the_namespace_does_not_offer() {
        let Subject::User(proof) = user("*", Right::Publish) else {
            unreachable!("a user was made");
        };
        let news = ChannelName::parse("news").unwrap();
        let off = NamespaceRules {
            publish: Switch::Off,
            ..NamespaceRules::default()
        };
        let outcome = |pattern, rules| {
            let key = ApiKey::of_test("a", grant(pattern, Right::Publish));
            let key = Principal::new(Subject::ApiKey(Arc::new(key)), Origin::unknown());
            let principal = key.showing(&news, Arc::clone(&proof));
            let outcome = principal.require(Right::Publish, &news, rules);
            outcome.map_err(|denial| denial.code)
        };
        assert_eq!(outcome("other", &off), Err(Code::Forbidden));
        assert_eq!(outcome("news", &off), Ok(Basis::ApiKey));
        let on = NamespaceRules::default();
        assert_eq!(outcome("other", &on), Ok(Basis::SubscriptionToken));
    }

    /// Every rule against every subject, for publishing on `news`.
    #[test]
    fn principals_with_the_right_may_publish() {
        let subjects = [
            Subject::Anybody,
            Subject::Anonymous,
            user("news", Right::Publish),
            user("news", Right::Subscribe),
            user("other", Right::Publish),
            Subject::ApiKey(Arc::new(ApiKey::of_test("a", grant("*", Right::Publish)))),
            Subject::ApiKey(Arc::new(ApiKey::of_test("b", grant("*", Right::History)))),
        ];
        let publish = Rights::from(Right::Publish);
        let default = NamespaceRules::default();
        let anonymous = NamespaceRules {
            anonymous: publish,
            ..default.clone()
        };
        let users = NamespaceRules {
            user: publish,
            ..default.clone()
        };
        let private = NamespaceRules {
            private: Switch::On,
            user: publish,
            ..anonymous.clone()
        };
        let off = NamespaceRules {
            publish: Switch::Off,
            ..anonymous.clone()
        };
        let mut table = Vec::new();
        for (name, rules) in [
            ("default", &default),
            ("anonymous", &anonymous),
            ("user", &users),
            ("private", &private),
            ("off", &off),
        ] {
            let outcomes = subjects.each_ref().map(|subject| outcome(subject, rules));
            table.push(format!("{name}: {}", outcomes.join(" ")));
        }
        insta::assert_snapshot!(table.join("\n"), @"
        default: NoAuthentication unauthorized Token forbidden forbidden ApiKey forbidden
        anonymous: NoAuthentication Anonymous Anonymous Anonymous Anonymous ApiKey forbidden
        user: NoAuthentication unauthorized User User User ApiKey forbidden
        private: NoAuthentication unauthorized Token forbidden forbidden ApiKey forbidden
        off: forbidden forbidden forbidden forbidden forbidden ApiKey forbidden
        ");
    }
}
