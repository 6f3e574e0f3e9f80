//! What engines could not carry out, counted wherever a refusal is made of it.

use std::sync::LazyLock;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use widecast_protocol::Code;

/// The codes of all ways in which an engine fails.
const CODES: [Code; 3] = [Code::EngineUnavailable, Code::Internal, Code::Overloaded];

/// An error becomes a refusal in places that know no broker: all brokers of a process, of which there is one but in tests, count together.
static REFUSALS: LazyLock<Family<CodeLabels, Counter>> = LazyLock::new(Family::default);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: &'static str,
}

impl From<Code> for CodeLabels {
    fn from(code: Code) -> Self {
        let code = code.as_str();
        Self { code }
    }
}

/// What engines could not carry out.
#[derive(Debug)]
pub struct EngineRefusals;

impl EngineRefusals {
    pub(super) fn register(registry: &mut Registry) {
        for code in CODES {
            drop(REFUSALS.get_or_create(&code.into()));
        }
        registry.register(
            "engine_refusals",
            "Requests and commands that an engine could not carry out, by code",
            REFUSALS.clone(),
        );
    }

    /// Something was refused with this code because an engine failed.
    pub fn count(code: Code) {
        REFUSALS.get_or_create(&code.into()).inc();
    }
}
