//! How a section of settings is defined: one table gives the struct, its defaults, and what is needed to read, check,
//! list and document every key.

use std::ops::RangeInclusive;

use super::value::Setting;

/// What is known of a key besides its value.
#[derive(Debug)]
pub(super) struct KeySpec {
    /// The name inside the section, unit included.
    pub(super) name: &'static str,
    /// What it means: the lines of its doc comment.
    pub(super) meaning: &'static [&'static str],
    /// The bounds of a number; empty for a key that is none.
    pub(super) within: Option<RangeInclusive<u64>>,
}

impl KeySpec {
    /// The meaning as one line.
    pub(super) fn meaning(&self) -> String {
        let lines: Vec<&str> = self.meaning.iter().map(|line| line.trim()).collect();
        lines.join(" ")
    }
}

/// One key of a section and the place its value is in.
pub(super) struct SectionEntry<'a> {
    /// What is known of the key.
    pub(super) spec: &'static KeySpec,
    /// Its value.
    pub(super) value: &'a mut dyn Setting,
}

/// A group of settings, under one name in the file.
pub(super) trait Section {
    /// What the section is about: the lines of its doc comment.
    fn about(&self) -> String;
    /// Every key, in the order of its table.
    fn entries(&mut self) -> Vec<SectionEntry<'_>>;
}

/// Defines a section: `field: Type, "key" = default;` with an optional `, within low..=high` for numbers.
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        pub struct $section:ident {
            $(
                $(#[doc = $meaning:literal])+
                $field:ident: $type:ty, $key:literal = $default:expr $(, within $within:expr)?;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $section {
            $(
                $(#[doc = $meaning])+
                pub $field: $type,
            )+
        }

        impl Default for $section {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        impl $crate::config::section::Section for $section {
            fn about(&self) -> String {
                [$( $about.trim() ),+].join(" ")
            }

            fn entries(&mut self) -> Vec<$crate::config::section::SectionEntry<'_>> {
                use $crate::config::section::{SectionEntry, KeySpec};
                vec![$(
                    SectionEntry {
                        spec: const {
                            &KeySpec {
                                name: $key,
                                meaning: &[$( $meaning ),+],
                                within: settings!(@within $($within)?),
                            }
                        },
                        value: &mut self.$field,
                    },
                )+]
            }
        }
    };
    (@within) => { None };
    (@within $within:expr) => { Some($within) };
}

pub(super) use settings;
