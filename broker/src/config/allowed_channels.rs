//! Rights by patterns of channels, as a table in the settings.

use super::channel_pattern::ChannelPattern;
use super::rights::Rights;
use super::value::{Bounds, Expected, Given, Setting, quoted};

/// Patterns of channels, and the rights on each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowedChannels(pub Vec<(ChannelPattern, Rights)>);

impl AllowedChannels {
    const EXPECTED: &'static str = "patterns of channels with rights, such as { \"*\" = [\"publish\"] }, each a list of publish, subscribe, presence and history, or *";

    fn read(given: &Given) -> Option<Self> {
        let Given::Table(entries) = given else {
            return None;
        };
        let rules = entries.iter().map(|(pattern, given)| {
            let pattern = ChannelPattern::parse(pattern).ok()?;
            let mut rights = Rights::NONE;
            rights.assign(given, &None).ok()?;
            Some((pattern, rights))
        });
        rules.collect::<Option<_>>().map(Self)
    }
}

impl Setting for AllowedChannels {
    fn assign(&mut self, given: &Given, _: &Bounds) -> Result<(), Expected> {
        *self = Self::read(given).ok_or_else(|| Expected(Self::EXPECTED.to_owned()))?;
        Ok(())
    }

    fn shown(&self) -> String {
        let rules = self.0.iter();
        let rules: Vec<String> = rules
            .map(|(pattern, rights)| {
                format!("{} = {}", quoted(&pattern.to_string()), rights.shown())
            })
            .collect();
        if rules.is_empty() {
            return "{}".to_owned();
        }
        format!("{{ {} }}", rules.join(", "))
    }
}
