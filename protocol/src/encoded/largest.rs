//! How large a payload can become in its largest form.

use crate::framing::sse;
use crate::payload::{CHECKED, Payload, PayloadKind};
use crate::value::{json, to_json};

impl Payload {
    /// No form of a value is more times as large as the value came. What grows most are the two bytes before an extension of two, four,
    /// eight or sixteen: `{"$type":"DOMMatrixReadOnly","value":},` has 39.
    pub const MOST_GROWTH: usize = 20;

    /// How many bytes the value has at the most in the largest of its forms, without what stands around it. Large values take a walk to
    /// find out; that no form is more than [`Self::MOST_GROWTH`] times as large as [`Self::weight_bytes`] is known without.
    ///
    /// # Panics
    /// Never: every payload has all forms.
    pub fn largest_form_bytes(&self) -> usize {
        let size = self.bytes().len();
        match self.kind() {
            PayloadKind::Text => {
                json::text_length(self.bytes()).max(sse::data_capacity(self.bytes()))
            }
            PayloadKind::Binary => to_json::binary_length(size),
            // `-0,` are three bytes, and a float of nine in MessagePack; nothing else becomes longer.
            PayloadKind::Json => size.saturating_mul(3),
            PayloadKind::MessagePack => to_json::length(self.bytes()).expect(CHECKED).max(size),
            PayloadKind::Gzip => self.inflated().largest_form_bytes().max(size),
        }
    }
}
